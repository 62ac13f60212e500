"""`mixpanel-etl push`: sends the rows of a push, or shows what would be sent."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import dagster as dg
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from mixpanel_etl.cli.shared import console, errors, exit_on_error, project_module, waits
from mixpanel_etl.client import Mixpanel
from mixpanel_etl.dagster.push.assets import window_of
from mixpanel_etl.dagster.push.component import MixpanelPush
from mixpanel_etl.push.profile_push import Pushed
from mixpanel_etl.push.project_copy import ProjectMapping
from mixpanel_etl.push.push_error import PushError
from mixpanel_etl.push.query_push import QueryPush, Window, counted, reasons
from mixpanel_etl.push.rejected_rows import LATEST
from mixpanel_etl.push.row_push import PushedRows
from mixpanel_etl.settings import Settings

_REASONS = 20


def push(
    name: Annotated[str, typer.Argument(help="Name of the push, as in the YAML of a MixpanelPush.")],
    first: Annotated[str | None, typer.Option("--from", help="First day, YYYY-MM-DD. Default: yesterday.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last day, included. Default: the first day.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be sent and rejected.")] = False,
    retry_rejected: Annotated[
        bool, typer.Option("--retry-rejected", help="Run the query again, and send only the rows that were rejected.")
    ] = False,
    retry_unconfirmed: Annotated[
        bool,
        typer.Option(
            "--retry-unconfirmed",
            help="Also send rows whose $add, $append or $remove may have arrived already: it can be applied twice.",
        ),
    ] = False,
    allow_shrink: Annotated[
        bool,
        typer.Option("--allow-shrink", help="Send even if more than half of the profiles or rows would be removed."),
    ] = False,
    module: Annotated[
        str | None,
        typer.Option(
            "-m",
            "--module",
            help="Python package of the `defs` folder. Default: that of the Dagster project in this folder.",
        ),
    ] = None,
) -> None:
    """Send the rows of a push, outside of Dagster: `mixpanel-etl backfill --asset` does the same and records it."""
    with exit_on_error():
        component, found = _found(module or project_module("defs"), name)
        settings, lake = component.mixpanel.settings(), component.lake_uri
        warehouse = component.warehouse_resource.warehouse()
        parts = list(_parts(found, settings, lake, first, last, retry_rejected=retry_rejected))
        if not parts:
            console.print(f"nothing to do: {name} has no rejected rows")
            return
        if dry_run:
            for part, window in parts:
                _show(part, found.preview(warehouse, lake, part, window), " (nothing was sent)")
            return
        rejected = 0
        with Mixpanel(settings, waits) as mixpanel:
            for part, window in parts:
                with _bar(part, found.count(warehouse, window)) as advance:
                    done = found.send(
                        mixpanel,
                        warehouse,
                        lake,
                        part,
                        window,
                        retry_rejected=retry_rejected,
                        allow_shrink=allow_shrink,
                        retry_unconfirmed=retry_unconfirmed,
                        on_progress=advance,
                    )
                _show(part, done)
                rejected += done.rejected
    if rejected:
        errors.print(f"{rejected:,} rows were rejected: {found.rejected_rows(lake).uri}", soft_wrap=True)
        raise typer.Exit(1)


def _found(module: str, name: str) -> tuple[MixpanelPush, QueryPush]:
    try:
        folder = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise PushError(f"--module {module}: {error}") from None
    tree = dg.ComponentTree.from_module(folder, project_root=Path(str(folder.__file__)).parents[1])
    known: list[str] = []
    for component in tree.get_all_components(of_type=MixpanelPush):
        for item in component.pushes:
            if item.push.name == name:
                return component, item.push
            known.append(item.push.name)
    raise PushError(f"unknown push {name!r}; pushes in {module}: {', '.join(sorted(known)) or 'none'}")


def _parts(
    push: QueryPush, settings: Settings, lake: str, first: str | None, last: str | None, *, retry_rejected: bool
) -> Iterator[tuple[str, Window | None]]:
    """The partitions asked for, with their bounds."""
    rejected = push.rejected_rows(lake)
    zone = ZoneInfo(push.mapping.time_zone) if isinstance(push.mapping, ProjectMapping) else settings.zone
    if retry_rejected and first is None:
        keys = [key for key in rejected.keys() if (part := rejected.partition(key)) and part.rows]  # noqa: SIM118
    elif push.by_day:
        keys = _days(zone, first, last)
    else:
        keys = [LATEST]
    for key in keys:
        yield key, window_of(key, zone) if push.by_day else None


def _days(zone: ZoneInfo, first: str | None, last: str | None) -> list[str]:
    yesterday = datetime.now(UTC).astimezone(zone).date() - timedelta(days=1)
    try:
        start = date.fromisoformat(first) if first else yesterday
        end = date.fromisoformat(last) if last else start
    except ValueError as error:
        raise PushError(f"{error}: write days as YYYY-MM-DD") from None
    if end < start:
        raise PushError(f"--to {end} is before --from {start}")
    return [str(start + timedelta(days=n)) for n in range((end - start).days + 1)]


@contextmanager
def _bar(part: str, rows: int) -> Iterator[Callable[[PushedRows | Pushed], None]]:
    """A bar of the rows, their rate and the time that is left."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
    with Progress(*columns, TimeRemainingColumn(), console=errors) as progress:
        task = progress.add_task(part, total=rows, rate="")

        def advance(pushed: PushedRows | Pushed) -> None:
            speed = progress.tasks[0].speed or 0
            progress.update(task, completed=pushed.done, rate=f"{speed:,.0f} rows/s")

        yield advance
        progress.update(task, completed=rows)


def _show(part: str, pushed: PushedRows | Pushed, verb: str = "") -> None:
    numbers = ", ".join(f"{value:,} {name}" for name, value in counted(pushed).items() if value or name == "rows")
    console.print(f"{part}: {numbers}{verb}", highlight=False)
    if isinstance(pushed, PushedRows) and pushed.overwritten:
        fields = ", ".join(f"{name} ({count:,})" for name, count in pushed.overwritten.items())
        console.print(f"left out, because Mixpanel writes them itself: {fields}", highlight=False)
    if isinstance(pushed, PushedRows) and pushed.left_out:
        names = ", ".join(f"{name} ({count:,})" for name, count in pushed.left_out.items())
        console.print(f"left out, because the project's ID merge does not have them: {names}", highlight=False)
    for how, count in pushed.altered.items():
        console.print(f"changed in {count:,} rows: {how}", highlight=False, markup=False)
    for event in pushed.first:
        console.print_json(json.dumps(event))
    if pushed.messages:
        table = Table("rows", "reason", box=None, pad_edge=False)
        for message, count in reasons(pushed)[:_REASONS]:
            table.add_row(f"{count:,}", message)
        console.print(table)
