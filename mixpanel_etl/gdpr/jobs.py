"""Mixpanel jobs: many requests in few of them, each created once. Source: mixpanel-api.md#gdpr-jobs.

Before a job is asked for, the intent is in the ledger; afterwards, its tracking id. Mixpanel can't be asked which jobs
there are: an intent without a tracking id means that the job may exist or not, and a person decides.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from mixpanel_etl.client import Gdpr, MixpanelError, RateLimited
from mixpanel_etl.client.gdpr import MAX_DELETIONS, MAX_RETRIEVALS
from mixpanel_etl.gdpr.data_subject_requests import Kind
from mixpanel_etl.gdpr.ledger import Ledger
from mixpanel_etl.gdpr.ledger_entries import Entry, Job, Pause
from mixpanel_etl.gdpr.progress import Progress, open_requests, progress_of
from mixpanel_etl.gdpr.redaction import GdprError, without_ids
from mixpanel_etl.gdpr.request_expansion import expand_again

Now = Callable[[], datetime]

MAX_IDS_PER_JOB: dict[Kind, int] = {"deletion": MAX_DELETIONS, "retrieval": MAX_RETRIEVALS}
_FIRST_PAUSE, _MAX_PAUSE = timedelta(minutes=10), timedelta(hours=6)


class NotCreated(GdprError):
    """Mixpanel rejected a job: it was certainly not created, and is requested again after a while.

    Attributes:
        retryable: whether the next try can succeed without a change: a rate limit, the maximum of outstanding scans,
            no connection.
    """

    def __init__(self, message: str, *, retryable: bool) -> None:
        super().__init__(message)
        self.retryable = retryable


class MaybeCreated(GdprError):
    """The answer to the creation of a job is missing: it may exist or not."""


@dataclass(frozen=True)
class Pack:
    """Requests for one job. `part`: of the ids of its only request, when these are too many for one job."""

    kind: Kind
    compliance: str
    disclosure: str
    entries: tuple[Entry, ...]
    part: tuple[int, int] | None = None

    @property
    def ids(self) -> list[str]:
        """Each id once."""
        found = list(dict.fromkeys(one for entry in self.entries for one in entry.ids))
        return found if self.part is None else found[slice(*self.part)]


def pack(
    entries: Iterable[Entry], *, together: bool = True, covered: Mapping[str, int] | None = None
) -> Iterator[Pack]:
    """Requests in as few jobs as their limits allow: 1,999 ids for deletions, 2,000 for retrievals.

    Source: mixpanel-api.md#gdpr-jobs.

    Args:
        entries: with expanded ids.
        together: put several retrievals into one job; its archive is taken apart by distinct id.
        covered: by request id, the number of ids that are in earlier jobs, from the first on; by default none.
    """
    groups: dict[tuple[Any, ...], list[Entry]] = {}
    for entry in entries:
        request = entry.request
        key: tuple[Any, ...] = (request.kind, request.compliance, request.disclosure, entry.pack)
        if request.kind == "retrieval" and not (together and request.disclosure == "Data"):
            key += (entry.request_id,)  # its archive has no ids, and so can't be divided by person
        groups.setdefault(key, []).append(entry)
    for (kind, compliance, disclosure, *_), group in groups.items():
        for part, packed in _fill(group, MAX_IDS_PER_JOB[kind], covered or {}):
            yield Pack(kind, compliance, disclosure, packed, part)


def _fill(
    entries: Sequence[Entry], most: int, covered: Mapping[str, int]
) -> Iterator[tuple[tuple[int, int] | None, tuple[Entry, ...]]]:
    packed: list[Entry] = []
    ids: set[str] = set()
    for entry in entries:
        start, total = covered.get(entry.request_id, 0), len(entry.ids)
        if start or total > most:
            yield from (((n, min(n + most, total)), (entry,)) for n in range(start, total, most))
            continue
        if len(ids.union(entry.ids)) > most:
            yield None, tuple(packed)
            packed, ids = [], set()
        packed.append(entry)
        ids.update(entry.ids)
    if packed:
        yield None, tuple(packed)


def submit(
    ledger: Ledger,
    gdpr: Gdpr,
    request_ids: Iterable[str],
    now: Now,
    *,
    together: bool = True,
    protected: Collection[str] = (),
) -> tuple[list[Job], list[Exception]]:
    """Create the jobs of those requests that are ready for one; calling it again creates none a second time.

    Their ids are looked for once more before, as the lake may have learned of others since.

    Args:
        ledger: of the lake.
        gdpr: of the client.
        request_ids: which requests; those that are not ready are passed over.
        now: the aware present.
        together: see `pack`.
        protected: see `request_expansion.expand_requests`.

    Returns:
        The jobs that were created, and a `NotCreated` or `MaybeCreated` for each that was not, or may not have been.
    """
    wanted = set(request_ids)
    progress = open_requests(ledger)
    ready = [one for one in submittable(ledger, progress, now()) if one.entry.request_id in wanted]
    ready = progress_of(expand_again(ledger, ready, "jobs", now(), protected), ledger.jobs()) if ready else []
    covered = {one.entry.request_id: one.covered for one in ready}
    created, errors = list[Job](), list[Exception]()
    for packed in pack((one.entry for one in ready), together=together, covered=covered):
        if _paused_until(ledger, packed.kind, now()):
            continue
        with ledger.locked() as held:
            still = _still_ready(ledger, packed, now())
            if still is not None:
                held.check()
                try:
                    created.append(create(ledger, gdpr, still, _intent(ledger, still, now()), now))
                except (NotCreated, MaybeCreated) as error:
                    errors.append(error)
    return created, errors


def submittable(ledger: Ledger, progress: Sequence[Progress], now: datetime) -> list[Progress]:
    """The requests that can go to Mixpanel now: no job yet, held long enough, no pause, no retrieval to wait for."""
    ready = [one for one in progress if one.due(now) == "jobs"]
    waiting = wait_for_retrievals(progress)
    return [
        one
        for one in ready
        if one.entry.request_id not in waiting and not _paused_until(ledger, one.entry.request.kind, now)
    ]


def wait_for_retrievals(progress: Sequence[Progress]) -> dict[str, str]:
    """The deletions of people who asked for their data before, and want it first, each with that retrieval."""
    retrievals = sorted(
        (one for one in progress if one.entry.request.kind == "retrieval"),
        key=lambda one: one.entry.request.requested_at,
        reverse=True,
    )
    earliest = {one: retrieval.entry for retrieval in retrievals for one in retrieval.entry.ids}
    return {
        deletion.entry.request_id: earliest[one].request_id
        for deletion in progress
        if deletion.entry.request.kind == "deletion"
        for one in deletion.entry.ids
        if one in earliest and earliest[one].request.requested_at <= deletion.entry.request.requested_at
    }


def asked_for(job: Job, entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """The requests of a job with those ids only that it was created for: more may have been found since."""
    found = []
    for entry in entries:
        held = job.holds(entry.request_id, len(entry.ids))
        found.append(entry if job.part else entry.replace(ids=entry.ids[: len(held)]))
    return tuple(found)


def _paused_until(ledger: Ledger, kind: Kind, now: datetime) -> datetime | None:
    pause = ledger.pause(kind)
    return pause.until if pause and now < pause.until else None


def _still_ready(ledger: Ledger, packed: Pack, now: datetime) -> Pack | None:
    """The pack without what was cancelled, or got a job, since it was planned."""
    jobs = ledger.jobs()
    fresh = progress_of((ledger.fresh(entry) for entry in packed.entries), jobs)
    if packed.part and packed.part in {job.part for job in fresh[0].jobs}:
        return None
    entries = tuple(one.entry for one in fresh if one.state(now) == "ready" and not one.entry.cancelling_at)
    return Pack(packed.kind, packed.compliance, packed.disclosure, entries, packed.part) if entries else None


def _intent(ledger: Ledger, packed: Pack, now: datetime) -> Job:
    return ledger.add_job(
        Job(
            job_id=f"{packed.kind}-{now:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}",
            kind=packed.kind,
            compliance=packed.compliance,
            disclosure=packed.disclosure,
            request_ids=tuple(entry.request_id for entry in packed.entries),
            id_count=len(packed.ids),
            part=packed.part,
            counts=() if packed.part else tuple(len(entry.ids) for entry in packed.entries),
            intended_at=now,
        )
    )


def create(ledger: Ledger, gdpr: Gdpr, packed: Pack, job: Job, now: Now) -> Job:
    """Ask for a job whose intent is in the ledger, while no other process creates jobs (see `Ledger.locked`).

    Raises:
        NotCreated: Mixpanel rejected it.
        MaybeCreated: the answer is missing.
    """
    ids = packed.ids
    problem: Exception
    try:
        if packed.kind == "deletion":
            tracking_id = gdpr.create_deletion(ids, packed.compliance)  # type: ignore[arg-type]
        else:
            disclosure: Any = packed.disclosure if packed.compliance == "CCPA" else None
            tracking_id = gdpr.create_retrieval(ids, packed.compliance, disclosure)  # type: ignore[arg-type]
    except MixpanelError as error:
        reason = without_ids(str(error), ids)
        if error.may_have_arrived:
            ledger.change_job(job, partial(Job.replace, problem=reason))
            problem = MaybeCreated(
                f"Unknown whether Mixpanel created job {job.job_id}: {reason} Ask Mixpanel (Data & Privacy > "
                f"{packed.kind.title()} Requests lists them), then `mixpanel-etl gdpr adopt {job.job_id} TRACKING_ID`, "
                f"or `mixpanel-etl gdpr resend {job.job_id}` if it is not there"
            )
        else:
            ledger.drop_job(job)
            problem = _paused(ledger, packed.kind, error, reason, now())
    else:
        ledger.set_pause(packed.kind, None)
        known: dict[str, Any] = {"tracking_id": tracking_id, "created_at": now(), "next_poll_at": now()}
        return ledger.change_job(job, partial(Job.replace, status="PENDING", problem="", **known))
    raise problem


def _paused(ledger: Ledger, kind: Kind, error: MixpanelError, reason: str, now: datetime) -> NotCreated:
    before = ledger.pause(kind)
    tries = before.tries + 1 if before else 1
    pause = min(_FIRST_PAUSE * 2 ** min(tries - 1, 20), _MAX_PAUSE)
    if isinstance(error, RateLimited) and kind == "retrieval":
        reason += " Another possible reason: running retrievals read five years of data. Wait until they end."
    ledger.set_pause(kind, Pause(until=now + pause, tries=tries, reason=reason))
    message = f"No {kind} job was created; the next try is after {now + pause:%Y-%m-%d %H:%M} UTC: {reason}"
    return NotCreated(message, retryable=error.retryable)
