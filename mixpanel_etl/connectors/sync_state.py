"""A requested sync of a warehouse connector, and the run in Mixpanel's history that belongs to it.

Source: mixpanel-api.md#connectors.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Literal

import msgspec

from mixpanel_etl.client import ImportRun
from mixpanel_etl.timestamps import from_epoch

Phase = Literal["waiting", "triggered", "running", "ended"]


class Sync(msgspec.Struct, frozen=True, kw_only=True):
    """A requested sync and its state, as the lake keeps it.

    Attributes:
        id: id of this request, given by this package.
        requested_by: the run that requested it.
        written_at: time of the last write to the source (aware); a sync that began before does not cover it.
        seen: start times in the history before the trigger; what is not among them began after it.
        sent_at: time of the trigger, or at which a running sync was taken up.
        adopted: whether it was running already.
        answered_at: time at which Mixpanel accepted the trigger.
        run_id: id in Mixpanel's reply, if any.
        unanswered: failure of the trigger that leaves open whether it arrived.
        waits_for: reason why it is not triggered yet.
        not_before: earliest time of the next try.
        status: of the run in the history; `start_time`, `end_time` in Mixpanel's unit.
        rows: `num_events_imported`.
        previous_start: start of the newest run before this one that succeeded.
        problem: reason why it has failed, and what to do.
        may_retry: whether another trigger is safe and may help.
        reported: whether its end was reported.
    """

    import_id: int
    id: str
    requested_by: str
    requested_at: datetime
    written_at: datetime | None = None
    seen: list[int] = []
    sent_at: datetime | None = None
    adopted: bool = False
    answered_at: datetime | None = None
    run_id: str | None = None
    unanswered: str | None = None
    waits_for: str | None = None
    not_before: datetime | None = None
    status: str | None = None
    start_time: int | None = None
    end_time: int | None = None
    rows: int | None = None
    previous_start: int | None = None
    problem: str | None = None
    may_retry: bool = False
    reported: bool = False

    @property
    def phase(self) -> Phase:
        if self.problem or self.status not in (None, "RUNNING"):
            return "ended"
        if self.status == "RUNNING":
            return "running"
        return "triggered" if self.sent_at else "waiting"

    @property
    def started_at(self) -> datetime | None:
        """Aware, UTC; by Mixpanel's clock."""
        return from_epoch(self.start_time)

    @property
    def ended_at(self) -> datetime | None:
        """Aware, UTC; by Mixpanel's clock."""
        return from_epoch(self.end_time)

    @property
    def previous_started_at(self) -> datetime | None:
        """Aware, UTC; by Mixpanel's clock."""
        return from_epoch(self.previous_start)

    def __str__(self) -> str:
        name = f"warehouse import {self.import_id}"
        if self.problem:
            return f"{name}: {self.problem}"
        if self.phase == "waiting":
            return f"{name} is not triggered yet: {self.waits_for}"
        if self.phase == "triggered":
            lost = f", but the answer was lost ({self.unanswered})" if self.unanswered else ""
            return f"{name} is triggered{lost}; its run is not in the history yet"
        began = f"began at {self.started_at:%Y-%m-%d %H:%M:%S} UTC"
        if self.phase == "running":
            return f"{name} is RUNNING, {began}" + (" before it was asked for" if self.adopted else "")
        return f"{name} {self.status}, {began}, {self.rows or 0:,} rows imported"


def failed(sync: Sync, problem: str, *, may_retry: bool = False) -> Sync:
    """The sync with the reason of its failure."""
    return msgspec.structs.replace(sync, problem=problem, may_retry=may_retry)


def starts(history: list[ImportRun]) -> list[int]:
    """Start times of the runs of a history."""
    return [run.start_time for run in history if run.start_time is not None]


def newest(history: list[ImportRun], status: str) -> ImportRun | None:
    """The newest run of a status."""
    return max((run for run in history if run.status == status), key=lambda run: run.start_time or 0, default=None)


def new_run(history: list[ImportRun], sync: Sync) -> ImportRun | None:
    """The run of a sync: the known one, else the first run that the history did not have before the trigger.

    That may be a scheduled run that began in between: it began after the source was written, so it covers the request.
    """
    unseen = Counter(sync.seen)
    found: list[ImportRun] = []
    for run in sorted(history, key=lambda run: run.start_time or 0):
        if run.start_time is not None and unseen[run.start_time]:
            unseen[run.start_time] -= 1
        elif (run.start_time or 0) >= max(sync.seen, default=0) or sync.adopted:
            found.append(run)
    same = [run for run in found if run.start_time == sync.start_time and sync.start_time is not None]
    return next(iter(same or ([] if sync.start_time else found)), None)


def updated_from(history: list[ImportRun], sync: Sync, run: ImportRun) -> Sync:
    """The sync with the state of its run in the history."""
    before = [other for other in history if (other.start_time or 0) < (run.start_time or 0)]
    previous = newest(before, "SUCCEEDED")
    known = msgspec.structs.replace(
        sync,
        status=run.status,
        start_time=run.start_time,
        end_time=run.end_time,
        rows=run.num_events_imported,
        previous_start=previous.start_time if previous else None,
    )
    if run.status == "CANCELLED":
        return failed(
            known,
            f"the sync that {_began(known)} was CANCELLED, as pausing or changing the import in Mixpanel does. See "
            "that it is not paused, then materialize this asset again",
        )
    if run.status == "FAILED":
        return failed(
            known,
            f"the sync that {_began(known)} FAILED after {known.rows or 0:,} rows. Mixpanel's API gives no reason: see "
            "the import under Data Management > Warehouse Connectors, fix it, then materialize this asset again",
        )
    return known


def _began(sync: Sync) -> str:
    return f"began at {sync.started_at:%Y-%m-%d %H:%M:%S} UTC" if sync.started_at else "never began"
