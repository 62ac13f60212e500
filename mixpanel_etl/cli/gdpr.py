"""`mixpanel-etl gdpr`: how requests of data subjects are, and what a person decides about them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, get_args

import typer
from rich.table import Table

from mixpanel_etl.cli.shared import console, told_plainly
from mixpanel_etl.client import Mixpanel
from mixpanel_etl.gdpr import decisions
from mixpanel_etl.gdpr.intake import rejected_table
from mixpanel_etl.gdpr.jobs import wait_for_retrievals
from mixpanel_etl.gdpr.ledger import Ledger
from mixpanel_etl.gdpr.polling import trouble
from mixpanel_etl.gdpr.progress import ROW, Progress, open_requests, progress_of
from mixpanel_etl.gdpr.requests import Kind
from mixpanel_etl.settings import DEFAULT_PREFIX, Settings

gdpr = typer.Typer(
    help="Requests of data subjects: how far they are, and what a person decides about them.", no_args_is_help=True
)

Request = Annotated[str, typer.Argument(help="Its request_id.")]
JobId = Annotated[str, typer.Argument(help="As `gdpr status` gives it.")]
EnvPrefix = Annotated[str, typer.Option(help="What the project's variables begin with.")]
Lake = Annotated[str | None, typer.Option(help="Path or s3:// URI; by default the variable MIXPANEL_LAKE.")]

_LATE = timedelta(days=30)


@gdpr.command()
def status(
    request: Annotated[str | None, typer.Argument(help="Only this one, also if it is over.")] = None,
    env_prefix: EnvPrefix = DEFAULT_PREFIX,
    lake: Lake = None,
) -> None:
    """Show the open requests, the one that is due first at the top, what is rejected, and what needs a person."""
    with told_plainly():
        ledger, now = _ledger(env_prefix, lake), _now()
        entries = ledger.entries()
        if request and not (entries := [entry for entry in entries if entry.request_id == request]):
            entries = [] if any(_rejections(ledger, request)) else [ledger.entry(request)]
        progress = sorted(progress_of(entries, ledger.jobs()), key=lambda one: one.deadline)
        table = Table(box=None, pad_edge=False)
        for name in ROW:
            table.add_column(name, overflow="fold")  # whole, for those who copy it
        for one in progress:
            table.add_row(*map(str, one.row(now).values()))
        if progress:
            console.print(table)
        for text in (*_needs_a_person(ledger, progress, now), *_rejections(ledger, request)):
            console.print(text, markup=False, highlight=False, soft_wrap=True)


@gdpr.command()
def cancel(request: Request, env_prefix: EnvPrefix = DEFAULT_PREFIX, lake: Lake = None) -> None:
    """Cancel a request, here and in Mixpanel: a deletion until Mixpanel has STARTED it."""
    with told_plainly():
        ledger = _ledger(env_prefix, lake)
        with Mixpanel(Settings.load(env_prefix), deadline=60) as mixpanel:
            decisions.cancel(ledger, mixpanel.gdpr, request, _now)
    console.print(f"request {request} is cancelled")


@gdpr.command()
def retry(request: Request, env_prefix: EnvPrefix = DEFAULT_PREFIX, lake: Lake = None) -> None:
    """Ask Mixpanel anew for a request whose job has failed, or whose archive can't be delivered."""
    with told_plainly():
        decisions.retry(_ledger(env_prefix, lake), request, _now())
    console.print(f"request {request} gets another Mixpanel job; the sensor asks for it")


@gdpr.command()
def adopt(
    job: JobId,
    tracking_id: Annotated[str, typer.Argument(help="As Mixpanel lists it under Project Settings > Data & Privacy.")],
    env_prefix: EnvPrefix = DEFAULT_PREFIX,
    lake: Lake = None,
) -> None:
    """Say which Mixpanel job is the one whose creation was never answered."""
    with told_plainly():
        decisions.adopt(_ledger(env_prefix, lake), job, tracking_id, _now())
    console.print(f"job {job} is {tracking_id}; the sensor polls it")


@gdpr.command()
def resend(job: JobId, env_prefix: EnvPrefix = DEFAULT_PREFIX, lake: Lake = None) -> None:
    """Create a job again whose creation was never answered, and which Mixpanel does not list."""
    with told_plainly():
        ledger = _ledger(env_prefix, lake)
        with Mixpanel(Settings.load(env_prefix), deadline=60) as mixpanel:
            created = decisions.send_again(ledger, mixpanel.gdpr, job, _now)
    console.print(f"job {job} is {created.tracking_id}")


def _ledger(env_prefix: str, lake: str | None) -> Ledger:
    return Ledger(lake or Settings.load(env_prefix).lake)


def _now() -> datetime:
    return datetime.now(UTC)


def _needs_a_person(ledger: Ledger, progress: list[Progress], now: datetime) -> Iterator[str]:
    jobs = {job.job_id: job for one in progress for job in one.jobs}
    yield from (text for job in jobs.values() if (text := trouble(job, now, _LATE)))
    waiting = wait_for_retrievals(open_requests(ledger))
    for one in progress:
        if one.state(now) in ("held", "ready") and (retrieval := waiting.get(one.entry.request_id)):
            yield f"request {one.entry.request_id} waits for the data that {retrieval} retrieves of the same person"
    for kind in get_args(Kind):
        pause = ledger.pause(kind)
        if pause and any(one.entry.request.kind == kind and one.state(now) == "ready" for one in progress):
            until = f"{pause.until:%Y-%m-%d %H:%M} UTC"
            yield f"No {kind} job could be created; the next try is after {until}: {pause.reason}"


def _rejections(ledger: Ledger, request: str | None) -> Iterator[str]:
    table = rejected_table(ledger.lake)
    for key in table.keys():  # noqa: SIM118 - it is no dictionary
        for row in (row for batch in table.batches(key) for row in batch.to_pylist()):
            if request in (None, row["request_id"]):
                name = row["request_id"] or "(without a usable id)"
                yield f"rejected {row['rejected_at']:%Y-%m-%d}: {name} from {row['source']}: {row['reason']}"
