"""`mixpanel-etl export`: the pull without Dagster."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from mixpanel_etl.cli.shared import FromDate, ToDate, console, errors, exit_on_error
from mixpanel_etl.client import Mixpanel
from mixpanel_etl.lake import ConfigurationError, EventsTable
from mixpanel_etl.pull import EventFilter, pull_events
from mixpanel_etl.pull import Progress as Pulled
from mixpanel_etl.settings import Settings


def export(
    from_date: FromDate,
    to_date: ToDate,
    event: Annotated[list[str] | None, typer.Option(help="Only this event; may be repeated.")] = None,
    where: Annotated[str | None, typer.Option(help="Filter, such as properties['plan'] == 'pro'.")] = None,
    lake: Annotated[str | None, typer.Option(help="Path or s3:// URI; MIXPANEL_LAKE by default.")] = None,
    allow_shrink: Annotated[
        bool, typer.Option("--allow-shrink", help="Replace days even if Mixpanel now has fewer events for them.")
    ] = False,
    set_aside_malformed: Annotated[
        bool,
        typer.Option("--set-aside-malformed", help="Publish days with malformed lines; keep these lines beside them."),
    ] = False,
) -> None:
    """Export days into URI/events/date=... Exits with 1 when a day is missing."""
    with exit_on_error():
        settings = Settings.load()
        settings.require_credentials()
        first, last = from_date.date(), to_date.date()
        if first > last:
            raise ConfigurationError(f"--from {first} is after --to {last}")
        table = EventsTable(lake or settings.lake)
        days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
        published = {}
        with Mixpanel(settings) as mixpanel, _progress() as progress:
            if last > (today := mixpanel.transport.today()):
                raise ConfigurationError(f"--to {last} is in the future: in the project's time zone today is {today}")
            task = progress.add_task("export", total=len(days), rows=0, megabytes=0.0, rate=0.0)
            earlier = latest = 0  # rows of the requests before this one, and of this one

            def advance(pulled: Pulled) -> None:
                nonlocal earlier, latest
                if pulled.rows < latest:
                    earlier += latest
                latest = pulled.rows
                rows, seconds = earlier + latest, progress.tasks[task].elapsed or 1
                progress.update(task, rows=rows, megabytes=pulled.wire_bytes / 1e6, rate=rows / seconds)

            only = EventFilter(tuple(event or ()), where)
            pulled_days = pull_events(
                mixpanel,
                table,
                days,
                only,
                allow_shrink=allow_shrink,
                set_aside_malformed=set_aside_malformed,
                on_progress=advance,
            )
            for day in pulled_days:
                published[day.day] = day
                progress.advance(task)
    missing = [day for day in days if day not in published]
    if missing:
        errors.print(f"{len(missing)} day(s) are missing: {', '.join(map(str, missing[:10]))}")
        raise typer.Exit(1)
    rows = sum(day.rows for day in published.values())
    copies = sum(day.duplicates for day in published.values())
    if aside := sum(day.malformed for day in published.values()):
        console.print(f"{aside:,} malformed line(s) were set aside in {table.malformed_uri}")
    console.print(f"{len(published)} days, {rows:,} events, {copies:,} duplicates removed, in {table.uri}")


def _progress() -> Progress:
    return Progress(
        SpinnerColumn(),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("days  {task.fields[rows]:,} events  {task.fields[megabytes]:,.1f} MB  {task.fields[rate]:,.0f}/s"),
        TimeElapsedColumn(),
        console=errors,
    )
