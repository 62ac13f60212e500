"""Reports as assets: one query for all partitions of a run, one materialization for each."""

# Dagster reads the annotations of assets, so they must be types, not strings.
import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import dagster as dg
from pydantic import Field

from mixpanel_etl.dagster.metadata import declared_table, preview, published, queries
from mixpanel_etl.dagster.recording import Metadata, recorded
from mixpanel_etl.dagster.reports.checks import report_check_specs, report_checks
from mixpanel_etl.dagster.reports.pictures import picture
from mixpanel_etl.dagster.resource import MixpanelResource
from mixpanel_etl.dagster.snapshots import Taking, run_id_of, snapshot_asset, snapshot_partitions
from mixpanel_etl.lake import Table
from mixpanel_etl.pull.reports import Published, RangeReport, Report, Snapshot, pull_range, pull_snapshot, report_table


@dataclass(frozen=True)
class NamedReport:
    """A report that becomes an asset.

    Attributes:
        name: last part of the asset's key, and folder of its table: letters, digits and underscores.
        report: what to ask Mixpanel.
        attributes: of the asset's `dg.AssetSpec`: owners, tags, description, group_name ...
    """

    name: str
    report: RangeReport | Snapshot
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Reports:
    """Reports of one Mixpanel project, as Dagster assets.

    Attributes:
        reports: their names differ.
        mixpanel: the project.
        name: what their jobs and schedules are called: `<name>_daily`, for example.
        key_prefix: of the assets' keys.
        folder: of the lake; each report has a table in it.
        lake: path or URI of the lake; by default the project's setting.
        start_date: the first day; by default the project's setting.
        refresh_at: cron expression of the schedules, in project time.
    """

    reports: Sequence[NamedReport]
    mixpanel: MixpanelResource = field(default_factory=MixpanelResource)
    name: str = "mixpanel__reports"
    key_prefix: Sequence[str] = ("mixpanel", "reports")
    folder: str = "reports"
    lake: str | None = None
    start_date: date | None = None
    refresh_at: str = "0 4 * * *"

    def key(self, report: NamedReport) -> dg.AssetKey:
        return dg.AssetKey([*self.key_prefix, report.name])

    def table(self, report: NamedReport) -> Table:
        return report_table(self.lake or self.mixpanel.settings().lake, f"{self.folder}/{report.name}", report.report)

    def partitions(self, report: RangeReport) -> dg.TimeWindowPartitionsDefinition:
        """Days, weeks (from Monday) or months that are over in project time."""
        settings = self.mixpanel.settings()
        start, zone = str(self.start_date or settings.start_date), settings.timezone
        if report.partition_unit == "week":
            return dg.WeeklyPartitionsDefinition(start, timezone=zone, day_offset=1)
        if report.partition_unit == "month":
            return dg.MonthlyPartitionsDefinition(start, timezone=zone)
        return dg.DailyPartitionsDefinition(start, timezone=zone)


class ReportConfig(dg.Config):
    """What may be decided anew for each run, in the launchpad."""

    allow_shrink: bool = Field(
        default=False,
        description="Replace partitions even if less than half of their numbers is left (a renamed event, a changed "
        "filter, a deletion).",
    )


def report_asset(reports: Reports, named: NamedReport) -> dg.AssetsDefinition:
    """The asset of one report.

    Each partition of a run is recorded as one materialization, and the run costs one query.
    """
    report = named.report
    asked = dg.MetadataValue.json({"kind": report.kind, **report.shown_parameters})
    spec = dg.AssetSpec(
        reports.key(named), description=inspect.getdoc(type(report)), group_name="mixpanel_reports"
    ).replace_attributes(**named.attributes)
    spec = spec.merge_attributes(metadata={"mixpanel_etl/report": asked})
    if isinstance(report, RangeReport):
        return _range_asset(reports, spec, report, reports.table(named))
    return _snapshot_asset(reports, spec, report, reports.table(named))


def _range_asset(reports: Reports, spec: dg.AssetSpec, report: RangeReport, table: Table) -> dg.AssetsDefinition:
    partitions = reports.partitions(report)

    @dg.multi_asset(
        specs=[
            spec.replace_attributes(partitions_def=partitions).merge_attributes(
                kinds={"mixpanel", "parquet"}, metadata=declared_table(table, report.descriptions)
            )
        ],
        name=spec.key.to_python_identifier(),
        backfill_policy=dg.BackfillPolicy.multi_run(report.most_partitions),
        check_specs=report_check_specs(spec.key),
        pool=reports.mixpanel.pool("query"),
    )
    # Yielded, because Dagster wants a tuple returned when there are checks.
    def materialized(context: dg.AssetExecutionContext, config: ReportConfig) -> Iterator[dg.MaterializeResult[Any]]:
        with recorded(context, spec.key) as done, reports.mixpanel.client(context.log) as mixpanel:
            start = date.fromisoformat(str(partitions.get_first_partition_key()))
            taken: list[Published] = []
            pulled = pull_range(
                mixpanel,
                report,
                table,
                context.partition_keys,
                start=start,
                run_id=run_id_of(context),
                allow_shrink=config.allow_shrink,
                log=context.log,
            )
            for one in pulled:
                taken.append(one)
                done[one.partition.key] = _metadata(one, report) | queries(mixpanel)
            # One picture of the whole run, where it is seen first: on each partition it would fill Dagster's storage.
            shown = [(one.partition.key, one.rows) for one in taken]
            last = shown[-1][0]
            done[last] = picture(report, shown, mixpanel.settings.zone, context.log) | done[last]
            context.log.info(f"{sum(len(rows) for _, rows in shown):,} rows in {len(shown)} partitions of {table.uri}")
        yield dg.MaterializeResult(check_results=report_checks(taken, context.log))

    return materialized


def _snapshot_asset(reports: Reports, spec: dg.AssetSpec, report: Snapshot, table: Table) -> dg.AssetsDefinition:
    def take(taking: Taking) -> dg.MaterializeResult[Any]:
        context, mixpanel, day = taking.context, taking.mixpanel, taking.day
        taken = pull_snapshot(
            mixpanel,
            report,
            table,
            day,
            run_id=run_id_of(context),
            allow_shrink=taking.allow_shrink,
            log=context.log,
        )
        shown = picture(report, [(day, taken.rows)], mixpanel.settings.zone, context.log)
        return dg.MaterializeResult(
            metadata=shown | _metadata(taken, report) | queries(mixpanel),
            check_results=report_checks([taken], context.log),
        )

    return snapshot_asset(
        spec,
        table,
        report.descriptions,
        reports.mixpanel,
        take,
        partitions=snapshot_partitions(reports.mixpanel, reports.start_date),
        checks=report_check_specs(spec.key),
    )


def _metadata(taken: Published, report: Report) -> Metadata:
    found = published(taken.partition)
    if taken.rows:
        found["mixpanel_etl/computed_at"] = dg.MetadataValue.timestamp(taken.rows["computed_at"][0].as_py())
    # Without what is the same in all rows.
    doubts = taken.doubts
    if doubts.cut:
        found["mixpanel_etl/possibly_cut"] = True
    if doubts.left_out:
        found["mixpanel_etl/segments_left_out"] = doubts.left_out
    if doubts.missing:
        found["mixpanel_etl/missing_from_segments"] = doubts.missing
    return found | preview(taken.rows.drop_columns("computed_at"), report.shown_columns)
