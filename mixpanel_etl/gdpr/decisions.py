"""What a person decides about requests and jobs: cancel, try again, adopt, send again."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any

from mixpanel_etl.client import MixpanelError
from mixpanel_etl.client.gdpr import Gdpr
from mixpanel_etl.gdpr.jobs import Now, Pack, create
from mixpanel_etl.gdpr.ledger import Entry, Job, Ledger, LedgerError
from mixpanel_etl.gdpr.polling import is_open
from mixpanel_etl.gdpr.progress import Progress, open_requests

_METHOD_NOT_ALLOWED = 405


def cancel(ledger: Ledger, gdpr: Gdpr, request_id: str, now: Now) -> Entry:
    """Cancel a request: here, and in Mixpanel, where a deletion can be cancelled until it has STARTED.

    Other requests that shared its job leave it and get another. A retrieval can't be cancelled in Mixpanel: what it
    brings is not delivered. Running it again after a crash goes on where it was.

    Args:
        ledger: of the lake.
        gdpr: of the client.
        request_id: which.
        now: the aware present.

    Raises:
        LedgerError: there is no such open request, its deletion has started, or nobody knows whether its job exists.
        MixpanelError: Mixpanel could not be asked; the request stays as it was, and gets no further.
    """
    (one,) = open_requests(ledger, [request_id]) or [Progress(ledger.entry(request_id), ())]
    if one.entry.is_closed:
        raise LedgerError(f"request {request_id} is {one.state(now())} already, and can't be cancelled")
    with ledger.locked():  # a job that is being created for it is in the ledger afterwards
        entry = ledger.change(one.entry, lambda entry: entry.but(cancelling_at=now()))
    if entry.request.kind == "deletion":
        (one,) = open_requests(ledger, [request_id])  # no job can be created for it any more
        _cancel_in_mixpanel(ledger, gdpr, one, now)
    return ledger.change(entry, lambda entry: entry.forgotten(ledger.lake).but(cancelled_at=now()))


def _cancel_in_mixpanel(ledger: Ledger, gdpr: Gdpr, one: Progress, now: Now) -> None:
    if any(not job.tracking_id for job in one.jobs):
        raise LedgerError(
            f"nobody knows whether the Mixpanel job of request {one.entry.request_id} exists; `mixpanel-etl gdpr "
            "status` says how to find out. Then cancel again"
        )
    for job in one.jobs:
        if job.status == "SUCCESS":
            _refuse(ledger, one, job)
        if is_open(job):
            try:
                gdpr.cancel_deletion(job.tracking_id)
            except MixpanelError as error:
                if error.status != _METHOD_NOT_ALLOWED:
                    raise
                # A crash may have come between an earlier cancellation and its record.
                if gdpr.get_deletion(job.tracking_id).status.upper() != "REVOKED":
                    _refuse(ledger, one, job)
            job = ledger.change_job(job, partial(Job.but, status="REVOKED", ended_at=now()))  # noqa: PLW2901
        _leave(ledger, job)


def _refuse(ledger: Ledger, one: Progress, job: Job) -> None:
    """It goes on as if nobody had asked."""
    ledger.change(one.entry, lambda entry: entry.but(cancelling_at=None))
    raise LedgerError(
        f"the deletion of request {one.entry.request_id} has started in Mixpanel (job {job.tracking_id}), and can't be "
        "cancelled any more"
    )


def _leave(ledger: Ledger, job: Job) -> None:
    """All requests leave a job that does not count any more, and so are ready for another."""
    for each in open_requests(ledger, job.request_ids):
        ledger.change(each.entry, partial(_without_job, job=job))


def _without_job(entry: Entry, job: Job) -> Entry:
    return entry if job.job_id in entry.left_jobs else entry.but(left_jobs=(*entry.left_jobs, job.job_id), outcome="")


def retry(ledger: Ledger, request_id: str, now: datetime) -> Entry:
    """Ask Mixpanel anew for a request whose job has failed, or whose archive could not be delivered.

    Raises:
        LedgerError: there is no such open request, or its job is not over.
    """
    (one,) = open_requests(ledger, [request_id]) or [Progress(ledger.entry(request_id), ())]
    state = one.state(now)
    if state != "failed" and not (state == "ended" and one.entry.request.kind == "retrieval"):
        raise LedgerError(f"request {request_id} is {state}: only one whose Mixpanel job is over can be tried again")
    for job in one.jobs:
        ledger.change(one.entry, partial(_without_job, job=job))
    return ledger.entry(request_id)


def adopt(ledger: Ledger, job_id: str, tracking_id: str, now: datetime) -> Job:
    """Tell the ledger the tracking id of a job that exists, though no answer ever said so.

    Raises:
        LedgerError: there is no such job, or it has another one.
    """
    with ledger.locked():
        job = ledger.job(job_id)
        if job.tracking_id and job.tracking_id != tracking_id:
            raise LedgerError(f"job {job_id} has the tracking id {job.tracking_id} already")
        known: dict[str, Any] = {
            "tracking_id": tracking_id,
            "created_at": job.intended_at,
            "adopted": True,
            "next_poll_at": now,
        }
        return ledger.change_job(job, partial(Job.but, status="UNKNOWN", problem="", **known))


def send_again(ledger: Ledger, gdpr: Gdpr, job_id: str, now: Now) -> Job:
    """Create a job anew of which nobody knew whether it exists. A second one does no harm, but counts.

    Raises:
        LedgerError: it has a tracking id, or its creation may be under way.
        NotCreated: Mixpanel refused it.
        MaybeCreated: the answer is missing once more.
    """
    with ledger.locked() as held:
        job = ledger.job(job_id)
        if job.tracking_id:
            raise LedgerError(f"job {job_id} exists in Mixpanel already, as {job.tracking_id}")
        if not job.is_unclear(now()):
            raise LedgerError(f"job {job_id} is being created at this moment; wait ten minutes")
        wanted = set(job.request_ids)
        entries = tuple(entry for entry in ledger.entries() if entry.request_id in wanted)
        packed = Pack(job.kind, job.compliance, job.disclosure, entries, job.part)
        held.check()
        return create(ledger, gdpr, packed, job, now)
