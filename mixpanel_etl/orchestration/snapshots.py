"""Snapshots: tables of what Mixpanel says now, one partition for each day on which one was taken, in project time."""

# Dagster reads the annotations of assets, so they must be types, not strings.
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg

from mixpanel_etl.client import Mixpanel
from mixpanel_etl.lake import Table
from mixpanel_etl.orchestration.metadata import declared_table
from mixpanel_etl.orchestration.recording import told_plainly
from mixpanel_etl.orchestration.resource import MixpanelResource

#: Takes the snapshot of a day, which is today's, for a run.
Take = Callable[[dg.AssetExecutionContext, Mixpanel, str], dg.MaterializeResult[Any]]


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


def snapshot_asset(
    spec: dg.AssetSpec,
    table: Table,
    descriptions: Mapping[str, str],
    mixpanel: MixpanelResource,
    take: Take,
    *,
    partitions: dg.DailyPartitionsDefinition,
    budget: str = "query",
    checks: Sequence[dg.AssetCheckSpec] = (),
) -> dg.AssetsDefinition:
    """An asset whose partition of today is what Mixpanel says now.

    Args:
        spec: key, group, owners, tags and description.
        table: where the snapshots are.
        descriptions: of the table's columns.
        mixpanel: the project.
        take: publishes the snapshot of today.
        partitions: see `snapshot_partitions`.
        budget: that it draws on; assets of one budget run one after the other. Empty for none.
        checks: that `take` answers as well.
    """
    declared = {**declared_table(table.uri, table.schema, descriptions), **spec.metadata}

    @dg.multi_asset(
        specs=[
            spec.replace_attributes(partitions_def=partitions).merge_attributes(
                kinds={"mixpanel", "parquet"}, metadata=declared
            )
        ],
        name=spec.key.to_python_identifier(),
        check_specs=checks,
        pool=mixpanel.pool(budget) if budget else None,
    )
    # Yielded, because Dagster wants a tuple returned when there are checks.
    def snapshot(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[Any]]:
        day = snapshot_day(context, partitions)
        with told_plainly(), mixpanel.client(context.log) as client:
            yield take(context, client, day)

    return snapshot


def run_id_of(context: dg.AssetExecutionContext) -> str:
    """The run, or the one that it tries again."""
    return str(context.run.root_run_id or context.run.run_id)


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
