"""Asking Mixpanel how its jobs are: soon at first, then every few hours, for weeks.

Source: mixpanel-api.md#gdpr-jobs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial

from mixpanel_etl.client import Gdpr, MixpanelError
from mixpanel_etl.errors import listed
from mixpanel_etl.gdpr.jobs import Now
from mixpanel_etl.gdpr.ledger import Ledger
from mixpanel_etl.gdpr.ledger_entries import Job
from mixpanel_etl.gdpr.progress import ENDED, RUNNING

_SOONEST, _LATEST = timedelta(minutes=1), timedelta(hours=6)
_SHARE = 10  # of a job's age, until it is asked about again


def poll(ledger: Ledger, gdpr: Gdpr, now: Now, enough: Callable[[], bool] = lambda: False) -> Iterator[Job]:
    """Ask about each open job whose time has come, the one that has waited longest first.

    A status that ends nothing, known or not, is written down, and the job is asked about again. So is one that can't
    be asked about: `problem` says why.

    Args:
        ledger: of the lake.
        gdpr: of the client, which keeps to one request a second.
        now: the aware present.
        enough: asked before each; once true, the rest waits for another time.

    Yields:
        The jobs as they are in the ledger now.
    """
    due = [job for job in ledger.jobs() if is_open(job) and (job.next_poll_at is None or job.next_poll_at <= now())]
    for job in sorted(due, key=lambda one: one.next_poll_at or one.intended_at):
        if enough():
            return
        try:
            status, problem = _status(gdpr, job), ""
        except MixpanelError as error:
            # Nothing of the reply: it may name persons.
            status, problem = job.status, f"{type(error).__name__}{f' ({error.status})' if error.status else ''}"
        yield ledger.change_job(job, partial(_asked, status=status, problem=problem, now=now()))


def is_open(job: Job) -> bool:
    """Whether a job exists, and has not ended as far as we know."""
    return bool(job.tracking_id) and job.ended_at is None


def trouble(job: Job, now: datetime, too_long: timedelta) -> str:
    """What a person should look at; empty when all is well.

    Args:
        job: of the ledger.
        now: aware.
        too_long: after which an open job is one.
    """
    name = f"Mixpanel's {job.kind} job {job.tracking_id or job.job_id}"
    if job.is_unclear(now):
        return (
            f"Unknown whether Mixpanel created the {job.kind} job {job.job_id}. Mixpanel lists its jobs under Project "
            f"Settings > Data & Privacy: if it is there, `mixpanel-etl gdpr adopt {job.job_id} TRACKING_ID`, else "
            f"`mixpanel-etl gdpr resend {job.job_id}`"
        )
    if job.status in ("FAILURE", "REVOKED"):
        return (
            f"{name} has ended in {job.status}: {len(job.request_ids)} requests with {job.id_count} ids are not done "
            f"({listed(job.request_ids)}). `mixpanel-etl gdpr retry --job {job.job_id}` asks again in halves, "
            "`mixpanel-etl gdpr retry REQUEST` for one of them"
        )
    if not is_open(job):
        return ""
    if now - (job.created_at or job.intended_at) > too_long:
        return f"{name} has not ended for {(now - (job.created_at or job.intended_at)).days} days; ask its support"
    if job.status not in RUNNING:
        return f"{name} is {job.status}, which means nothing known. It is asked about again; compare the tracking id"
    return ""


def pause(age: timedelta) -> timedelta:
    """How long until a job of this age is asked about again: a tenth of it, from a minute to six hours."""
    return min(max(age / _SHARE, _SOONEST), _LATEST)


def _status(gdpr: Gdpr, job: Job) -> str:
    state = gdpr.get_deletion(job.tracking_id) if job.kind == "deletion" else gdpr.get_retrieval(job.tracking_id)
    return state.status.strip().upper() or "UNKNOWN"


def _asked(job: Job, status: str, problem: str, now: datetime) -> Job:
    if not is_open(job):  # another process has seen its end
        return job
    return job.replace(
        status=status,
        problem=problem,
        polled_at=now,
        polls=job.polls + 1,
        next_poll_at=now + pause(now - (job.created_at or job.intended_at)),
        ended_at=now if status in ENDED else None,
    )
