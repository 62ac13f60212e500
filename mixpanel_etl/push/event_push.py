"""A push of events: the rows of a query, stored in Mixpanel once each, however often it is run.

An event that is sent again with the same `$insert_id` replaces itself, so a push that broke off is simply run again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa

from mixpanel_etl.client import Clock, Mixpanel, MixpanelError
from mixpanel_etl.lake import Provenance, Table
from mixpanel_etl.push.dead_letters import DeadLetters, dead_letters
from mixpanel_etl.push.delivery import IN_FLIGHT, deliver_all
from mixpanel_etl.push.event_batches import EventBatch, EventSender, Seen, event_batches
from mixpanel_etl.push.events import EventMapping

if TYPE_CHECKING:
    import polars as pl

ACKNOWLEDGED = pa.schema([pa.field("insert_id", pa.string(), nullable=False)])
_SHOWN = 5


@dataclass(frozen=True)
class EventPush:
    """A push of events.

    Attributes:
        name: of the push; folder of its tables in the lake (`imports/<name>`, `pushes/<name>`).
        mapping: how rows become events.
        lake: path or URI of the lake.
        only_new: leave out rows that Mixpanel acknowledged in an earlier push of the same partition.
        in_flight: requests at a time.
        clock: the time, for tests to replace.
    """

    name: str
    mapping: EventMapping
    lake: str
    only_new: bool = False
    in_flight: int = IN_FLIGHT
    clock: Clock = field(default_factory=Clock)

    @property
    def dead_letters(self) -> Table:
        return dead_letters(self.lake, self.name)

    @property
    def acknowledged(self) -> Table:
        """The insert_ids that Mixpanel has, of pushes with `only_new`."""
        return Table(self.lake, f"pushes/{self.name}", ACKNOWLEDGED, column="part")


@dataclass
class PushedEvents:
    """What a push of events did so far, or (of a dry run) would do.

    Attributes:
        rows: of the query that were read.
        sent: events that Mixpanel acknowledged.
        skipped: rows that it had acknowledged before.
        refused: rows in the dead letters.
        requests: batches that were answered.
        bytes: of the events, before compression.
        messages: why rows were refused, the most frequent first.
        first: of a dry run: the first events, as they would be sent.
    """

    rows: int = 0
    sent: int = 0
    skipped: int = 0
    refused: int = 0
    requests: int = 0
    bytes: int = 0
    messages: dict[str, int] = field(default_factory=dict)
    first: list[dict[str, Any]] = field(default_factory=list)


OnProgress = Callable[[PushedEvents], None]


def push_events(
    mixpanel: Mixpanel,
    rows: pa.RecordBatchReader,
    push: EventPush,
    part: str,
    *,
    run_id: str = "",
    only: Callable[[pl.Series], pl.Series] | None = None,
    on_progress: OnProgress = lambda _: None,
) -> PushedEvents:
    """Send the rows of a query.

    Args:
        mixpanel: the project.
        rows: of the query; read as they are sent.
        push: see there.
        part: the partition that they are of, as 2026-01-31: key of its dead letters.
        run_id: of the run.
        only: given insert_ids, which of them to send; all without it.
        on_progress: told after each batch.

    Returns:
        What was done. The dead letters of the partition are those of this push, and not of earlier ones any more.

    Raises:
        PushError: the mapping does not fit the rows. Nothing was sent.
        MixpanelError: the push broke off. Run it again.
    """
    events = push.mapping.of(rows.schema)
    told, seen = PushedEvents(), Seen()
    provenance = Provenance(requested_at=push.clock.now(), run_id=run_id, project_id=mixpanel.settings.project_id)
    with DeadLetters() as letters, _Acknowledged(push, part) as acknowledged:
        batches = event_batches(
            rows,
            events,
            push.clock.now(),
            lambda letter: letters.add([letter]),
            seen=seen,
            leave_out=acknowledged.known if push.only_new else None,
            only=only,
        )
        error: MixpanelError | None = None
        try:
            for delivery in deliver_all(batches, EventSender(mixpanel).deliver, push.in_flight):
                if delivery.error:
                    error = error or delivery.error
                    continue
                letters.add(delivery.letters)
                _count(told, seen, letters, delivery.batch, len(delivery.letters))
                if push.only_new:
                    acknowledged.add(delivery.batch, {letter.id for letter in delivery.letters})
                on_progress(told)
            told.rows, told.skipped = seen.rows, seen.skipped
        finally:
            _tell(told, letters)
            letters.publish(push.dead_letters, provenance, part)
            if push.only_new:
                acknowledged.publish(provenance)
        if error:
            raise error
    return told


def preview_events(rows: pa.RecordBatchReader, push: EventPush) -> PushedEvents:
    """What a push would send and refuse, without sending or writing anything.

    Raises:
        PushError: the mapping does not fit the rows.
    """
    told, seen = PushedEvents(), Seen()
    with DeadLetters() as letters:
        events = push.mapping.of(rows.schema)
        for batch in event_batches(rows, events, push.clock.now(), lambda letter: letters.add([letter]), seen=seen):
            _count(told, seen, letters, batch, 0)
            lines = batch.events["line"].head(max(0, _SHOWN - len(told.first)))
            told.first += [msgspec.json.decode(line) for line in lines]
        told.rows = seen.rows
        _tell(told, letters)
    return told


def _count(told: PushedEvents, seen: Seen, letters: DeadLetters, batch: EventBatch, refused: int) -> None:
    told.rows, told.skipped = seen.rows, seen.skipped
    told.sent += batch.rows.num_rows - refused
    told.requests += 1
    told.bytes += batch.bytes
    _tell(told, letters)


def _tell(told: PushedEvents, letters: DeadLetters) -> None:
    told.refused, told.messages = letters.count, dict(letters.messages.most_common())


class _Acknowledged:
    """The insert_ids that Mixpanel has of a partition: those of earlier pushes, and of this one."""

    def __init__(self, push: EventPush, part: str) -> None:
        import polars as pl

        self._table, self._part = push.acknowledged, part
        known = [pa.Table.from_batches([batch]) for batch in self._table.batches(part)] if push.only_new else []
        self._ids = [pl.Series(table.column(0).to_pylist(), dtype=pl.String) for table in known]
        self._before = pl.concat(self._ids) if self._ids else pl.Series([], dtype=pl.String)

    def __enter__(self) -> _Acknowledged:
        return self

    def __exit__(self, *_: object) -> None:
        self._ids.clear()

    def known(self, insert_ids: pl.Series) -> pl.Series:
        return insert_ids.is_in(self._before)

    def add(self, batch: EventBatch, refused: set[str | None]) -> None:
        arrived = batch.events["insert_id"]
        self._ids.append(arrived.filter(~arrived.is_in(list(refused))) if refused else arrived)

    def publish(self, provenance: Provenance) -> None:
        self._table.write(self._part, self._batches(), provenance)

    def _batches(self) -> Iterator[pa.RecordBatch]:
        for ids in self._ids:
            yield pa.RecordBatch.from_arrays([ids.to_arrow().cast(pa.string())], schema=ACKNOWLEDGED)
