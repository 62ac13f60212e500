"""Asset checks of an export: counts as in Mixpanel, no empty days, the declared schema, no malformed lines."""

# Dagster reads the annotations of checks, so they must be types, not strings.
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import dagster as dg

from mixpanel_etl.client import MixpanelError
from mixpanel_etl.dagster.checks import check_specs, evaluated
from mixpanel_etl.dagster.recording import withheld_messages
from mixpanel_etl.lake import EventsTable
from mixpanel_etl.pull import MAX_DAYS, DayCounts, Reconciliation, reconcile

if TYPE_CHECKING:
    from mixpanel_etl.dagster.export.component import MixpanelExport

COUNTS = "counts_match_mixpanel"
EMPTY = "no_empty_days"
SCHEMA = "matches_schema"
MALFORMED = "no_malformed_lines"


class _Judged(NamedTuple):
    """The result for all days of a run, and for each day."""

    summary: dg.AssetCheckResult
    by_day: dict[str, dg.AssetCheckResult]


def export_checks(export: "MixpanelExport") -> dg.AssetChecksDefinition:
    """The checks of an export, for the days of the run; started by themselves, for the last 100 days of the lake.

    Each day has a result of its own, see `mixpanel_etl.dagster.checks`.

    Args:
        export: the component.
    """
    described = {
        COUNTS: "The lake's events, by project-time day and event, equal those that Mixpanel counts "
        f"(tolerance: {export.tolerance:.1%} of a day).",
        EMPTY: "No published day is without events while the days before and after it have some.",
        SCHEMA: "Every file has the columns that the asset declares.",
        MALFORMED: "No line of an export was set aside because it is not an event.",
    }
    if not export.reconcile or export.where:
        # Mixpanel's /events takes no expression to filter by, so there is nothing to compare with.
        del described[COUNTS]

    @dg.multi_asset_check(
        name=f"{export.asset.key.to_python_identifier()}_checks",
        specs=check_specs(export.get_asset_spec(), described),
        can_subset=True,
    )
    def checks(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult | dg.AssetCheckEvaluation]:
        table = export.events_table
        days = _days(context, table)
        run = {COUNTS: lambda: _counts(context, export, table, days), EMPTY: lambda: _empty(table, days)}
        run[SCHEMA] = lambda: _schema(table, days)
        run[MALFORMED] = lambda: _malformed(table, days)
        for key in context.selected_asset_check_keys:
            with withheld_messages():
                judged = run[key.name]()
            yield evaluated(context, key, *judged)

    return checks


def _days(context: dg.AssetCheckExecutionContext, table: EventsTable) -> list[date]:
    present = table.days()
    if not (context.has_partition_key or context.has_partition_key_range):
        return present[-MAX_DAYS:]
    wanted = {date.fromisoformat(key) for key in context.partition_keys}
    return [day for day in present if day in wanted]


def _judged(days: Sequence[date], judge: Callable[[Sequence[date]], dg.AssetCheckResult]) -> _Judged:
    return _Judged(judge(days), {str(day): judge([day]) for day in days})


def _counts(
    context: dg.AssetCheckExecutionContext, export: "MixpanelExport", table: EventsTable, days: Sequence[date]
) -> _Judged:
    try:
        with export.mixpanel.client(context.log) as mixpanel:
            found = reconcile(mixpanel, table, days, export.events)
    except MixpanelError as error:
        failed = dg.AssetCheckResult(
            passed=False,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"Mixpanel's counts are not available: {error} (`reconcile: false` turns this check off)",
        )
        return _judged(days, lambda _: failed)
    # Days at an edge, which can't be compared yet, have no result.
    by_day = {str(counts.day): counts for counts in found.days if counts.day in set(days)}
    return _Judged(
        _counts_result(found, export.tolerance),
        {day: _counts_result(replace(found, days=[counts]), export.tolerance) for day, counts in by_day.items()},
    )


def _counts_result(found: Reconciliation, tolerance: float) -> dg.AssetCheckResult:
    beyond = found.beyond(tolerance)
    description = f"{len(beyond)} of {len(found.days)} days differ by more than {tolerance:.1%}"
    return dg.AssetCheckResult(
        passed=not beyond,
        description=description if beyond else f"{len(found.days)} days agree",
        metadata=_counts_metadata(found, beyond),
    )


def _counts_metadata(found: Reconciliation, beyond: Sequence[DayCounts]) -> dict[str, Any]:
    records = [
        dg.TableRecord(
            {"day": str(c.day), "lake": c.lake_total, "mixpanel": c.mixpanel_total, "differing": c.differing}
        )
        for c in beyond[:20]
    ]
    return {
        "days_compared": len(found.days),
        "events_in_lake": found.lake_total,
        "events_in_mixpanel": found.mixpanel_total,
        "queries_spent": found.queries,
        "edges_not_compared": [str(day) for day in found.edges],
        "event_names_not_compared": len(found.not_compared),  # without their names, which anybody can choose
        **({"worst_days": dg.MetadataValue.table(records)} if records else {}),
    }


def _empty(table: EventsTable, days: Sequence[date]) -> _Judged:
    around = {day + timedelta(days=n) for day in days for n in (-1, 0, 1)}
    rows = {day: published.rows for day in sorted(around) if (published := table.day(day))}

    def judge(chosen: Sequence[date]) -> dg.AssetCheckResult:
        empty = [
            str(day)
            for day in chosen
            if rows.get(day) == 0 and rows.get(day - timedelta(days=1)) and rows.get(day + timedelta(days=1))
        ]
        return dg.AssetCheckResult(
            passed=not empty,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"without events: {', '.join(empty[:20])}" if empty else f"{len(chosen)} days checked",
            metadata={"empty_days": empty},
        )

    return _judged(days, judge)


def _malformed(table: EventsTable, days: Sequence[date]) -> _Judged:
    malformed = {day: len(found) for day, found in table.malformed(days).items()}

    def judge(chosen: Sequence[date]) -> dg.AssetCheckResult:
        lines = {str(day): malformed[day] for day in sorted(chosen) if day in malformed}
        return dg.AssetCheckResult(
            passed=not lines,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"{sum(lines.values()):,} lines of {len(lines)} days were set aside in {table.malformed_uri}"
            if lines
            else f"{len(chosen)} days are without such lines",
            metadata={"lines_by_day": dict(list(lines.items())[-MAX_DAYS:])},
        )

    return _judged(days, judge)


def _schema(table: EventsTable, days: Sequence[date]) -> _Judged:
    differing = {day for day in days if not table.file_schema(day).equals(table.schema)}

    def judge(chosen: Sequence[date]) -> dg.AssetCheckResult:
        other = [str(day) for day in chosen if day in differing]
        return dg.AssetCheckResult(
            passed=not other,
            description=f"{len(other)} days have other columns, first {other[0]}: backfill them to update them"
            if other
            else f"{len(chosen)} files have the declared columns",
            metadata={"days_with_other_columns": other[:100]},
        )

    return _judged(days, judge)
