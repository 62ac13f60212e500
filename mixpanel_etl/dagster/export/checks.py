"""Asset checks of an export: nothing missing, nothing empty that should not be, the schema as declared."""

# Dagster reads the annotations of checks, so they must be types, not strings.
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg

from mixpanel_etl.client import MixpanelError
from mixpanel_etl.dagster.recording import withheld_messages
from mixpanel_etl.lake import EventsTable
from mixpanel_etl.pull import MAX_DAYS, DayCounts, Reconciliation, reconcile

if TYPE_CHECKING:
    from mixpanel_etl.dagster.export.component import MixpanelExport

COUNTS = "counts_match_mixpanel"
EMPTY = "no_empty_days"
SCHEMA = "matches_schema"
MALFORMED = "no_malformed_lines"


def export_checks(export: "MixpanelExport") -> dg.AssetChecksDefinition:
    """The checks of an export. They look at the days of the run; started by themselves, at the last 100 of the lake."""
    described = {
        COUNTS: "The lake's events, by project-time day and event, equal those that Mixpanel counts "
        f"(tolerance: {export.tolerance:.1%} of a day).",
        EMPTY: "No published day is without events while the days before and after it have some.",
        SCHEMA: "Every file has the columns that the asset declares.",
        MALFORMED: "No line of an export was set aside because it is no event.",
    }
    if not export.reconcile or export.where:
        # Mixpanel's /events takes no expression to filter by, so there is nothing to compare with.
        del described[COUNTS]

    @dg.multi_asset_check(
        name=f"{export.asset.key.to_python_identifier()}_checks",
        specs=[dg.AssetCheckSpec(name, asset=export.asset.key, description=text) for name, text in described.items()],
        can_subset=True,
    )
    def checks(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        table = export.events_table
        days = _days(context, table)
        run = {COUNTS: lambda: _counts(context, export, table, days), EMPTY: lambda: _empty(table, days)}
        run[SCHEMA] = lambda: _schema(table, days)
        run[MALFORMED] = lambda: _malformed(table, days)
        for key in context.selected_asset_check_keys:
            with withheld_messages():
                result = run[key.name]()
            yield result._replace(check_name=key.name, asset_key=export.asset.key)

    return checks


def _days(context: dg.AssetCheckExecutionContext, table: EventsTable) -> list[date]:
    present = table.days()
    if not (context.has_partition_key or context.has_partition_key_range):
        return present[-MAX_DAYS:]
    wanted = {date.fromisoformat(key) for key in context.partition_keys}
    return [day for day in present if day in wanted]


def _counts(
    context: dg.AssetCheckExecutionContext, export: "MixpanelExport", table: EventsTable, days: Sequence[date]
) -> dg.AssetCheckResult:
    try:
        with export.mixpanel.client(context.log) as mixpanel:
            found = reconcile(mixpanel, table, days, export.events)
    except MixpanelError as error:
        return dg.AssetCheckResult(
            passed=False,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"the counts could not be asked for: {error} (`reconcile: false` turns this check off)",
        )
    beyond = found.beyond(export.tolerance)
    description = f"{len(beyond)} of {len(found.days)} days differ by more than {export.tolerance:.1%}"
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
        "event_names_not_compared": len(found.not_compared),  # not which: anybody can send an event of any name
        **({"worst_days": dg.MetadataValue.table(records)} if records else {}),
    }


def _empty(table: EventsTable, days: Sequence[date]) -> dg.AssetCheckResult:
    around = {day + timedelta(days=n) for day in days for n in (-1, 0, 1)}
    rows = {day: published.rows for day in sorted(around) if (published := table.day(day))}
    empty = [
        str(day)
        for day in days
        if rows.get(day) == 0 and rows.get(day - timedelta(days=1)) and rows.get(day + timedelta(days=1))
    ]
    return dg.AssetCheckResult(
        passed=not empty,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"without events: {', '.join(empty[:20])}" if empty else f"{len(days)} days looked at",
        metadata={"empty_days": empty},
    )


def _malformed(table: EventsTable, days: Sequence[date]) -> dg.AssetCheckResult:
    lines = {str(day): len(found) for day, found in table.malformed(days).items()}
    return dg.AssetCheckResult(
        passed=not lines,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{sum(lines.values()):,} lines of {len(lines)} days were set aside in {table.malformed_uri}"
        if lines
        else f"{len(days)} days are without such lines",
        metadata={"lines_by_day": dict(sorted(lines.items())[-MAX_DAYS:])},
    )


def _schema(table: EventsTable, days: Sequence[date]) -> dg.AssetCheckResult:
    other = [str(day) for day in days if not table.file_schema(day).equals(table.schema)]
    return dg.AssetCheckResult(
        passed=not other,
        description=f"{len(other)} days have other columns, {other[0]} first: backfill them to have the present ones"
        if other
        else f"{len(days)} files have the declared columns",
        metadata={"days_with_other_columns": other[:100]},
    )
