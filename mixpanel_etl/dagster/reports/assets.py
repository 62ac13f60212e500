"""Reports as assets: one query for all partitions of a run, one materialization for each."""

# Dagster reads the annotations of assets, so they must be types, not strings.
from datetime import date
from typing import TYPE_CHECKING, Any, cast

import dagster as dg

from mixpanel_etl.dagster.checks import check_specs
from mixpanel_etl.dagster.metadata import preview, published, queries
from mixpanel_etl.dagster.recording import Metadata, Results, recorded
from mixpanel_etl.dagster.reports.checks import CHECKS, report_checks
from mixpanel_etl.dagster.reports.pictures import picture
from mixpanel_etl.dagster.reports.yaml_entries import NamedReport
from mixpanel_etl.dagster.snapshots import ShrinkConfig, Taking, run_id_of, snapshot_asset, take_snapshot
from mixpanel_etl.pull.reports import Published, RangeReport, Report, Snapshot, pull_range, pull_snapshot

if TYPE_CHECKING:
    from mixpanel_etl.dagster.reports.component import MixpanelReports


def report_asset(reports: "MixpanelReports", report: NamedReport) -> dg.AssetsDefinition:
    """The asset of one report, with its checks.

    Args:
        reports: the component.
        report: one of its reports.
    """
    spec = reports.get_asset_spec(report)
    if not isinstance(report.report, RangeReport):
        return snapshot_asset(
            reports, spec, lambda context, config: reports.execute(context, report, config), checks=CHECKS
        )

    @dg.multi_asset(
        specs=[spec],
        check_specs=check_specs(spec, CHECKS),
        **reports.op.arguments(
            name=spec.key.to_python_identifier(),
            pool=reports.mixpanel.pool("query"),
            backfill_policy=dg.BackfillPolicy.multi_run(report.report.most_partitions),
        ),
    )
    def partitions(context: dg.AssetExecutionContext, config: ShrinkConfig) -> Results:
        yield from reports.execute(context, report, config)

    return partitions


def pull_partitions(
    context: dg.AssetExecutionContext, reports: "MixpanelReports", report: NamedReport, config: ShrinkConfig
) -> Results:
    """Publish the partitions of a run, each recorded as one materialization; the run costs one query.

    Args:
        context: context of the run.
        reports: the component.
        report: one of its reports, over days.
        config: what the launchpad says.
    """
    kind, table, key = cast("RangeReport", report.report), reports.table(report), context.asset_key
    partitions: list[Published] = []
    with recorded(context, key) as done, reports.mixpanel.client(context.log) as client:
        pulled = pull_range(
            client,
            kind,
            table,
            context.partition_keys,
            start=date.fromisoformat(str(reports.partitions(report).get_first_partition_key())),
            run_id=run_id_of(context),
            allow_shrink=config.allow_shrink,
            log=context.log,
        )
        for partition in pulled:
            partitions.append(partition)
            done[partition.partition.key] = _metadata(partition, kind) | queries(client)
        # One picture of the whole run, on its last partition: one for each would fill Dagster's storage.
        shown = [(partition.partition.key, partition.rows) for partition in partitions]
        last = shown[-1][0]
        done[last] = picture(kind, shown, client.settings.zone, context.log) | done[last]
        context.log.info(f"{sum(len(rows) for _, rows in shown):,} rows in {len(shown)} partitions of {table.uri}")
    yield dg.MaterializeResult()
    yield from report_checks(context, key, partitions)


def pull_today(
    context: dg.AssetExecutionContext, reports: "MixpanelReports", report: NamedReport, config: ShrinkConfig
) -> Results:
    """Publish today's snapshot of a report.

    Args:
        context: context of the run.
        reports: the component.
        report: one of its reports, a snapshot.
        config: what the launchpad says.
    """
    kind, table, key = cast("Snapshot", report.report), reports.table(report), context.asset_key
    taken: list[Published] = []

    def take(taking: Taking) -> dg.MaterializeResult[Any]:
        snapshot = pull_snapshot(
            taking.client,
            kind,
            table,
            taking.day,
            run_id=run_id_of(context),
            allow_shrink=taking.allow_shrink,
            log=context.log,
        )
        taken.append(snapshot)
        shown = picture(kind, [(taking.day, snapshot.rows)], taking.client.settings.zone, context.log)
        return dg.MaterializeResult(metadata=shown | _metadata(snapshot, kind) | queries(taking.client))

    yield from take_snapshot(context, reports.mixpanel, table, config, take)
    yield from report_checks(context, key, taken)


def _metadata(taken: Published, report: Report) -> Metadata:
    found = published(taken.partition)
    if taken.rows:
        found["mixpanel_etl/computed_at"] = dg.MetadataValue.timestamp(taken.rows["computed_at"][0].as_py())
    doubts = taken.doubts
    if doubts.cut:
        found["mixpanel_etl/possibly_truncated"] = True
    if doubts.left_out:
        found["mixpanel_etl/segments_left_out"] = doubts.left_out
    if doubts.missing:
        found["mixpanel_etl/missing_from_segments"] = doubts.missing
    # Without the column that has the same value in all rows.
    return found | preview(taken.rows.drop_columns("computed_at"), report.shown_columns)
