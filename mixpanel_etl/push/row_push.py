"""Pushes of events and links: the rows of a query, in effect once each, however often it is run.

An event that is sent again with the same `$insert_id` replaces itself, and a link that exists changes nothing: a push
that broke off is simply run again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Set
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa

from mixpanel_etl.client import Clock, Mixpanel, MixpanelError
from mixpanel_etl.lake import Provenance, Table
from mixpanel_etl.lake.leases import Lease, lease
from mixpanel_etl.lake.storage import storage
from mixpanel_etl.push.acknowledged import EVENTS, LINKS, Acknowledged, acknowledged
from mixpanel_etl.push.event_batches import Choice, EventBatch, Seen, event_batches
from mixpanel_etl.push.event_mapping import EventMapping
from mixpanel_etl.push.identity_links import (
    IdentityBatch,
    IdentityMapping,
    check_id_merge,
    identity_batches,
    link_frame,
    link_id,
)
from mixpanel_etl.push.import_sender import ImportSender
from mixpanel_etl.push.parallel_batches import IN_FLIGHT, deliver_all
from mixpanel_etl.push.profile_push import PREVIEW_ROWS
from mixpanel_etl.push.project_copy import CopiedEvents, ProjectMapping
from mixpanel_etl.push.rejected_rows import RejectedRow, RejectedRows, rejected_rows
from mixpanel_etl.push.unsendable_times import screened

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class RowPush:
    """A push of events or links.

    Attributes:
        name: of the push; folder of its tables in the lake (`rejected/<name>`, `pushes/<name>`).
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
    def rejected_rows(self) -> Table:
        return rejected_rows(self.lake, self.name, self.mapping.person_columns)

    @property
    def acknowledged(self) -> Table:
        """What Mixpanel has: the insert_ids of pushes with `only_new`, and links."""
        return acknowledged(self.lake, self.name, LINKS if self.links else EVENTS)

    @property
    def links(self) -> bool:
        return isinstance(self.mapping, IdentityMapping)

    def known(self, part: str) -> Acknowledged | None:
        """What Mixpanel has of a partition; None when all is sent each time."""
        return Acknowledged(self.acknowledged, part) if self.only_new or self.links else None


@dataclass
class PushedRows:
    """What a push did so far, or (of a dry run) would do.

    Attributes:
        rows: of the query that were read.
        sent: rows that Mixpanel acknowledged.
        skipped: rows that it had acknowledged before.
        rejected: number of rejected rows.
        requests: that were answered.
        bytes: of the events, before compression.
        messages: why rows were rejected, the most frequent first.
        overwritten: of events of another project: fields that Mixpanel writes itself, and how many events had them.
        left_out: of events of another project: identity events that this project does not take, by name.
        suppressed: rows of the query that were left out, because their person was erased.
        altered: what we or Mixpanel change of the rows that are sent, as `column: how`, and in how many rows.
        first: of a dry run: the first events, as they would be sent.
    """

    rows: int = 0
    sent: int = 0
    skipped: int = 0
    rejected: int = 0
    requests: int = 0
    bytes: int = 0
    suppressed: int = 0
    messages: dict[str, int] = field(default_factory=dict)
    overwritten: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    altered: dict[str, int] = field(default_factory=dict)
    first: list[dict[str, Any]] = field(default_factory=list)

    @property
    def done(self) -> int:
        """Rows of which it is known what became of them."""
        return self.sent + self.skipped + self.rejected + sum(self.left_out.values())


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
        part: the partition that they are of, as 2026-01-31: key of its rejected rows.
        run_id: of the run.
        only: of events: given insert_ids, which of them to send; all without it.
        on_progress: told after each request.

    Returns:
        What was done. The rejected rows of the partition are those of this push, and not of earlier ones any more;
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
        RejectedRows(push.rejected_rows) as rejected,
        ExitStack() as stack,
    ):
        if isinstance(push.mapping, IdentityMapping):
            held.check()
            check_id_merge(mixpanel, push.mapping.link)
        provenance = Provenance(requested_at=push.clock.now(), run_id=run_id, project_id=mixpanel.settings.project_id)
        known = push.known(part)
        if known:
            stack.enter_context(known)
        leave_out = known.known if known else None
        foreign = cache(mixpanel.identity.foreign_events)
        batches = _batches(rows, push, rejected, seen, leave_out=leave_out, only=only, foreign=foreign)
        deliveries = deliver_all(batches, _deliverer(mixpanel, push, held), push.in_flight)
        try:
            for delivery in deliveries:
                if delivery.error:
                    error = error or delivery.error
                    continue
                rejected.add(delivery.rejected)
                told.sent += delivery.batch.count - len(delivery.rejected)
                told.requests += 1
                if isinstance(delivery.batch, EventBatch):
                    told.bytes += delivery.batch.nbytes
                if known:
                    known.add(_arrived(delivery.batch, {rejected_row.id for rejected_row in delivery.rejected}))
                _tell(told, seen, rejected)
                on_progress(told)
        finally:
            _tell(told, seen, rejected)
            if only is None:
                rejected.publish(provenance, part)
            if known:
                known.publish(provenance)
        if error:
            raise error
        if only is not None:
            rejected.publish(provenance, part)
    return told


def preview_rows(rows: pa.RecordBatchReader, push: RowPush, part: str) -> PushedRows:
    """What a push would send and reject, without sending or writing anything.

    Raises:
        PushError: the mapping does not fit the rows.
    """
    told, seen = PushedRows(), Seen()
    with RejectedRows(push.rejected_rows) as rejected, ExitStack() as stack:
        known = push.known(part)
        if known:
            stack.enter_context(known)
        leave_out = known.known if known else None
        for batch in _batches(rows, push, rejected, seen, leave_out=leave_out, only=None, foreign=None):
            told.sent += batch.count
            told.requests += 1
            if isinstance(batch, EventBatch):
                told.bytes += batch.nbytes
                lines = batch.events["line"].head(max(0, PREVIEW_ROWS - len(told.first)))
                told.first += [msgspec.json.decode(line) for line in lines]
            else:
                told.first += [{"ids": list(pair)} for pair in batch.pairs[: max(0, PREVIEW_ROWS - len(told.first))]]
        _tell(told, seen, rejected)
    return told


def _deliverer(mixpanel: Mixpanel, push: RowPush, held: Lease) -> Callable[[Any], list[RejectedRow]]:
    """Sends a batch, while no other process does the same push."""
    sender: ImportSender[Any]
    if isinstance(push.mapping, IdentityMapping):
        link = push.mapping.link
        sender = ImportSender[IdentityBatch](lambda batch: mixpanel.identity.import_links(link, batch.pairs))
    else:
        sender = ImportSender[EventBatch](lambda batch: mixpanel.ingestion.import_lines(batch.ndjson(), batch.count))

    def alone(batch: Any) -> list[RejectedRow]:
        held.check()
        return sender.deliver(batch)

    return alone


def _batches(
    rows: pa.RecordBatchReader,
    push: RowPush,
    rejected: RejectedRows,
    seen: Seen,
    *,
    leave_out: Callable[[pl.DataFrame], pl.Series] | None,
    only: Choice | None,
    foreign: Callable[[], Set[str]] | None,
) -> Iterable[EventBatch | IdentityBatch]:
    def reject(rejected_row: RejectedRow) -> None:
        rejected.add([rejected_row])

    if isinstance(push.mapping, IdentityMapping):
        return identity_batches(screened(rows), push.mapping.of(rows.schema), reject, seen=seen, leave_out=leave_out)
    events = push.mapping.of(rows.schema)
    if isinstance(events, CopiedEvents):
        seen.overwritten = events.overwritten
    return event_batches(
        screened(rows), events, push.clock.now(), reject, seen=seen, leave_out=leave_out, only=only, foreign=foreign
    )


def _arrived(batch: EventBatch | IdentityBatch, rejected: Set[str | None]) -> pl.DataFrame:
    """The keys of a batch that was answered, without those of the rejected rows."""
    import polars as pl

    if isinstance(batch, IdentityBatch):
        return link_frame([pair for pair in batch.pairs if link_id(pair) not in rejected])
    keys = batch.events.select("insert_id")
    return keys.filter(~pl.col("insert_id").is_in(list(rejected))) if rejected else keys


def _tell(told: PushedRows, seen: Seen, rejected: RejectedRows) -> None:
    told.rows, told.skipped, told.overwritten = seen.rows, seen.skipped, dict(seen.overwritten)
    told.left_out, told.altered = dict(seen.left_out), dict(seen.altered.most_common())
    told.rejected, told.messages = rejected.count, dict(rejected.messages.most_common())
