"""All that one export brings into a Dagster project: asset, checks, job and schedule."""

from __future__ import annotations

import dagster as dg
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

from mixpanel_etl.dagster.export.assets import Export, export_asset
from mixpanel_etl.dagster.export.checks import export_checks


def export_definitions(export: Export) -> dg.Definitions:
    """The definitions of an export.

    The schedule refreshes the last days as one run, and so with one request.

    Raises:
        SettingsError: the project's settings are malformed or contradict each other.
        ConfigurationError: the table's columns clash, or the lake is of an unknown kind.
    """
    name = export.spec.key.to_python_identifier()
    partitions = export.partitions()
    job = dg.define_asset_job(
        f"{name}_refresh",
        selection=dg.AssetSelection.assets(export.spec.key),
        description=f"Exports days of {export.spec.key.to_user_string()} again.",
    )

    @dg.schedule(
        name=f"{name}_daily",
        job=job,
        cron_schedule=export.refresh_at,
        execution_timezone=partitions.timezone,
        description=f"Exports the last {export.refresh_days} days (events arrive late) in one run and one request.",
    )
    def daily(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        now = context.scheduled_execution_time
        days = partitions.get_partition_keys(current_time=now)[-export.refresh_days :]
        if not days:
            return dg.SkipReason(f"no day is over since {partitions.start:%Y-%m-%d}")
        return dg.RunRequest(
            run_key=f"{days[0]}..{days[-1]}",
            tags={ASSET_PARTITION_RANGE_START_TAG: days[0], ASSET_PARTITION_RANGE_END_TAG: days[-1]},
        )

    return dg.Definitions(
        assets=[export_asset(export)], asset_checks=[export_checks(export)], jobs=[job], schedules=[daily]
    )
