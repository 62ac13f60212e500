"""A wish for a sync of a warehouse connector, and which run of Mixpanel's history is its own.

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
    """One wish for a sync, and what is known of it; as it is kept in the lake.

    Attributes:
        id: of this wish, ours.
        requested_by: the run that asked for it.
        written_at: when the source was last written (aware); a sync that began before does not do.
        seen: start times in the history before the trigger; what is not among them began after it.
        sent_at: when it was triggered, or when a running one was taken up.
        adopted: it was running already.
        answered_at: when Mixpanel accepted the trigger.
        run_id: what it answered, where it gives an id.
        unanswered: how the trigger failed without telling whether it arrived.
        waits_for: why it is not triggered yet.
        not_before: until when there is no use in trying.
        status: of the run in the history; `start_time`, `end_time` as Mixpanel has them, in seconds or smaller units.
        rows: `num_events_imported`.
        previous_start: of the newest run before this one that succeeded.
        problem: why it will not succeed any more, and what to do.
        may_retry: another trigger can do no harm, and may help.
        reported: somebody was told how it ended.
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


def over(sync: Sync, problem: str, *, may_retry: bool = False) -> Sync:
    """The sync, which will not succeed any more."""
    return msgspec.structs.replace(sync, problem=problem, may_retry=may_retry)


def starts(history: list[ImportRun]) -> list[int]:
    """When the runs of a history began."""
    return [run.start_time for run in history if run.start_time is not None]


def newest(history: list[ImportRun], status: str) -> ImportRun | None:
    """The last run of a status."""
    return max((run for run in history if run.status == status), key=lambda run: run.start_time or 0, default=None)


def new_run(history: list[ImportRun], sync: Sync) -> ImportRun | None:
    """The run of a sync: the one it was before, else the first one that the history did not have before the trigger.

    That may be a scheduled run that began in between. It began after the source was written, so it does as well.
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


def as_in(history: list[ImportRun], sync: Sync, run: ImportRun) -> Sync:
    """The sync with what the history says of its run."""
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
        return over(
            known,
            f"the sync that {_began(known)} was CANCELLED, as pausing or changing the import in Mixpanel does. See "
            "that it is not paused, then materialize this asset again",
        )
    if run.status == "FAILED":
        return over(
            known,
            f"the sync that {_began(known)} FAILED after {known.rows or 0:,} rows. Mixpanel's API gives no reason: see "
            "the import under Data Management > Warehouse Connectors, mend it, then materialize this asset again",
        )
    return known


def _began(sync: Sync) -> str:
    return f"began at {sync.started_at:%Y-%m-%d %H:%M:%S} UTC" if sync.started_at else "never began"
