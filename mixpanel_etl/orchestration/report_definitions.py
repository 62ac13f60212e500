"""All that a list of reports brings into a Dagster project: assets, jobs and schedules."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import dagster as dg
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

from mixpanel_etl.lake import ConfigurationError
from mixpanel_etl.orchestration.reports import NamedReport, Reports, report_asset
from mixpanel_etl.pull.reports import RangeReport, Report

_SCHEDULES = {"day": "daily", "week": "weekly", "month": "monthly"}


def report_definitions(reports: Reports) -> dg.Definitions:
    """The definitions of reports.

    A job can hold assets of the same partitions only, so that days, weeks, months and snapshots have a job and a
    schedule each. All schedules run at `refresh_at`: a week's and a month's latest numbers are wanted every day.

    Raises:
        SettingsError: the project's settings are malformed or contradict each other.
        ConfigurationError: two reports have one name, or the lake is of an unknown kind.
    """
    groups: dict[str, list[NamedReport]] = defaultdict(list)
    names: set[str] = set()
    for named in reports.reports:
        if named.name in names:
            raise ConfigurationError(f"two reports are called {named.name!r}: give one of them another name")
        names.add(named.name)
        groups[_schedule_of(named.report)].append(named)
    found = [_scheduled(reports, group, members) for group, members in groups.items()]
    return dg.Definitions(
        assets=[report_asset(reports, named) for named in reports.reports],
        jobs=[schedule.job for schedule in found],
        schedules=found,
    )


def _schedule_of(report: Report) -> str:
    return _SCHEDULES[report.partition_unit] if isinstance(report, RangeReport) else "snapshots"


def _scheduled(reports: Reports, group: str, members: Sequence[NamedReport]) -> dg.ScheduleDefinition:
    partitions = reports.partitions(members[0].report)
    job = dg.define_asset_job(
        f"{reports.name}_{group}_refresh",
        selection=dg.AssetSelection.assets(*[reports.key(named) for named in members]),
        description=f"Asks Mixpanel again for {group} reports: {', '.join(named.name for named in members)}.",
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
        for named in members:
            alike[keys[-_look_back(named.report) :][0]].append(reports.key(named))
        return [
            dg.RunRequest(
                run_key=f"{now.isoformat()} {first}..{keys[-1]}",
                asset_selection=selection,
                tags={ASSET_PARTITION_RANGE_START_TAG: first, ASSET_PARTITION_RANGE_END_TAG: keys[-1]},
            )
            for first, selection in sorted(alike.items())
        ]

    return refresh


def _look_back(report: Report) -> int:
    return report.partitions_to_refresh() if isinstance(report, RangeReport) else 1
