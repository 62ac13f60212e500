"""Jobs and schedules of reports: one each for days, weeks, months and snapshots; a job has one kind of partitions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg

from mixpanel_etl.dagster.schedules import range_tags
from mixpanel_etl.dagster.snapshots import daily_snapshots, snapshot_partitions
from mixpanel_etl.pull.reports import PartitionUnit, RangeReport

if TYPE_CHECKING:
    from mixpanel_etl.dagster.reports.component import MixpanelReports

_NAMES: dict[PartitionUnit, str] = {"day": "daily", "week": "weekly", "month": "monthly"}


def report_schedules(reports: MixpanelReports) -> dg.Definitions:
    """The jobs and schedules.

    All schedules run at `cron_schedule`: the latest numbers of weeks and months are wanted every day.
    """
    ranges: dict[PartitionUnit, list[tuple[dg.AssetKey, RangeReport]]] = defaultdict(list)
    snapshots: list[dg.AssetKey] = []
    partitions: dict[PartitionUnit, dg.TimeWindowPartitionsDefinition] = {}
    for report in reports.reports:
        key = reports.get_asset_spec(report).key
        if isinstance(report.report, RangeReport):
            unit = report.report.partition_unit
            ranges[unit].append((key, report.report))
            partitions[unit] = reports.partitions(report)
        else:
            snapshots.append(key)
    scheduled = [_schedule(reports, _NAMES[unit], members, partitions[unit]) for unit, members in ranges.items()]
    found = dg.Definitions(jobs=[schedule.job for schedule in scheduled], schedules=scheduled)
    if not snapshots:
        return found
    days = snapshot_partitions(reports.mixpanel, reports.start_date)
    return dg.Definitions.merge(
        found, daily_snapshots(f"{reports.name}_snapshots", snapshots, days, reports.cron_schedule)
    )


def _schedule(
    reports: MixpanelReports,
    unit: str,
    members: Sequence[tuple[dg.AssetKey, RangeReport]],
    partitions: dg.TimeWindowPartitionsDefinition,
) -> dg.ScheduleDefinition:
    listed = ", ".join(key.path[-1] for key, _ in members)
    job = dg.define_asset_job(
        f"{reports.name}_{unit}_job",
        selection=dg.AssetSelection.assets(*[key for key, _ in members]),
        description=f"Queries {unit} reports: {listed}.",
    )

    @dg.schedule(
        name=f"{reports.name}_{unit}_schedule",
        job=job,
        cron_schedule=reports.cron_schedule,
        execution_timezone=partitions.timezone,
        description=f"Queries again the partitions of {unit} reports that can still change; one query per report.",
    )
    def schedule(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        now = context.scheduled_execution_time
        keys = partitions.get_partition_keys(current_time=now)
        if not keys:
            return dg.SkipReason(f"no partition is over since {partitions.start:%Y-%m-%d}")
        # Reports that look back equally far share a run.
        alike: dict[str, list[dg.AssetKey]] = defaultdict(list)
        for key, report in members:
            alike[keys[-report.partitions_to_refresh() :][0]].append(key)
        return [
            dg.RunRequest(
                run_key=f"{now.isoformat()} {first}..{keys[-1]}",
                asset_selection=selection,
                tags=range_tags(first, keys[-1]),
            )
            for first, selection in sorted(alike.items())
        ]

    return schedule
