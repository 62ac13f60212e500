"""`mixpanel-etl demo`: 250 days from a sandbox through Dagster into a lake, and the proof that nothing is missing."""

from __future__ import annotations

import time
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated

import dagster as dg
import typer
from rich.table import Table

from mixpanel_etl.cli.backfill import run
from mixpanel_etl.cli.shared import console, told_plainly
from mixpanel_etl.client import Mixpanel
from mixpanel_etl.demo.project import ROOT, demo_project
from mixpanel_etl.lake import EventsTable
from mixpanel_etl.orchestration.backfill import Backfill
from mixpanel_etl.pull import reconcile
from mixpanel_etl.settings import Settings


def demo(root: Annotated[Path, typer.Option(help="Folder for the demo's lake and Dagster home.")] = ROOT) -> None:
    """Pull 250 days of generated events from a sandbox through Dagster, and show that nothing is missing."""
    with told_plainly(), demo_project(root.absolute()) as (sandbox, first, last):
        from mixpanel_etl.definitions import defs

        with dg.DagsterInstance.get() as instance:
            plan = Backfill(defs(), "mixpanel/events", instance)
            started = time.perf_counter()
            run(plan, plan.ranges(plan.days(str(first), str(last))))
            seconds = time.perf_counter() - started
        exports = sum(request.path.endswith("/export") for request in sandbox.requests)
        _report(Settings.load(), first, last, seconds, exports)


def _report(settings: Settings, first: date, last: date, seconds: float, exports: int) -> None:
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
    console.print(_NEXT, highlight=False, markup=False, soft_wrap=True)
    if len(days) < len(wanted) or differing:
        raise typer.Exit(1)


_NEXT = """\
Query it: the same in DuckDB, Polars, Spark or Athena, as files partitioned by `date`. With DuckDB:

  .venv/bin/mixpanel-etl sql --lake .demo/lake "FROM segmentation('checkout', current_date - 7, current_date - 1)"

Look at it: `make dev`, then http://localhost:3000/assets/mixpanel/events"""
