"""`mixpanel-etl backfill`: a Dagster backfill from the command line, in as few runs as the asset allows."""

from __future__ import annotations

import importlib
from typing import Annotated

import dagster as dg
import typer
from rich.progress import track

from mixpanel_etl.cli.shared import (
    FromDate,
    ToDate,
    console,
    errors,
    exit_on_error,
    project_module,
    use_dagster_home,
)
from mixpanel_etl.dagster.backfill import Backfill, BackfillError, Which
from mixpanel_etl.dagster.internals import LazyDefinitions


def backfill(
    from_date: FromDate,
    to_date: ToDate,
    asset: Annotated[str, typer.Option(help="Key of the asset.")] = "mixpanel/events",
    missing: Annotated[bool, typer.Option("--missing", help="Only days that are not materialized yet.")] = False,
    failed: Annotated[bool, typer.Option("--failed", help="Only days whose last run failed.")] = False,
    queue: Annotated[
        bool,
        typer.Option("--queue", help="Queue the runs for Dagster's daemon instead of running them in this process."),
    ] = False,
    module: Annotated[
        str | None,
        typer.Option(
            "-m",
            "--module",
            help="Python module with the definitions; by default that of the Dagster project in this folder.",
        ),
    ] = None,
) -> None:
    """Materialize days of an asset, as Dagster's own command line cannot: in as few runs as the asset allows."""
    which: Which = "failed" if failed else "missing" if missing else "all"
    with exit_on_error(), _instance() as instance:
        plan = Backfill(_definitions(module or project_module("definitions")), asset, instance)
        days = plan.days(str(from_date.date()), str(to_date.date()), which)
        ranges = plan.ranges(days)
        if not days:
            console.print(
                f"nothing to do: no {which} days of {asset} between {from_date:%Y-%m-%d} and {to_date:%Y-%m-%d}"
            )
            return
        console.print(f"{len(days)} days of {asset} in {len(ranges)} run(s)")
        if queue:
            console.print(f"queued as backfill {plan.submit(days)}; `dagster-daemon` (or `make dev`) works on it")
            return
        run(plan, ranges)


def run(plan: Backfill, ranges: list[list[str]]) -> None:
    """Run ranges one after the other, going on after a failure; exits with 1 if there was one."""
    problems: list[str] = []
    for days in track(ranges, "backfill", console=errors):
        result = plan.run(days)
        span = f"{days[0]}..{days[-1]}"
        problems += [f"{span}: {message}" for message in _failures(result)]
        console.print(f"{span}: {'done' if result.success else 'failed'}, run {result.run_id}")
    for problem in problems:
        errors.print(problem, markup=False, highlight=False, soft_wrap=True, style="red")
    if problems:
        raise typer.Exit(1)


def _failures(result: dg.ExecuteInProcessResult) -> list[str]:
    """What went wrong in a run: the reason that a step gave, or the check that did not pass."""
    steps = [event.step_failure_data for event in result.get_step_failure_events()]
    reasons = [
        data.user_failure_data.description or data.user_failure_data.label
        if data.user_failure_data
        else str(data.error.message if data.error else "failed without a message")
        for data in steps
    ]
    checks = [
        f"check {check.check_name}: {check.description}"
        for check in result.get_asset_check_evaluations()
        if not check.passed
    ]
    return [reason.strip() for reason in [*reasons, *checks]]


def _instance() -> dg.DagsterInstance:
    use_dagster_home()
    try:
        return dg.DagsterInstance.get()
    except dg.DagsterError as error:
        raise BackfillError(f"Dagster's instance cannot be opened: {error}") from None


def _definitions(module: str) -> dg.Definitions:
    try:
        found = vars(importlib.import_module(module)).values()
    except ModuleNotFoundError as error:
        raise BackfillError(f"--module {module}: {error}") from None
    for value in found:
        if isinstance(value, dg.Definitions | LazyDefinitions):
            return value if isinstance(value, dg.Definitions) else value()
    raise BackfillError(f"--module {module} has no Dagster definitions")
