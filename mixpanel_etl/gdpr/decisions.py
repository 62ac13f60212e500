"""Decisions of a person about requests and jobs: cancel, retry, adopt, undo, send again.

Each decision is in the ledger with who made it and when. Which ids belong to a request is decided in `confirmation`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from mixpanel_etl.client import Deletion, Gdpr, MixpanelError, Retrieval
from mixpanel_etl.gdpr.jobs import Now, Pack, asked_for, create
from mixpanel_etl.gdpr.ledger import Ledger, LedgerError
from mixpanel_etl.gdpr.ledger_entries import Decision, Entry, Job
from mixpanel_etl.gdpr.polling import is_open
from mixpanel_etl.gdpr.progress import ENDED, RUNNING, Progress, open_requests
from mixpanel_etl.lake.suppression import hasher

_METHOD_NOT_ALLOWED = 405
#: `date_requested` of a job has no offset: it may be a day off.
_TIME_ZONES = timedelta(days=1)


def cancel(ledger: Ledger, gdpr: Gdpr, request_id: str, now: Now, *, by: str) -> Entry:
    """Cancel a request: here, and in Mixpanel, where a deletion can be cancelled until it has STARTED.

    Other requests that shared its job leave it and get another. A retrieval can't be cancelled in Mixpanel: what it
    brings is not delivered. Running it again after a crash goes on where it was.

    Args:
        ledger: ledger of the lake.
        gdpr: GDPR API of the client.
        request_id: the request.
        now: the aware present.
        by: name of the person who decides.

    Raises:
        LedgerError: there is no such open request, its deletion has started, or it is unknown whether its job exists.
        MixpanelError: Mixpanel could not be asked; the request stays as it was, and gets no further.
    """
    one = _open(ledger, request_id)
    if one.entry.is_closed:
        raise LedgerError(f"request {request_id} is {one.state(now())} already, and can't be cancelled")
    with ledger.locked():  # a job that is being created for it is in the ledger afterwards
        entry = ledger.change(one.entry, lambda entry: entry.replace(cancelling_at=now()))
    if entry.request.kind == "deletion":
        _cancel_in_mixpanel(ledger, gdpr, _open(ledger, request_id), now)  # no job can be created for it any more
    cancelled = Decision(what="cancelled", by=by, at=now())
    return ledger.change(
        entry, lambda entry: _with(entry, cancelled).forgotten(ledger.lake).replace(cancelled_at=now())
    )


def leave_jobs(ledger: Ledger, gdpr: Callable[[], Gdpr], one: Progress, now: Now) -> None:
    """Take a request out of its jobs, as they hold ids that are not its person's; it is cancelling until it is changed.

    Raises:
        LedgerError: its deletion has started, or it is unknown whether its job exists.
        MixpanelError: Mixpanel could not be asked; the request gets no further.
    """
    with ledger.locked():  # as in `cancel`
        entry = ledger.change(one.entry, lambda entry: entry.replace(cancelling_at=now()))
    one = _open(ledger, entry.request_id)
    if entry.request.kind == "deletion":
        _cancel_in_mixpanel(ledger, gdpr(), one, now)
    for job in one.jobs:
        ledger.change(entry, partial(_without_job, job=job))


def _cancel_in_mixpanel(ledger: Ledger, gdpr: Gdpr, one: Progress, now: Now) -> None:
    if any(not job.tracking_id for job in one.jobs):
        raise LedgerError(
            f"it is unknown whether the Mixpanel job of request {one.entry.request_id} exists; `mixpanel-etl gdpr "
            "status` says how to find out. Then try again"
        )
    for job in one.jobs:
        if job.status == "SUCCESS":
            _reject(ledger, one, job)
        if is_open(job):
            try:
                gdpr.cancel_deletion(job.tracking_id)
            except MixpanelError as error:
                if error.status != _METHOD_NOT_ALLOWED:
                    raise
                # A crash may have come between an earlier cancellation and its record.
                if gdpr.get_deletion(job.tracking_id).status.upper() != "REVOKED":
                    _reject(ledger, one, job)
            job = ledger.change_job(job, partial(Job.replace, status="REVOKED", ended_at=now()))  # noqa: PLW2901
        _leave(ledger, job)


def _reject(ledger: Ledger, one: Progress, job: Job) -> None:
    """Undo the cancellation, and say that it came too late."""
    ledger.change(one.entry, lambda entry: entry.replace(cancelling_at=None))
    raise LedgerError(
        f"the deletion of request {one.entry.request_id} has started in Mixpanel (job {job.tracking_id}), and can't be "
        "cancelled any more"
    )


def _leave(ledger: Ledger, job: Job) -> None:
    """All requests leave a job that does not count any more, and so are ready for another."""
    for each in open_requests(ledger, job.request_ids):
        ledger.change(each.entry, partial(_without_job, job=job))


def _without_job(entry: Entry, job: Job) -> Entry:
    return (
        entry if job.job_id in entry.left_jobs else entry.replace(left_jobs=(*entry.left_jobs, job.job_id), outcome="")
    )


def retry(ledger: Ledger, request_id: str, now: datetime, *, by: str) -> Entry:
    """Ask Mixpanel again for a request whose job has failed, in a job of its own, or whose archive was not delivered.

    Raises:
        LedgerError: there is no such open request, or its job is not over.
    """
    one = _open(ledger, request_id)
    state = one.state(now)
    if state != "failed" and not (state == "ended" and one.entry.request.kind == "retrieval"):
        raise LedgerError(f"request {request_id} is {state}: only one whose Mixpanel job is over can be tried again")
    alone = f"alone {request_id}" if state == "failed" else ""
    return _try_again(ledger, one, alone, Decision(what="retried", by=by, at=now))


def retry_job(ledger: Ledger, job_id: str, now: datetime, *, by: str) -> list[Entry]:
    """Ask Mixpanel again for all requests of a job that has failed, in two jobs of half of them each.

    So a few retries find the request that makes jobs fail, and the others are done. A job that was revoked in Mixpanel
    is created again as it was.

    Raises:
        LedgerError: there is no such job, it has not failed, or none of its requests is still in it.
    """
    job = ledger.job(job_id)
    if job.status not in ENDED - {"SUCCESS"}:
        raise LedgerError(
            f"job {job_id} is {job.status or 'not known to exist'}: only one that has failed can be retried"
        )
    left = [one for one in open_requests(ledger, job.request_ids) if job in one.jobs]
    if not left:
        raise LedgerError(f"job {job_id} has no request any more that waits for it")
    half = (len(left) + 1) // 2
    decision = Decision(what="retried", by=by, at=now, detail=job_id)
    names = [f"{job_id} {1 if number < half else 2}" if job.status == "FAILURE" else "" for number in range(len(left))]
    return [_try_again(ledger, one, name, decision) for one, name in zip(left, names, strict=True)]


def _try_again(ledger: Ledger, one: Progress, pack: str, decision: Decision) -> Entry:
    for job in one.jobs:
        ledger.change(one.entry, partial(_without_job, job=job))
    return ledger.change(one.entry, lambda entry: _with(entry, decision).replace(pack=pack))


def adopt(
    ledger: Ledger,
    gdpr: Gdpr,
    job_id: str,
    tracking_id: str,
    now: datetime,
    *,
    by: str,
    project_id: int | None = None,
) -> Job:
    """Enter the tracking id of a job whose creation was not answered into the ledger.

    Mixpanel is asked about it: kind, project and ids must be those that were asked for. It can be adopted again, or the
    adoption be undone, until the job has ended.

    Args:
        ledger: ledger of the lake.
        gdpr: GDPR API of the client.
        job_id: the job, as the ledger names it.
        tracking_id: the job, as Mixpanel names it.
        now: aware time.
        by: name of the person who decides.
        project_id: project of Mixpanel, where it is known.

    Raises:
        LedgerError: there is no such job, it has an id that Mixpanel gave, or the id is another job's.
        MixpanelError: Mixpanel could not be asked.
    """
    job = ledger.job(job_id)
    _check_adoption(ledger, job, tracking_id)
    deletion = job.kind == "deletion"
    state = gdpr.get_deletion(tracking_id) if deletion else gdpr.get_retrieval(tracking_id)
    if problem := _differs(ledger, job, state, project_id):
        raise LedgerError(f"{tracking_id} is not job {job_id}: {problem}. Nothing is changed")
    with ledger.locked():
        job = ledger.job(job_id)
        _check_adoption(ledger, job, tracking_id)
        known: dict[str, Any] = {
            "tracking_id": tracking_id,
            "created_at": job.intended_at,
            "adopted": True,
            "next_poll_at": now,
            "decisions": (*job.decisions, Decision(what="adopted", by=by, at=now, detail=tracking_id)),
        }
        return ledger.change_job(job, partial(Job.replace, status="UNKNOWN", problem="", alerted="", **known))


def undo_adoption(ledger: Ledger, job_id: str, now: datetime, *, by: str) -> Job:
    """Take back an adoption: it is unknown again whether the job exists, until a person decides.

    Raises:
        LedgerError: there is no such job, it was not adopted, or it has ended.
    """
    with ledger.locked():
        job = ledger.job(job_id)
        if not job.adopted:
            raise LedgerError(f"job {job_id} was not adopted; `mixpanel-etl gdpr status` lists the jobs")
        _check_not_ended(job)
        decision = Decision(what="adoption undone", by=by, at=now, detail=job.tracking_id)
        unknown: dict[str, Any] = {
            "created_at": None,
            "adopted": False,
            "next_poll_at": None,
            "problem": f"the adoption of {job.tracking_id} was undone",
            "decisions": (*job.decisions, decision),
        }
        return ledger.change_job(job, partial(Job.replace, tracking_id="", status="", alerted="", **unknown))


def send_again(ledger: Ledger, gdpr: Gdpr, job_id: str, now: Now, *, by: str) -> Job:
    """Create a job again whose existence is unknown. A second one does no harm, but counts.

    Raises:
        LedgerError: it has a tracking id, or its creation may be under way.
        NotCreated: Mixpanel rejected it.
        MaybeCreated: the answer is missing once more.
    """
    with ledger.locked() as held:
        job = ledger.job(job_id)
        if job.tracking_id:
            undo = f"; `mixpanel-etl gdpr adopt {job_id} --undo` takes back that it was adopted" if job.adopted else ""
            raise LedgerError(f"job {job_id} exists in Mixpanel already, as {job.tracking_id}{undo}")
        if not job.is_unclear(now()):
            raise LedgerError(f"job {job_id} is being created; wait ten minutes")
        wanted = set(job.request_ids)
        entries = tuple(entry for entry in ledger.entries() if entry.request_id in wanted)
        packed = Pack(job.kind, job.compliance, job.disclosure, asked_for(job, entries), job.part)
        decision = Decision(what="sent again", by=by, at=now())
        held.check()
        job = ledger.change_job(job, lambda job: job.replace(decisions=(*job.decisions, decision)))
        return create(ledger, gdpr, packed, job, now)


def _check_adoption(ledger: Ledger, job: Job, tracking_id: str) -> None:
    if job.tracking_id and not job.adopted:
        raise LedgerError(f"job {job.job_id} has the tracking id {job.tracking_id} already, which Mixpanel gave it")
    if job.tracking_id:
        _check_not_ended(job)
    if owner := next((one for one in ledger.jobs() if one.tracking_id == tracking_id != job.tracking_id), None):
        raise LedgerError(f"{tracking_id} is the {owner.kind} job {owner.job_id} of the ledger, not job {job.job_id}")


def _check_not_ended(job: Job) -> None:
    if job.ended_at:
        raise LedgerError(f"job {job.job_id} has ended in {job.status}: what was decided can't be changed any more")


def _differs(ledger: Ledger, job: Job, state: Deletion | Retrieval, project_id: int | None) -> str:
    """How a job of Mixpanel differs from the one whose creation was not answered; empty if it does not."""
    if state.status.strip().upper() not in RUNNING | ENDED:
        return f"Mixpanel knows no {job.kind} of this id ({state.status})"
    other = _other_ids(ledger, job, state.distinct_ids)
    return other or (_other_job(job, state, project_id) if isinstance(state, Deletion) else "")


def _other_job(job: Job, state: Deletion, project_id: int | None) -> str:
    if None not in (state.project_id, project_id) and state.project_id != project_id:
        return f"it is of project {state.project_id}, not {project_id}"
    if state.compliance_type and state.compliance_type.upper() != job.compliance.upper():
        return f"it is under {state.compliance_type.upper()}, not {job.compliance}"
    requested = _moment(state.date_requested)
    if requested and requested.replace(tzinfo=None) < job.intended_at.replace(tzinfo=None) - _TIME_ZONES:
        return f"it was requested on {requested:%Y-%m-%d}, before the request"
    return ""


def _other_ids(ledger: Ledger, job: Job, found: Collection[str]) -> str:
    if not found:
        return "Mixpanel's reply names no ids, so nothing shows that it is the same job"
    entries = ledger.named(job.request_ids)
    still_open = asked_for(job, [entry for entry in entries if not entry.is_closed])
    wanted = set(Pack(job.kind, job.compliance, job.disclosure, still_open, job.part).ids)
    hash_of = hasher(ledger.storage)
    gone = {one for entry in entries if entry.is_closed for one in entry.hashes}
    missing = wanted - set(found)
    beyond = [one for one in set(found) - wanted if hash_of(one) not in gone]
    if not missing and not beyond:
        return ""
    return f"{len(missing)} of the {job.id_count} ids are not in it, and {len(beyond)} others are"


def _moment(text: str | None) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if text else None
    except ValueError:
        return None


def _open(ledger: Ledger, request_id: str) -> Progress:
    (one,) = open_requests(ledger, [request_id]) or [Progress(ledger.entry(request_id), ())]
    return one


def _with(entry: Entry, decision: Decision) -> Entry:
    return entry.replace(decisions=(*entry.decisions, decision))
