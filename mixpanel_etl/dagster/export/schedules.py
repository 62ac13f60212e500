"""The schedule that exports the last days again, as one run and one request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg

from mixpanel_etl.dagster.schedules import range_tags

if TYPE_CHECKING:
    from mixpanel_etl.dagster.export.component import MixpanelExport


def lookback_job(export: MixpanelExport) -> Any:
    """The job that exports days again."""
    return dg.define_asset_job(
        f"{export.name}_job",
        selection=dg.AssetSelection.assets(export.asset.key),
        description=f"Exports days of {export.asset.key.to_user_string()} again.",
    )


def lookback_schedule(export: MixpanelExport, job: Any) -> dg.ScheduleDefinition:
    """The schedule of `lookback_job`: the last `lookback_days` days."""
    partitions = export.partitions

    @dg.schedule(
        name=f"{export.name}_schedule",
        job=job,
        cron_schedule=export.cron_schedule,
        execution_timezone=partitions.timezone,
        description=f"Exports the last {export.lookback_days} days in one run and one request: events arrive late.",
    )
    def schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        days = partitions.get_partition_keys(current_time=context.scheduled_execution_time)[-export.lookback_days :]
        if not days:
            return dg.SkipReason(f"no day is over since {partitions.start:%Y-%m-%d}")
        return dg.RunRequest(run_key=f"{days[0]}..{days[-1]}", tags=range_tags(days[0], days[-1]))

    return schedule
