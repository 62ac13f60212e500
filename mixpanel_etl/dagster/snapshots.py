"""Snapshots: tables of Mixpanel's present state, one partition for each day on which one was taken, in project time."""

# Dagster reads the annotations of assets, so they must be types, not strings.
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from zoneinfo import ZoneInfo

import dagster as dg
from pydantic import Field

from mixpanel_etl.client import Mixpanel
from mixpanel_etl.dagster.checks import check_specs, evaluated
from mixpanel_etl.dagster.recording import Results, as_failure
from mixpanel_etl.dagster.resource import MixpanelResource
from mixpanel_etl.lake import Partition, Table
from mixpanel_etl.lake.errors import shrinks

if TYPE_CHECKING:
    from mixpanel_etl.dagster.component import MixpanelComponent

#: The check of every snapshot.
NOT_SHRUNK = "not_shrunk"
_NOT_SHRUNK = "The snapshot has at least half as many rows as the one before it."


class ShrinkConfig(dg.Config):
    """Options of one run, in the launchpad."""

    allow_shrink: bool = Field(
        default=False,
        description="Replace partitions even if less than half of their rows or numbers is left (a renamed event, a "
        "changed filter, a deletion).",
    )


class Taking(NamedTuple):
    """What a snapshot is taken with.

    Attributes:
        client: client of the project.
        day: partition of today, YYYY-MM-DD.
        allow_shrink: replace today's earlier snapshot even if it has more than twice as many rows.
    """

    client: Mixpanel
    day: str
    allow_shrink: bool


#: Publishes the snapshot of today.
Take = Callable[[Taking], dg.MaterializeResult[Any]]
#: `execute` of a component, for one of its assets.
Execute = Callable[[dg.AssetExecutionContext, ShrinkConfig], Results]


def snapshot_partitions(mixpanel: MixpanelResource, start_date: date | None = None) -> dg.DailyPartitionsDefinition:
    """The days in the project's time zone, today included.

    Args:
        mixpanel: resource of the project.
        start_date: first day; default: the project's setting.
    """
    settings = mixpanel.settings()
    return dg.DailyPartitionsDefinition(
        str(start_date or settings.start_date), timezone=settings.timezone, end_offset=1
    )


def snapshot_day(partition_keys: Sequence[str], partitions: dg.TimeWindowPartitionsDefinition) -> str:
    """The partition for which a run takes its snapshot: today.

    Args:
        partition_keys: partitions of the run.
        partitions: partitions of the asset.

    Raises:
        dg.Failure: the run is for other days. Mixpanel's present state must not be published as that of another day.
    """
    today = partitions.get_last_partition_key()
    other = [key for key in partition_keys if key != today]
    if other:
        raise dg.Failure(
            f"a snapshot shows Mixpanel's present state, so only today can be taken ({today} in "
            f"{partitions.timezone}), not {', '.join(other[:5])}. Materialize {today}; a past day without a snapshot "
            "can't get one any more",
            allow_retries=False,
        )
    return str(today)


def snapshot_asset(
    component: "MixpanelComponent",
    spec: dg.AssetSpec,
    execute: Execute,
    *,
    budget: str = "query",
    checks: Mapping[str, str],
) -> dg.AssetsDefinition:
    """An asset whose partition of today is Mixpanel's present state.

    Args:
        component: component of the asset.
        spec: spec of the asset.
        execute: takes the snapshot; see `take_snapshot`.
        budget: budget of the project on which it draws; assets of one budget run one after the other. Empty for none.
        checks: further checks for which `execute` yields results: description by name.
    """

    @dg.multi_asset(
        specs=[spec],
        check_specs=check_specs(spec, {NOT_SHRUNK: _NOT_SHRUNK, **checks}),
        **component.op.arguments(
            name=spec.key.to_python_identifier(), pool=component.mixpanel.pool(budget) if budget else None
        ),
    )
    def snapshot(context: dg.AssetExecutionContext, config: ShrinkConfig) -> Results:
        yield from execute(context, config)

    return snapshot


def take_snapshot(
    context: dg.AssetExecutionContext, mixpanel: MixpanelResource, table: Table, config: ShrinkConfig, take: Take
) -> Results:
    """Take today's snapshot of a table, and check it.

    Args:
        context: context of the run.
        mixpanel: resource of the project.
        table: table of the lake.
        config: what the launchpad says.
        take: publishes the snapshot; its result may contain results of the asset's checks.
    """
    partitions = cast("dg.TimeWindowPartitionsDefinition", context.assets_def.partitions_def)
    day = snapshot_day(context.partition_keys, partitions)
    before = last_before(table, day)
    with as_failure(), mixpanel.client(context.log) as client:
        result = take(Taking(client, day, config.allow_shrink))
    now = table.partition(day)
    check = _not_shrunk(before, now.rows if now else 0)
    if not check.passed:
        context.log.warning(check.description)
    yield result._replace(check_results=None)
    for each in (check, *(result.check_results or ())):
        yield evaluated(context, dg.AssetCheckKey(context.asset_key, str(each.check_name)), each, {day: each})


def last_before(table: Table, day: str) -> Partition | None:
    """The last snapshot before a day.

    Args:
        table: table of the lake.
        day: partition, YYYY-MM-DD.
    """
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
    """Id of the run, or of the run that it retries."""
    return str(context.run.root_run_id or context.run.run_id)


def daily_snapshots(
    name: str, assets: Sequence[dg.AssetKey], partitions: dg.DailyPartitionsDefinition, cron_schedule: str
) -> dg.Definitions:
    """A job that takes the snapshots of some assets, and its schedule.

    Args:
        name: prefix of their names: `<name>_job`, `<name>_schedule`.
        assets: keys of the assets, which have these partitions.
        partitions: see `snapshot_partitions`.
        cron_schedule: cron expression, in project time.
    """
    listed = ", ".join(key.to_user_string() for key in assets)
    job = dg.define_asset_job(
        f"{name}_job",
        selection=dg.AssetSelection.assets(*assets),
        description=f"Takes today's snapshot of {listed}.",
    )

    @dg.schedule(
        name=f"{name}_schedule",
        job=job,
        cron_schedule=cron_schedule,
        execution_timezone=partitions.timezone,
        description=f"Takes the daily snapshot of {listed}.",
    )
    def schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        today = partitions.get_last_partition_key()
        day = f"{context.scheduled_execution_time.astimezone(ZoneInfo(partitions.timezone)):%Y-%m-%d}"
        if day != today:  # the daemon was off for a while, and makes up for missed ticks
            return dg.SkipReason(f"today is {today or 'before the first day'}: {day} can't get a snapshot any more")
        return dg.RunRequest(run_key=day, partition_key=day)

    return dg.Definitions(jobs=[job], schedules=[schedule])
