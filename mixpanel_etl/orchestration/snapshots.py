"""Snapshots: tables of what Mixpanel says now, one partition for each day on which one was taken, in project time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from zoneinfo import ZoneInfo

import dagster as dg

from mixpanel_etl.orchestration.resource import MixpanelResource


def snapshot_partitions(mixpanel: MixpanelResource, start_date: date | None = None) -> dg.DailyPartitionsDefinition:
    """The days in the project's time zone, today included.

    Args:
        mixpanel: the project.
        start_date: the first day; by default the project's setting.
    """
    settings = mixpanel.settings()
    return dg.DailyPartitionsDefinition(
        str(start_date or settings.start_date), timezone=settings.timezone, end_offset=1
    )


def snapshot_day(context: dg.AssetExecutionContext, partitions: dg.TimeWindowPartitionsDefinition) -> str:
    """The partition that a run takes its snapshot for: today.

    Raises:
        dg.Failure: the run is for other days, too. What Mixpanel says now would stand under a day on which it may have
            said something else.
    """
    today = partitions.get_last_partition_key()
    other = [key for key in context.partition_keys if key != today]
    if other:
        raise dg.Failure(
            f"a snapshot shows what Mixpanel says now, so only today can be taken ({today} in {partitions.timezone}), "
            f"not {', '.join(other[:5])}. Materialize {today}; a day that has no snapshot can't get one any more",
            allow_retries=False,
        )
    return str(today)


def daily_snapshots(
    name: str, assets: Sequence[dg.AssetKey], partitions: dg.DailyPartitionsDefinition, take_at: str
) -> dg.Definitions:
    """A job that takes the snapshots of some assets, and its schedule.

    Args:
        name: what the job's and the schedule's names begin with.
        assets: which ones; all have these partitions.
        partitions: see `snapshot_partitions`.
        take_at: cron expression, in project time.
    """
    listed = ", ".join(key.to_user_string() for key in assets)
    job = dg.define_asset_job(
        f"{name}_snapshot",
        selection=dg.AssetSelection.assets(*assets),
        description=f"Takes today's snapshot of {listed}.",
    )

    @dg.schedule(
        name=f"{name}_daily",
        job=job,
        cron_schedule=take_at,
        execution_timezone=partitions.timezone,
        description=f"Takes a snapshot of {listed} each day.",
    )
    def daily(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        today = partitions.get_last_partition_key()
        day = f"{context.scheduled_execution_time.astimezone(ZoneInfo(partitions.timezone)):%Y-%m-%d}"
        if day != today:  # the daemon was off for a while, and makes up for what it missed
            return dg.SkipReason(f"today is {today or 'before the first day'}: {day} can't get a snapshot any more")
        return dg.RunRequest(run_key=day, partition_key=day)

    return dg.Definitions(jobs=[job], schedules=[daily])
