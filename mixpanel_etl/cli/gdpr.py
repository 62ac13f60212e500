"""`mixpanel-etl gdpr`: how requests of data subjects are, and what a person decides about them."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from getpass import getuser
from pathlib import Path
from typing import Annotated, get_args

import typer

from mixpanel_etl.cli import gdpr_tables
from mixpanel_etl.cli.shared import console, errors, exit_on_error, use_dagster_home
from mixpanel_etl.client import Gdpr, Mixpanel
from mixpanel_etl.errors import MAX_LISTED
from mixpanel_etl.gdpr import certificate, confirmation, decisions
from mixpanel_etl.gdpr.confirmation import waiting_for
from mixpanel_etl.gdpr.data_subject_requests import Kind
from mixpanel_etl.gdpr.intake import rejected_table
from mixpanel_etl.gdpr.jobs import wait_for_retrievals
from mixpanel_etl.gdpr.ledger import Ledger
from mixpanel_etl.gdpr.ledger_entries import Entry
from mixpanel_etl.gdpr.polling import trouble
from mixpanel_etl.gdpr.progress import Progress, open_requests, progress_of
from mixpanel_etl.gdpr.redaction import GdprError
from mixpanel_etl.settings import DEFAULT_PREFIX, Settings

gdpr = typer.Typer(
    help="Show data subject requests and act on them.",
    no_args_is_help=True,
    add_completion=False,
)

Request = Annotated[str, typer.Argument(help="request_id of the request.")]
JobId = Annotated[str, typer.Argument(help="Job id, as in `gdpr status`.")]
EnvPrefix = Annotated[str, typer.Option(help="Prefix of the project's environment variables.")]
By = Annotated[str | None, typer.Option(help="Name recorded with the decision; your login name by default.")]
Lake = Annotated[str | None, typer.Option(help="Path or s3:// URI; by default the variable MIXPANEL_LAKE.")]

_LATE = timedelta(days=30)


@gdpr.command()
def status(
    request: Annotated[str | None, typer.Argument(help="request_id of one request, open or closed.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
    env_prefix: EnvPrefix = DEFAULT_PREFIX,
    lake: Lake = None,
) -> None:
    """Show the open requests, the one that is due first at the top, what is rejected, and what needs a person."""
    with exit_on_error():
        ledger, now = _ledger(env_prefix, lake), _now()
        entries = ledger.entries()
        if request and not (entries := [entry for entry in entries if entry.request_id == request]):
            entries = [] if any(_rejections(ledger, request)) else [ledger.entry(request)]
        progress = sorted(progress_of(entries, ledger.jobs()), key=lambda one: one.deadline)
        if as_json:
            for one in progress:
                _print(json.dumps(gdpr_tables.as_json(one, now)))
            return
        if progress:
            console.print(gdpr_tables.status_table(progress, now))
        for text in (
            *gdpr_tables.jobs_of(progress),
            *_needs_a_person(ledger, progress, now),
            *_rejections(ledger, request),
        ):
            _print(text)


@gdpr.command()
def confirm(
    requests: Annotated[
        list[str] | None, typer.Argument(help="request_ids; by default all that wait for a decision.")
    ] = None,
    claims: Annotated[
        str | None,
        typer.Option(help="Numbers of the accepted claims (1,3), `none` or `all`. The others are declined."),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--from", exists=True, dir_okay=False, help="CSV file with the columns request_id and claims."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the evidence as one JSON object per line.")] = False,
    by: By = None,
    env_prefix: EnvPrefix = DEFAULT_PREFIX,
    lake: Lake = None,
) -> None:
    """Show the evidence about ids that are not certain, and decide which belong to the person of a request.

    Without --claims and --from nothing is decided. The evidence names persons: mind where you print it to.
    """
    with exit_on_error():
        if (claims and file) or (claims and not requests) or (file and requests):
            raise GdprError("give request_ids with --claims, or a file with --from, or neither to see the evidence")
        ledger = _ledger(env_prefix, lake)
        chosen = _choices_of(file) if file else dict.fromkeys(requests or (), claims or "")
        entries = {entry.request_id: entry for entry in (ledger.named(chosen) if chosen else ledger.entries())}
        if claims is None and file is None:
            shown = [ledger.entry(name) for name in chosen] or [one for one in entries.values() if one.in_doubt]
            _show_evidence(shown, as_json)
            return
        choices = {name: _numbers(text, entries.get(name)) for name, text in chosen.items()}
        with ExitStack() as opened:
            done, failed = confirmation.confirm(ledger, _opening(opened, env_prefix), choices, _now, by=_who(by))
        for entry in done:
            _print(f"request {entry.request_id} is confirmed with {len(choices[entry.request_id])} of its claims")
        for error in failed:
            errors.print(str(error), markup=False, highlight=False, soft_wrap=True)
    if failed:
        raise typer.Exit(1)


@gdpr.command()
def cancel(request: Request, by: By = None, env_prefix: EnvPrefix = DEFAULT_PREFIX, lake: Lake = None) -> None:
    """Cancel a request, here and in Mixpanel: a deletion until Mixpanel has STARTED it. It can't be taken back."""
    with exit_on_error():
        ledger = _ledger(env_prefix, lake)
        with Mixpanel(Settings.load(env_prefix), deadline=60) as mixpanel:
            decisions.cancel(ledger, mixpanel.gdpr, request, _now, by=_who(by))
    console.print(f"request {request} is cancelled")


@gdpr.command()
def retry(
    request: Annotated[str | None, typer.Argument(help="request_id of the request.")] = None,
    job: Annotated[
        str | None, typer.Option(help="Job id of a failed job: retry all its requests, in two halves.")
    ] = None,
    by: By = None,
    env_prefix: EnvPrefix = DEFAULT_PREFIX,
    lake: Lake = None,
) -> None:
    """Create another job for a request whose job failed, or whose archive can't be delivered."""
    with exit_on_error():
        if (request is None) == (job is None):
            raise GdprError("give a request_id or --job, not both")
        ledger = _ledger(env_prefix, lake)
        if job:
            entries = decisions.retry_job(ledger, job, _now(), by=_who(by))
        else:
            entries = [decisions.retry(ledger, str(request), _now(), by=_who(by))]
    names = f"request {request} gets" if request else f"{len(entries)} requests of {job} get"
    console.print(f"{names} another Mixpanel job; the sensor creates it", soft_wrap=True)


@gdpr.command()
def adopt(
    job: JobId,
    tracking_id: Annotated[
        str | None, typer.Argument(help="Tracking id, from Mixpanel's Project Settings > Data & Privacy.")
    ] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Undo an adoption; possible until the job has ended.")] = False,
    by: By = None,
    env_prefix: EnvPrefix = DEFAULT_PREFIX,
    lake: Lake = None,
) -> None:
    """Say which Mixpanel job is the one whose creation was never answered. Its ids are compared."""
    with exit_on_error():
        if (tracking_id is None) != undo:
            raise GdprError("give a tracking id or --undo, not both")
        ledger = _ledger(env_prefix, lake)
        if tracking_id is None:
            decisions.undo_adoption(ledger, job, _now(), by=_who(by))
        else:
            settings = Settings.load(env_prefix)
            with Mixpanel(settings, deadline=60) as mixpanel:
                decisions.adopt(
                    ledger, mixpanel.gdpr, job, tracking_id, _now(), by=_who(by), project_id=settings.project_id
                )
    console.print(
        f"job {job} is {tracking_id}; the sensor polls it" if tracking_id else f"job {job} is adopted no more",
        soft_wrap=True,
    )


@gdpr.command()
def resend(job: JobId, by: By = None, env_prefix: EnvPrefix = DEFAULT_PREFIX, lake: Lake = None) -> None:
    """Create a job again whose creation was never answered, and which Mixpanel does not list."""
    with exit_on_error():
        ledger = _ledger(env_prefix, lake)
        with Mixpanel(Settings.load(env_prefix), deadline=60) as mixpanel:
            created = decisions.send_again(ledger, mixpanel.gdpr, job, _now, by=_who(by))
    console.print(f"job {job} is {created.tracking_id}", soft_wrap=True)


@gdpr.command()
def scrub_dagster(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would be removed, and remove nothing.")] = False,
    env_prefix: EnvPrefix = DEFAULT_PREFIX,
    lake: Lake = None,
) -> None:
    """Remove personal data that older versions recorded in Dagster: previews, pictures, reasons, quoted replies."""
    import dagster as dg

    from mixpanel_etl.dagster.gdpr.scrub import scrub_dagster as scrub

    use_dagster_home()
    with exit_on_error(), dg.DagsterInstance.get() as instance:
        found = scrub(instance, dry_run=dry_run)
        for run_id, records in sorted(found.runs.items()):
            logs = ", and its captured logs" if run_id in found.logs else ""
            console.print(f"{f'run {run_id}' if run_id else 'no run'}: {records} records{logs}", highlight=False)
        if not dry_run:
            certificate.note_scrub(_ledger(env_prefix, lake).storage, _now(), found.records)
    done = "would be scrubbed" if dry_run else "are scrubbed"
    console.print(f"{found.records} records of {len(found.runs)} runs {done}", highlight=False)


def _show_evidence(entries: list[Entry], as_json: bool) -> None:
    for entry in sorted(entries, key=lambda one: one.request_id):
        if as_json:
            _print(json.dumps(gdpr_tables.evidence_json(entry)))
        else:
            for text in gdpr_tables.evidence_lines(entry):
                _print(text)
    if not as_json:
        waiting = sum(bool(entry.in_doubt) for entry in entries)
        _print(f"{waiting} {'request waits' if waiting == 1 else 'requests wait'} for your decision:")
        _print("  mixpanel-etl gdpr confirm REQUEST --claims 1,3   (or none, or all)")
        _print("  mixpanel-etl gdpr cancel REQUEST")


def _choices_of(file: Path) -> dict[str, str]:
    with file.open(newline="", encoding="utf-8-sig") as lines:
        reader = csv.DictReader(lines)
        if not {"request_id", "claims"} <= set(reader.fieldnames or ()):
            raise GdprError(f"{file}: the first line must have the columns request_id and claims")
        rows = [(row["request_id"].strip(), (row["claims"] or "").strip()) for row in reader]
    doubled = next((name for name, count in Counter(name for name, _ in rows).items() if count > 1), None)
    if doubled is not None:
        raise GdprError(f"{file}: request {doubled} is there more than once; give each request one line")
    if empty := next((name for name, claims in rows if not claims), None):
        raise GdprError(f"{file}: claims of request {empty} is empty; write numbers like 1 3, `none` or `all`")
    return dict(rows)


def _numbers(text: str, entry: Entry | None) -> frozenset[int]:
    if text == "all":
        return frozenset(claim.number for claim in entry.claims) if entry else frozenset()
    if text == "none":
        return frozenset()
    try:
        return frozenset(int(number) for number in text.replace(",", " ").split())
    except ValueError:
        raise GdprError(f"claims {text!r} must be numbers like 1,3, `none` or `all`") from None


def _opening(opened: ExitStack, env_prefix: str) -> Callable[[], Gdpr]:
    """Opens a client when a job has to be cancelled; most decisions need none."""
    return lambda: opened.enter_context(Mixpanel(Settings.load(env_prefix), deadline=60)).gdpr


def _who(by: str | None) -> str:
    return by or getuser()


def _print(text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _ledger(env_prefix: str, lake: str | None) -> Ledger:
    return Ledger(lake or Settings.load(env_prefix).lake)


def _now() -> datetime:
    return datetime.now(UTC)


def _needs_a_person(ledger: Ledger, progress: list[Progress], now: datetime) -> Iterator[str]:
    jobs = {job.job_id: job for one in progress for job in one.jobs}
    yield from (text for job in jobs.values() if (text := trouble(job, now, _LATE)))
    waiting = wait_for_retrievals(open_requests(ledger))
    waits = [one.entry for one in progress if one.entry.in_doubt]
    for entry in waits[:MAX_LISTED]:
        yield from (f"request {entry.request_id} waits for your decision: {reason}" for reason in waiting_for(entry))
    if waits:
        yield f"`mixpanel-etl gdpr confirm` shows the evidence of all {len(waits)} requests that wait for your decision"
    for one in progress:
        if one.entry.cancelling_at and not one.entry.is_closed:
            yield f"a decision about request {one.entry.request_id} was interrupted: type it again"
        if one.state(now) in ("held", "ready") and (retrieval := waiting.get(one.entry.request_id)):
            yield f"request {one.entry.request_id} waits for the data that {retrieval} retrieves of the same person"
    for kind in get_args(Kind):
        pause = ledger.pause(kind)
        if pause and any(one.entry.request.kind == kind and one.state(now) == "ready" for one in progress):
            until = f"{pause.until:%Y-%m-%d %H:%M} UTC"
            yield f"No {kind} job could be created; the next try is after {until}: {pause.reason}"


def _rejections(ledger: Ledger, request: str | None) -> Iterator[str]:
    table = rejected_table(ledger.lake)
    for key in table.keys():  # noqa: SIM118 - not a dictionary
        for row in (row for batch in table.batches(key) for row in batch.to_pylist()):
            if request in (None, row["request_id"]):
                name = row["request_id"] or "(without a usable id)"
                yield f"rejected {row['rejected_at']:%Y-%m-%d}: {name} from {row['source']}: {row['reason']}"
