"""`mixpanel-etl demo`: 250 days from a sandbox through Dagster into a lake, and the proof that nothing is missing.

Then three of Mixpanel's reports, with their pictures, beside the same numbers counted from the lake's events.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated

import dagster as dg
import typer
from rich.table import Table

from mixpanel_etl.cli.backfill import run
from mixpanel_etl.cli.shared import console, exit_on_error
from mixpanel_etl.client import Mixpanel
from mixpanel_etl.dagster.backfill import Backfill
from mixpanel_etl.demo.equality import REPORTS, compare
from mixpanel_etl.demo.project import ROOT, demo_project
from mixpanel_etl.lake import EventsTable
from mixpanel_etl.pull import reconcile
from mixpanel_etl.settings import Settings

_REPORTED_DAYS = 90


def demo(root: Annotated[Path, typer.Option(help="Folder for the demo's lake and Dagster home.")] = ROOT) -> None:
    """Pull 250 days of generated events and three reports from a sandbox, and show that lake and Mixpanel agree."""
    root = root.absolute()
    with exit_on_error(), demo_project(root) as (sandbox, first, last):
        from mixpanel_etl.demo.definitions import defs

        definitions = defs()
        with dg.DagsterInstance.get() as instance:
            plan = Backfill(definitions, "mixpanel/events", instance)
            started = time.perf_counter()
            run(plan, plan.ranges(plan.days(str(first), str(last))))
            seconds = time.perf_counter() - started
            exports = sum(request.path.endswith("/export") for request in sandbox.requests)
            good = _show_export(Settings.load(), first, last, seconds, exports)
            good &= _show_reports(instance, definitions, root, last)
    console.print(_NEXT.format(root=root.name), highlight=False, markup=False, soft_wrap=True)
    if not good:
        raise typer.Exit(1)


def _show_export(settings: Settings, first: date, last: date, seconds: float, exports: int) -> bool:
    """Tell what was exported; whether all is there."""
    table = EventsTable(settings.lake)
    wanted = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    days = [day for day in map(table.day, wanted) if day]
    with Mixpanel(settings) as mixpanel:
        found = [reconcile(mixpanel, table, wanted[n : n + 100]) for n in range(0, len(wanted), 100)]
    compared = sum(len(part.days) for part in found)
    differing = sum(len(part.beyond(0)) for part in found)
    shown = Table(show_header=False, title="250 days of Mixpanel events in Parquet")
    for name, value in {
        "days": f"{len(days)} of {len(wanted)}, {first} to {last}",
        "rows": f"{sum(day.rows for day in days):,}",
        "duplicates removed": f"{sum(day.duplicates for day in days):,}",
        "bytes": f"{sum(day.bytes for day in days):,}",
        "export calls spent": str(exports),
        "seconds": f"{seconds:.1f}",
        "reconciliation": f"{sum(p.lake_total for p in found):,} events in the lake, "
        f"{sum(p.mixpanel_total for p in found):,} in Mixpanel, {differing} of {compared} days differ",
    }.items():
        shown.add_row(name, value)
    console.print(shown)
    return len(days) == len(wanted) and not differing


def _show_reports(instance: dg.DagsterInstance, definitions: dg.Definitions, root: Path, last: date) -> bool:
    """Materialize three reports of 90 days, keep their pictures, and compare them; whether all are equal."""
    shown = Table(title="Mixpanel's reports beside the lake's events", caption=f"pictures: {root.name}/pictures/*.png")
    shown.add_column("report", no_wrap=True)
    for name in ("numbers", "Mixpanel", "lake", "differ", "queries"):
        shown.add_column(name, justify="right")
    good = True
    for report in REPORTS:
        plan = Backfill(definitions, f"mixpanel/reports/{report}", instance)
        keys = plan.days(str(last - timedelta(days=_REPORTED_DAYS - 1)), str(last))
        result = plan.run(keys)
        if not result.success:
            return False
        _keep_picture(result, root / "pictures" / f"{report}.png")
        found = compare(str(root / "lake"), report, date.fromisoformat(keys[0]), plan.last_day(keys[-1]))
        good &= found.numbers > 0 and found.differing == 0
        (queries,) = set(_metadata(result, "mixpanel_etl/queries_spent"))
        shown.add_row(report, *(f"{cell:,}" for cell in found), str(queries))
    console.print(shown)
    return good


def _keep_picture(result: dg.ExecuteInProcessResult, path: Path) -> None:
    """The picture of a run, out of the metadata in which Dagster's UI shows it."""
    for markdown in _metadata(result, "mixpanel_etl/picture"):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(base64.b64decode(str(markdown).rpartition("base64,")[2].rstrip(")")))


def _metadata(result: dg.ExecuteInProcessResult, name: str) -> Iterator[object]:
    for event in result.all_events:
        if event.is_step_materialization and name in event.step_materialization_data.materialization.metadata:
            yield event.step_materialization_data.materialization.metadata[name].value


_NEXT = """\
Query it: the same in DuckDB, Polars, Spark or Athena, as files partitioned by `date`. With DuckDB:

  .venv/bin/mixpanel-etl sql --lake {root}/lake "FROM segmentation('checkout', current_date - 7, current_date - 1)"

Look at it: `make dev`, then http://localhost:3000/assets/mixpanel/events"""
