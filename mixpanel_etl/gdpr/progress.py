"""How far requests are, and which step is due: worked out of the ledger alone, so that no crash or restart loses it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from mixpanel_etl.gdpr.ledger import Ledger
from mixpanel_etl.gdpr.ledger_entries import Entry, Job

State = Literal[
    "received",
    "unconfirmed",
    "held",
    "ready",
    "asking",
    "unclear",
    "waiting",
    "ended",
    "failed",
    "completed",
    "cancelled",
    "rejected",
]
#: What is done for a request, one after the other: a deletion has erasures, a retrieval has deliveries.
Step = Literal["requests", "jobs", "outcomes", "erasures", "deliveries", "certificates"]
#: When the lake is erased: once Mixpanel has deleted, or before as well.
Erase = Literal["after_success", "at_once"]

#: What a list of requests shows of each.
ROW = ("request_id", "kind", "state", "deadline", "days_left", "ids", "jobs", "status", "in_doubt")

DEADLINES = {"GDPR": timedelta(days=30), "CCPA": timedelta(days=45)}
RUNNING = frozenset(("PENDING", "STAGING", "STARTED"))
ENDED = frozenset(("SUCCESS", "FAILURE", "REVOKED"))


@dataclass(frozen=True)
class Progress:
    """A request with the jobs that count for it."""

    entry: Entry
    jobs: tuple[Job, ...]

    @property
    def deadline(self) -> datetime:
        """By when the law wants it done: 30 days (GDPR) or 45 (CCPA) from the request."""
        return self.entry.request.requested_at + DEADLINES[self.entry.request.compliance]

    def state(self, now: datetime) -> State:
        """In one word.

        `received`: its ids are not expanded yet; `unconfirmed`: a person has to decide which ids belong to it (see
        `Entry.in_doubt`), before anything is sent or, of ids that were found later, before the certificate; `held`: it
        waits out its hold; `ready`: for a Mixpanel job; `asking`:
        the job is being created; `unclear`: unknown whether it was created; `waiting`: for Mixpanel; `ended`: well, and
        the rest is to be done; `failed`: in FAILURE or REVOKED; then `completed`, `cancelled` or `rejected`.
        """
        entry = self.entry
        closed: dict[State, object] = {
            "rejected": entry.rejected,
            "cancelled": entry.cancelled_at,
            "completed": entry.completed_at,
        }
        for state, is_so in closed.items():
            if is_so:
                return state
        if entry.expanded_at is None:
            return "received"
        if entry.in_doubt and not entry.settled_at:
            return "unconfirmed"
        if not self.is_covered:
            return "held" if entry.hold_until and now < entry.hold_until else "ready"
        state = self._of_jobs(now)
        return "unconfirmed" if state == "ended" and entry.in_doubt and self._only_certificate_is_left else state

    def due(self, now: datetime, erase: Erase = "after_success") -> Step | None:
        """The step that can be done now; None while it waits for Mixpanel, for its hold, or for a person."""
        state, entry = self.state(now), self.entry
        if state == "received":
            return "requests"
        if state in ("ended", "failed") and not entry.outcome:
            return "outcomes"
        if entry.request.kind == "deletion" and self._wants_erasure(state, erase):
            return "erasures"
        if state == "ready":
            return None if entry.cancelling_at else "jobs"
        if state != "ended":
            return None
        return "deliveries" if entry.request.kind == "retrieval" and entry.delivery is None else "certificates"

    def has_passed(self, step: Step) -> bool:
        """Whether the ledger says that a step is done."""
        entry = self.entry
        return {
            "requests": entry.expanded_at is not None,
            "jobs": self.is_covered and all(job.tracking_id for job in self.jobs),
            "outcomes": bool(entry.outcome),
            "erasures": bool(entry.erasures),
            "deliveries": entry.delivery is not None,
            "certificates": entry.completed_at is not None,
        }[step]

    def row(self, now: datetime) -> dict[str, str | int]:
        """The values of `ROW`; none names a person."""
        entry = self.entry
        return {
            "request_id": entry.request_id,
            "kind": entry.request.kind,
            "state": self.state(now),
            "deadline": f"{self.deadline:%Y-%m-%d}",
            "days_left": (self.deadline - now).days,
            "ids": entry.expansion.total if entry.expansion else len(entry.request.ids),
            "jobs": ", ".join(job.job_id for job in self.jobs),
            "status": ", ".join(job.status or "not known to exist" for job in self.jobs) or entry.rejected,
            "in_doubt": ", ".join(entry.in_doubt),
        }

    @property
    def covered(self) -> int:
        """How many of its ids its jobs hold, from the first on."""
        ids = len(self.entry.ids)
        held = {number for job in self.jobs for number in job.holds(self.entry.request_id, ids)}
        return next((number for number in range(ids) if number not in held), ids)

    @property
    def is_covered(self) -> bool:
        """Whether its jobs hold all of its ids: more than fit into one job, and those found later, are in others."""
        return bool(self.jobs) and self.covered == len(self.entry.ids)

    @property
    def _only_certificate_is_left(self) -> bool:
        if not self.entry.outcome:
            return False
        if self.entry.request.kind == "retrieval":
            return self.entry.delivery is not None
        return not self._wants_erasure("ended", "after_success")

    def _of_jobs(self, now: datetime) -> State:
        if any(job.is_unclear(now) for job in self.jobs):
            return "unclear"
        if any(not job.tracking_id for job in self.jobs):
            return "asking"
        if any(job.ended_at is None for job in self.jobs):
            return "waiting"
        return "ended" if all(job.status == "SUCCESS" for job in self.jobs) else "failed"

    def _wants_erasure(self, state: State, erase: Erase) -> bool:
        """Once all jobs have ended in SUCCESS; with `at_once` also as soon as they are created."""
        if state == "ended":
            ended = max(job.ended_at for job in self.jobs if job.ended_at)
            return not any(datetime.fromisoformat(record["recorded_at"]) >= ended for record in self.entry.erasures)
        return erase == "at_once" and state == "waiting" and not self.entry.erasures


def progress_of(entries: Iterable[Entry], jobs: Sequence[Job]) -> list[Progress]:
    """Each request with its jobs, those that it has left not counted."""
    of_request: dict[str, list[Job]] = {}
    for job in jobs:
        for request_id in job.request_ids:
            of_request.setdefault(request_id, []).append(job)
    return [
        Progress(
            entry,
            tuple(job for job in of_request.get(entry.request_id, ()) if job.job_id not in entry.left_jobs),
        )
        for entry in entries
    ]


def open_requests(ledger: Ledger, request_ids: Iterable[str] | None = None) -> list[Progress]:
    """The requests that are not over: all, or those of some ids."""
    wanted = None if request_ids is None else set(request_ids)
    entries = ledger.entries()
    return progress_of((one for one in entries if wanted is None or one.request_id in wanted), ledger.jobs())
