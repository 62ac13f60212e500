"""Snapshots: tables of what Mixpanel says now, one partition for each day on which one was taken, in project time."""

# Dagster reads the annotations of assets, so they must be types, not strings.
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import dagster as dg
from pydantic import Field

from mixpanel_etl.client import Mixpanel
from mixpanel_etl.dagster.metadata import declared_table
from mixpanel_etl.dagster.recording import as_failure
from mixpanel_etl.dagster.resource import MixpanelResource
from mixpanel_etl.lake import Partition, Table
from mixpanel_etl.lake.errors import shrinks

#: The check of every snapshot.
NOT_SHRUNK = "not_shrunk"
_NOT_SHRUNK = "The snapshot has at least half as many rows as the one before it."


class SnapshotConfig(dg.Config):
    """What may be decided anew for each run, in the launchpad."""

    allow_shrink: bool = Field(
        default=False,
        description="Replace today's earlier snapshot even if it has more than twice as many rows.",
    )


class Taking(NamedTuple):
    """What a snapshot is taken with.

    Attributes:
        context: of the run.
        mixpanel: the project.
        day: partition, which is today's: YYYY-MM-DD.
        allow_shrink: replace today's earlier snapshot even if it has more than twice as many rows.
    """

    context: dg.AssetExecutionContext
    mixpanel: Mixpanel
    day: str
    allow_shrink: bool


#: Publishes the snapshot of today.
Take = Callable[[Taking], dg.MaterializeResult[Any]]


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
        take: publishes the snapshot of today; its result may have results of the checks.
        partitions: see `snapshot_partitions`.
        budget: that it draws on; assets of one budget run one after the other. Empty for none.
        checks: that `take` answers as well.
    """
    declared = {**declared_table(table, descriptions), **spec.metadata}

    @dg.multi_asset(
        specs=[
            spec.replace_attributes(partitions_def=partitions).merge_attributes(
                kinds={"mixpanel", "parquet"}, metadata=declared
            )
        ],
        name=spec.key.to_python_identifier(),
        check_specs=[dg.AssetCheckSpec(NOT_SHRUNK, asset=spec.key, description=_NOT_SHRUNK), *checks],
        pool=mixpanel.pool(budget) if budget else None,
    )
    # Yielded, because Dagster wants a tuple returned when there are checks.
    def snapshot(context: dg.AssetExecutionContext, config: SnapshotConfig) -> Iterator[dg.MaterializeResult[Any]]:
        day = snapshot_day(context, partitions)
        before = last_before(table, day)
        with as_failure(), mixpanel.client(context.log) as client:
            result = take(Taking(context, client, day, config.allow_shrink))
        now = table.partition(day)
        check = _not_shrunk(before, now.rows if now else 0)
        if not check.passed:
            context.log.warning(check.description)
        yield result._replace(check_results=[check, *(result.check_results or ())])

    return snapshot


def last_before(table: Table, day: str) -> Partition | None:
    """The last snapshot before a day."""
    keys = table.keys()
    earlier = [key for key in keys if key < day]
    return table.partition(earlier[-1]) if earlier else None


def _not_shrunk(before: Partition | None, rows: int) -> dg.AssetCheckResult:
    shrunk = before is not None and shrinks(before.rows, rows)
    description = "This is the first snapshot."
    if before is not None:
        description = f"{rows:,} rows; the snapshot of {before.key} has {before.rows:,}."
    if shrunk:
        description += " Look in Mixpanel for a deletion or a changed filter; materialize again if there is none."
    metadata: dict[str, Any] = {
        "rows": rows,
        **({} if before is None else {"rows_before": before.rows, "before": before.key}),
    }
    return dg.AssetCheckResult(check_name=NOT_SHRUNK, passed=not shrunk, description=description, metadata=metadata)


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
