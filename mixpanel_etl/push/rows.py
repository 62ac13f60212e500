"""Pushes of events and links: the rows of a query, in effect once each, however often it is run.

An event that is sent again with the same `$insert_id` replaces itself, and a link that exists changes nothing: a push
that broke off is simply run again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pyarrow as pa

from mixpanel_etl.client import Clock, Mixpanel, MixpanelError
from mixpanel_etl.lake import Provenance, Table
from mixpanel_etl.lake.leases import Lease, lease
from mixpanel_etl.lake.storage import storage
from mixpanel_etl.push.acknowledged import Acknowledged, acknowledged
from mixpanel_etl.push.dead_letters import DeadLetter, DeadLetters, dead_letters
from mixpanel_etl.push.delivery import IN_FLIGHT, deliver_all
from mixpanel_etl.push.event_batches import Choice, EventBatch, EventSender, Seen, event_batches
from mixpanel_etl.push.events import EventMapping
from mixpanel_etl.push.identities import IdentityBatch, IdentityMapping, IdentitySender, identity_batches
from mixpanel_etl.push.projects import CopiedEvents, ProjectMapping

_SHOWN = 5


@dataclass(frozen=True)
class RowPush:
    """A push of events or links.

    Attributes:
        name: of the push; folder of its tables in the lake (`imports/<name>`, `pushes/<name>`).
        mapping: what rows become.
        lake: path or URI of the lake.
        only_new: of events: leave out those that Mixpanel acknowledged in an earlier push of the same partition.
        in_flight: requests at a time.
        clock: the time, for tests to replace.
    """

    name: str
    mapping: EventMapping | IdentityMapping | ProjectMapping
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
        return acknowledged(self.lake, self.name)


@dataclass
class PushedRows:
    """What a push did so far, or (of a dry run) would do.

    Attributes:
        rows: of the query that were read.
        sent: rows that Mixpanel acknowledged.
        skipped: rows that it had acknowledged before.
        refused: rows in the dead letters.
        requests: that were answered.
        bytes: of the events, before compression.
        messages: why rows were refused, the most frequent first.
        overwritten: of events of another project: fields that Mixpanel writes itself, and how many events had them.
        first: of a dry run: the first events, as they would be sent.
    """

    rows: int = 0
    sent: int = 0
    skipped: int = 0
    refused: int = 0
    requests: int = 0
    bytes: int = 0
    messages: dict[str, int] = field(default_factory=dict)
    overwritten: dict[str, int] = field(default_factory=dict)
    first: list[dict[str, Any]] = field(default_factory=list)

    @property
    def done(self) -> int:
        """Rows of which it is known what became of them."""
        return self.sent + self.skipped + self.refused


def push_rows(
    mixpanel: Mixpanel,
    rows: pa.RecordBatchReader,
    push: RowPush,
    part: str,
    *,
    run_id: str = "",
    only: Choice | None = None,
    on_progress: Callable[[PushedRows], None] = lambda _: None,
) -> PushedRows:
    """Send the rows of a query.

    Args:
        mixpanel: the project.
        rows: of the query; read as they are sent.
        push: see there.
        part: the partition that they are of, as 2026-01-31: key of its dead letters.
        run_id: of the run.
        only: of events: given insert_ids, which of them to send; all without it.
        on_progress: told after each request.

    Returns:
        What was done. The dead letters of the partition are those of this push, and not of earlier ones any more;
        but those of earlier ones when it sends a choice (`only`) and breaks off, so that the choice can be made again.

    Raises:
        PushError: the mapping does not fit the rows. Nothing was sent.
        MixpanelError: the push broke off. Run it again.
        LeaseHeld: another process pushes the same partition. Nothing was sent.
        LeaseLost: it may be that another process does so since. Run it again.
    """
    told, seen = PushedRows(), Seen()
    error: MixpanelError | None = None
    with (
        lease(storage(push.lake), f"push/{push.name}/{part}", run=run_id) as held,
        DeadLetters(push.dead_letters) as letters,
        ExitStack() as stack,
    ):
        provenance = Provenance(requested_at=push.clock.now(), run_id=run_id, project_id=mixpanel.settings.project_id)
        known = stack.enter_context(Acknowledged(push.acknowledged, part)) if push.only_new else None
        leave_out = known.known if known else None
        batches = _batches(rows, push, letters, seen, leave_out=leave_out, only=only)
        deliveries = deliver_all(batches, _deliverer(mixpanel, push, held), push.in_flight)
        try:
            for delivery in deliveries:
                if delivery.error:
                    error = error or delivery.error
                    continue
                letters.add(delivery.letters)
                told.sent += _size(delivery.batch) - len(delivery.letters)
                told.requests += 1
                if isinstance(delivery.batch, EventBatch):
                    told.bytes += delivery.batch.nbytes
                    if known:
                        known.add(delivery.batch.events["insert_id"], [letter.id for letter in delivery.letters])
                _tell(told, seen, letters)
                on_progress(told)
        finally:
            _tell(told, seen, letters)
            if only is None:
                letters.publish(provenance, part)
            if known:
                known.publish(provenance)
        if error:
            raise error
        if only is not None:
            letters.publish(provenance, part)
    return told


def preview_rows(rows: pa.RecordBatchReader, push: RowPush, part: str) -> PushedRows:
    """What a push would send and refuse, without sending or writing anything.

    Raises:
        PushError: the mapping does not fit the rows.
    """
    told, seen = PushedRows(), Seen()
    with DeadLetters(push.dead_letters) as letters, ExitStack() as stack:
        known = stack.enter_context(Acknowledged(push.acknowledged, part)) if push.only_new else None
        leave_out = known.known if known else None
        for batch in _batches(rows, push, letters, seen, leave_out=leave_out, only=None):
            told.sent += _size(batch)
            told.requests += 1
            if isinstance(batch, EventBatch):
                told.bytes += batch.nbytes
                lines = batch.events["line"].head(max(0, _SHOWN - len(told.first)))
                told.first += [msgspec.json.decode(line) for line in lines]
            elif len(told.first) < _SHOWN:
                told.first.append({"ids": list(batch.ids)})
        _tell(told, seen, letters)
    return told


def _deliverer(mixpanel: Mixpanel, push: RowPush, held: Lease) -> Callable[[Any], list[DeadLetter]]:
    """Sends a batch, while no other process does the same push."""
    deliver: Callable[[Any], list[DeadLetter]]
    if isinstance(push.mapping, IdentityMapping):
        deliver = IdentitySender(mixpanel, push.mapping.link).deliver
    else:
        deliver = EventSender(mixpanel).deliver

    def alone(batch: Any) -> list[DeadLetter]:
        held.check()
        return deliver(batch)

    return alone


def _batches(
    rows: pa.RecordBatchReader,
    push: RowPush,
    letters: DeadLetters,
    seen: Seen,
    *,
    leave_out: Choice | None,
    only: Choice | None,
) -> Iterable[EventBatch | IdentityBatch]:
    def refuse(letter: DeadLetter) -> None:
        letters.add([letter])

    if isinstance(push.mapping, IdentityMapping):
        return identity_batches(rows, push.mapping.of(rows.schema), refuse, seen=seen)
    events = push.mapping.of(rows.schema)
    if isinstance(events, CopiedEvents):
        seen.overwritten = events.overwritten
    return event_batches(rows, events, push.clock.now(), refuse, seen=seen, leave_out=leave_out, only=only)


def _size(batch: EventBatch | IdentityBatch) -> int:
    return batch.rows.num_rows if isinstance(batch, EventBatch) else 1


def _tell(told: PushedRows, seen: Seen, letters: DeadLetters) -> None:
    told.rows, told.skipped, told.overwritten = seen.rows, seen.skipped, dict(seen.overwritten)
    told.refused, told.messages = letters.count, dict(letters.messages.most_common())
