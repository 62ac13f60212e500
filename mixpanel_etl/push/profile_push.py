"""A push of user or group profiles: what changed since the last one is sent, and known to be sent when it arrived.

Most updates may be sent twice: `$set` twice is `$set` once. So a push that is killed is simply run again. `$add`,
`$append` and `$remove` may not. A row with one of them is noted in the lake before it is sent, and never sent again by
itself: at most once. One whose answer was lost is a rejected row with `unconfirmed`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pyarrow as pa

from mixpanel_etl.client import Clock, Mixpanel, MixpanelError
from mixpanel_etl.client.ingestion.profile_updates import encoded
from mixpanel_etl.lake import Provenance, Table
from mixpanel_etl.lake.leases import Lease, lease
from mixpanel_etl.lake.person_columns import declare_persons
from mixpanel_etl.lake.storage import storage
from mixpanel_etl.push.parallel_batches import IN_FLIGHT, Delivery, deliver_all
from mixpanel_etl.push.profile_mapping import ProfileMapping, Update
from mixpanel_etl.push.profile_sender import Batch, Item, ProfileSender, batches, reason_to_reject
from mixpanel_etl.push.push_error import PushError
from mixpanel_etl.push.rejected_rows import LATEST, RejectedRow, RejectedRows, rejected_rows, unconfirmed_rows
from mixpanel_etl.push.row_changes import SNAPSHOT, Changes, Previous, compared

_SENT = pa.schema([*SNAPSHOT, pa.field("row", pa.string(), nullable=False)])
_CHECKPOINT_SECONDS = 60.0
#: Rows that a dry run shows as they would be sent.
PREVIEW_ROWS = 5
#: A push that would take away more than this share of all profiles, or rows of a lookup table, is held back.
MAX_VANISHED = 0.5

OnProgress = Callable[["Pushed"], None]


@dataclass(frozen=True)
class ProfilePush:
    """A push of profiles.

    Attributes:
        name: of the push; folder of its tables in the lake (`pushes/<name>`, `rejected/<name>`).
        mapping: how rows become updates.
        lake: path or URI of the lake.
        in_flight: requests at a time.
        clock: the time, for tests to replace.
    """

    name: str
    mapping: ProfileMapping
    lake: str
    in_flight: int = IN_FLIGHT
    clock: Clock = field(default_factory=Clock)

    @property
    def snapshot(self) -> Table:
        """What Mixpanel has of it: an id and a hash for each row that arrived."""
        return Table(self.lake, f"pushes/{self.name}", self._with_persons(SNAPSHOT), column="snapshot")

    @property
    def sent(self) -> Table:
        """Batches of relative updates that were sent after the snapshot was written."""
        return Table(self.lake, f"pushes/{self.name}/sent", self._with_persons(_SENT), column="batch")

    @property
    def rejected_rows(self) -> Table:
        people = self.mapping.person_columns
        return rejected_rows(self.lake, self.name, people, by_person=bool(people))

    def _with_persons(self, schema: pa.Schema) -> pa.Schema:
        """A schema that says whether its ids are persons, as those of groups are not."""
        people = self.mapping.person_columns
        return schema.set(0, declare_persons(schema.field("id"))) if people else schema


@dataclass
class Pushed:
    """What a push did, or (of a dry run) would do.

    Attributes:
        rows: of the query.
        changed: rows that are new or other than at the last push.
        vanished: profiles whose row is gone; `cleared` of them were unset or deleted.
        done: changed rows and vanished profiles that were sent and answered so far.
        updates: how many updates that took; of a lookup table, whether it was replaced.
        rejected: number of rejected rows, `unconfirmed` ones included.
        unconfirmed: number of rows that may have arrived.
        messages: why rows were rejected, the most frequent first.
        suppressed: rows of the query that were left out, because their person was erased.
        altered: what we or Mixpanel change of the rows that are sent, as `column: how`, and in how many rows.
        first: of a dry run: the first updates, as they would be sent.
    """

    rows: int = 0
    changed: int = 0
    vanished: int = 0
    cleared: int = 0
    done: int = 0
    updates: int = 0
    rejected: int = 0
    unconfirmed: int = 0
    suppressed: int = 0
    messages: dict[str, int] = field(default_factory=dict)
    altered: dict[str, int] = field(default_factory=dict)
    first: list[dict[str, Any]] = field(default_factory=list)


def push_profiles(
    mixpanel: Mixpanel,
    rows: pa.RecordBatchReader,
    push: ProfilePush,
    *,
    run_id: str = "",
    allow_shrink: bool = False,
    retry_unconfirmed: bool = False,
    on_progress: OnProgress = lambda _: None,
) -> Pushed:
    """Send what changed since the last push.

    Args:
        mixpanel: the project.
        rows: of the query, one for each profile.
        push: see there.
        run_id: of the run.
        allow_shrink: let more than half of the profiles be taken away, because their rows are gone.
        retry_unconfirmed: send the rows again that may have arrived.
        on_progress: told after each batch.

    Raises:
        PushError: the mapping does not fit the rows, or more than half of them vanished. Nothing was sent.
        MixpanelError: the push broke off. What arrived until then is known, and not sent again.
        LeaseHeld: another process does the same push. Nothing was sent.
        LeaseLost: it may be that another process does so since. What arrived until then is known.
    """
    mapping = push.mapping.of(rows.schema)
    with lease(storage(push.lake), f"push/{push.name}", run=run_id) as held:
        return _Run(mixpanel, push, mapping, run_id, on_progress).run(
            rows, held, allow_shrink=allow_shrink, retry_unconfirmed=retry_unconfirmed
        )


def preview_profiles(rows: pa.RecordBatchReader, push: ProfilePush) -> Pushed:
    """What a push would send and reject, without sending or writing anything.

    Raises:
        PushError: the mapping does not fit the rows.
    """
    mapping = push.mapping.of(rows.schema)
    previous = Previous(_batches(push.snapshot), _ids(push.sent))
    place = push.snapshot.storage
    with (
        compared(rows, mapping.id, mapping.named, previous, sent_as=mapping.text, place=place) as changes,
        RejectedRows(push.rejected_rows) as rejected,
    ):
        told = _counted(changes, mapping)
        rejected.add(changes.unusable_rows())
        for item in _items(changes, mapping):
            told.updates += len(item.updates)
            told.first += [shown(update) for update in item.updates[: max(0, PREVIEW_ROWS - len(told.first))]]
            reason = reason_to_reject(item) if item.updates else None
            rejected.add([RejectedRow(item.id, item.row, reason)] if reason else [])
        told.rejected, told.messages = rejected.count, dict(rejected.messages.most_common())
    return told


class _Run:
    """One push under way."""

    def __init__(
        self, mixpanel: Mixpanel, push: ProfilePush, mapping: ProfileMapping, run_id: str, on_progress: OnProgress
    ) -> None:
        self._mixpanel, self._push, self._mapping, self._on_progress = mixpanel, push, mapping, on_progress
        self._started = push.clock.now()
        self._provenance = Provenance(
            requested_at=self._started, run_id=run_id, project_id=mixpanel.settings.project_id
        )
        self._told = Pushed()
        self._open: set[int] = set()  # batches that were noted and may have arrived
        self._checkpoint_at = push.clock.monotonic() + _CHECKPOINT_SECONDS

    def run(self, rows: pa.RecordBatchReader, held: Lease, *, allow_shrink: bool, retry_unconfirmed: bool) -> Pushed:
        self._held = held
        push, mapping = self._push, self._mapping
        # The reason that was told first is the true one: the note of a batch says only that it was about to be sent.
        unsure = {
            rejected_row.id: rejected_row for rejected_row in (*_lost(push.sent), *unconfirmed_rows(push.rejected_rows))
        }
        forgotten = list(unsure) if retry_unconfirmed else []
        carried = [] if retry_unconfirmed else list(unsure.values())
        previous = Previous(_batches(push.snapshot), _ids(push.sent), [_as_ids(forgotten)])
        place = push.snapshot.storage
        with (
            compared(rows, mapping.id, mapping.named, previous, sent_as=mapping.text, place=place) as changes,
            RejectedRows(push.rejected_rows) as rejected,
        ):
            self._told = _counted(changes, mapping)
            _check_vanished(changes, mapping, allow_shrink=allow_shrink)
            self._keep(changes, carried)
            rejected.add([*carried, *changes.unusable_rows()])
            try:
                self._send(changes, rejected, _items(changes, mapping), relative=mapping.relative)
                if mapping.vanished != "keep":
                    self._send(changes, rejected, _vanished(changes, mapping), relative=False)
            finally:
                self._tell(rejected)
                rejected.publish(self._provenance)
                self._checkpoint(changes)
        return self._told

    def _keep(self, changes: Changes, carried: list[RejectedRow]) -> None:
        """Bring what a killed push left into the tables that the others read."""
        if not self._push.sent.keys():
            return
        with RejectedRows(self._push.rejected_rows) as rejected:
            rejected.add(carried)
            rejected.publish(self._provenance)
        self._checkpoint(changes)

    def _send(self, changes: Changes, rejected: RejectedRows, items: Iterable[Item], *, relative: bool) -> None:
        sender = ProfileSender(self._mixpanel, groups=self._mapping.group_key is not None, relative=relative)
        found: Iterable[Batch] = batches(items)
        if relative:
            found = (self._noted(batch) for batch in found)

        def alone(batch: Batch) -> list[RejectedRow]:
            self._held.check()
            return sender.deliver(batch)

        error: MixpanelError | None = None
        for delivery in deliver_all(found, alone, self._push.in_flight):
            if delivery.error:
                error = error or delivery.error
                self._open.discard(delivery.batch.number)
                continue
            self._arrived(changes, rejected, delivery, relative=relative)
            self._on_progress(self._told)
            if self._push.clock.monotonic() > self._checkpoint_at:
                self._checkpoint(changes)
        if error:
            raise error

    def _arrived(self, changes: Changes, rejected: RejectedRows, delivery: Delivery[Batch], *, relative: bool) -> None:
        again = {rejected_row.id for rejected_row in delivery.rejected if not rejected_row.unconfirmed}
        arrived = [item for item in delivery.batch.items if item.id not in again]
        changes.pushed(item.id for item in arrived)
        rejected.add(delivery.rejected)
        if relative and not any(rejected_row.unconfirmed for rejected_row in delivery.rejected):
            self._note(delivery.batch.number, arrived, confirmed=True)
            self._open.discard(delivery.batch.number)
        self._told.done += len(delivery.batch.items)
        self._told.unconfirmed += sum(rejected_row.unconfirmed for rejected_row in delivery.rejected)
        self._told.updates += sum(len(item.updates) for item in arrived)
        self._tell(rejected)

    def _noted(self, batch: Batch) -> Batch:
        self._note(batch.number, batch.items, confirmed=False)
        self._open.add(batch.number)
        return batch

    def _note(self, number: int, items: list[Item], *, confirmed: bool) -> None:
        """Write down what is about to be sent, and later which of it arrived."""
        rows = [{"id": item.id, "hash": item.row["$hash"], "row": _json(item.row)} for item in items]
        provenance = Provenance(
            requested_at=self._push.clock.now(),
            run_id=self._provenance.run_id,
            project_id=self._provenance.project_id,
            request={"confirmed": confirmed},
        )
        self._push.sent.write(self._key(number), [pa.RecordBatch.from_pylist(rows, _SENT)], provenance)

    def _key(self, number: int) -> str:
        return f"{self._started:%Y%m%dT%H%M%S%f}-{number:06d}"

    def _checkpoint(self, changes: Changes) -> None:
        """Write the snapshot; what was noted on the way is in it."""
        still = {self._key(number) for number in self._open}
        noted = [key for key in self._push.sent.keys() if key not in still]  # noqa: SIM118 - no dictionary
        self._push.snapshot.write(LATEST, changes.snapshot(), self._provenance)
        for key in noted:
            self._push.sent.remove(key)
        self._checkpoint_at = self._push.clock.monotonic() + _CHECKPOINT_SECONDS

    def _tell(self, rejected: RejectedRows) -> None:
        self._told.rejected, self._told.messages = rejected.count, dict(rejected.messages.most_common())


def shown(update: Update) -> dict[str, Any]:
    """An update as it is sent, without the project's token."""
    wire = msgspec.json.decode(encoded([update], token="")[0]) if _sendable(update) else {}
    return {name: value for name, value in wire.items() if name != "$token"} or {"rejected": str(update)}


def _sendable(update: Update) -> bool:
    return reason_to_reject(Item("", {}, [update])) is None


def _items(changes: Changes, mapping: ProfileMapping) -> Iterator[Item]:
    for batch in changes.changed_rows():
        for row in changes.plain_rows(batch):
            yield Item(row["$id"], row, mapping.updates(row["$id"], row))


def _vanished(changes: Changes, mapping: ProfileMapping) -> Iterator[Item]:
    for ids in changes.vanished_ids():
        for name in ids:
            yield Item(name, {mapping.id: name}, [mapping.vanished_update(name)])


def _counted(changes: Changes, mapping: ProfileMapping) -> Pushed:
    cleared = 0 if mapping.vanished == "keep" else changes.vanished
    altered = changes.altered(mapping.id, mapping.named)
    return Pushed(changes.rows, changes.changed, changes.vanished, cleared, altered=altered)


def _check_vanished(changes: Changes, mapping: ProfileMapping, *, allow_shrink: bool) -> None:
    if mapping.vanished == "keep" or allow_shrink or changes.vanished <= MAX_VANISHED * changes.before:
        return
    raise PushError(
        f"{changes.vanished:,} of {changes.before:,} profiles have no row any more, and `vanished: {mapping.vanished}` "
        "would take them away. Nothing was sent. If the query is right, run again with allow_shrink=true"
    )


def _batches(table: Table) -> Iterator[pa.RecordBatch]:
    for batch in table.batches(LATEST):
        yield batch.cast(SNAPSHOT)


def _ids(sent: Table) -> Iterator[pa.RecordBatch]:
    keys = sent.keys()
    for key in keys:
        for batch in sent.batches(key):
            yield batch.select(SNAPSHOT.names).cast(SNAPSHOT)


def _lost(sent: Table) -> Iterator[RejectedRow]:
    """Rows that were about to be sent when a process ended."""
    keys = sent.keys()
    for key in keys:
        partition = sent.partition(key)
        if partition and not partition.provenance.get("confirmed"):
            for batch in sent.batches(key):
                for known in batch.to_pylist():
                    yield RejectedRow(known["id"], msgspec.json.decode(known["row"]), _ENDED, unconfirmed=True)


_ENDED = "it is not known whether this arrived: the process ended before Mixpanel answered"


def _as_ids(ids: Iterable[str | None]) -> pa.RecordBatch:
    names = [name for name in ids if name is not None]
    return pa.RecordBatch.from_pylist([{"id": name, "hash": ""} for name in names], SNAPSHOT)


def _json(row: Any) -> str:
    return msgspec.json.encode({name: value for name, value in row.items() if name[0] != "$"}, enc_hook=str).decode()
