"""All that a list of reports brings into a Dagster project: assets, jobs and schedules."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import dagster as dg
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

from mixpanel_etl.dagster.reports.assets import NamedReport, Reports, report_asset
from mixpanel_etl.dagster.snapshots import daily_snapshots, snapshot_partitions
from mixpanel_etl.lake import ConfigurationError
from mixpanel_etl.pull.reports import PartitionUnit, RangeReport

_SCHEDULES: dict[PartitionUnit, str] = {"day": "daily", "week": "weekly", "month": "monthly"}


def report_definitions(reports: Reports) -> dg.Definitions:
    """The definitions of reports.

    A job can hold assets of the same partitions only, so that days, weeks, months and snapshots have a job and a
    schedule each. All schedules run at `refresh_at`: a week's and a month's latest numbers are wanted every day.

    Raises:
        SettingsError: the project's settings are malformed or contradict each other.
        ConfigurationError: two reports have one name, or the lake is of an unknown kind.
    """
    names: set[str] = set()
    ranges: dict[PartitionUnit, list[tuple[NamedReport, RangeReport]]] = defaultdict(list)
    snapshots: list[dg.AssetKey] = []
    for named in reports.reports:
        if named.name in names:
            raise ConfigurationError(f"two reports are called {named.name!r}: give one of them another name")
        names.add(named.name)
        if isinstance(named.report, RangeReport):
            ranges[named.report.partition_unit].append((named, named.report))
        else:
            snapshots.append(reports.key(named))
    scheduled = [_scheduled(reports, unit, members) for unit, members in ranges.items()]
    found = dg.Definitions(
        assets=[report_asset(reports, named) for named in reports.reports],
        jobs=[schedule.job for schedule in scheduled],
        schedules=scheduled,
    )
    if not snapshots:
        return found
    days = snapshot_partitions(reports.mixpanel, reports.start_date)
    return dg.Definitions.merge(
        found, daily_snapshots(f"{reports.name}_snapshots", snapshots, days, reports.refresh_at)
    )


def _scheduled(
    reports: Reports, unit: PartitionUnit, members: Sequence[tuple[NamedReport, RangeReport]]
) -> dg.ScheduleDefinition:
    group = _SCHEDULES[unit]
    partitions = reports.partitions(members[0][1])
    job = dg.define_asset_job(
        f"{reports.name}_{group}_refresh",
        selection=dg.AssetSelection.assets(*[reports.key(named) for named, _ in members]),
        description=f"Asks Mixpanel again for {group} reports: {', '.join(named.name for named, _ in members)}.",
    )

    @dg.schedule(
        name=f"{reports.name}_{group}",
        job=job,
        cron_schedule=reports.refresh_at,
        execution_timezone=partitions.timezone,
        description=f"Asks again for what can still change in the {group} reports; one query a report.",
    )
    def refresh(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        now = context.scheduled_execution_time
        keys = partitions.get_partition_keys(current_time=now)
        if not keys:
            return dg.SkipReason(f"no partition is over since {partitions.start:%Y-%m-%d}")
        # Reports that look back equally far share a run.
        alike: dict[str, list[dg.AssetKey]] = defaultdict(list)
        for named, report in members:
            alike[keys[-report.partitions_to_refresh() :][0]].append(reports.key(named))
        return [
            dg.RunRequest(
                run_key=f"{now.isoformat()} {first}..{keys[-1]}",
                asset_selection=selection,
                tags={ASSET_PARTITION_RANGE_START_TAG: first, ASSET_PARTITION_RANGE_END_TAG: keys[-1]},
            )
            for first, selection in sorted(alike.items())
        ]

    return refresh
