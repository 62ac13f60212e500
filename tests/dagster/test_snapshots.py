"""Snapshots: only today's can be taken, and today is a day of the project's zone."""

# Dagster reads the annotations of assets, so they must be types, not strings.
from datetime import UTC, date, datetime, timedelta

import dagster as dg
import pytest
from dagster._core.test_utils import freeze_time

from mixpanel_etl.dagster.resource import MixpanelResource
from mixpanel_etl.dagster.snapshots import daily_snapshots, snapshot_day, snapshot_partitions
from mixpanel_etl.sandbox import Project, Sandbox

KEY = dg.AssetKey(["mixpanel", "something"])
LATE_EVENING_UTC = datetime(2026, 3, 1, 23, 30, tzinfo=UTC)  # the morning of March 2 in Tokyo


@pytest.fixture
def mixpanel_project() -> Project:
    return Project(timezone="Asia/Tokyo")


@pytest.fixture
def partitions(mixpanel: Sandbox) -> dg.DailyPartitionsDefinition:
    return snapshot_partitions(MixpanelResource())


@pytest.fixture
def definitions(partitions: dg.DailyPartitionsDefinition) -> dg.Definitions:
    @dg.asset(key=KEY, partitions_def=partitions)
    def something(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        return dg.MaterializeResult(metadata={"day": snapshot_day(context.partition_keys, partitions)})

    return dg.Definitions.merge(
        dg.Definitions(assets=[something]), daily_snapshots("something", [KEY], partitions, "0 4 * * *")
    )


def test_today_in_project_time_is_the_last_partition(partitions: dg.DailyPartitionsDefinition) -> None:
    assert partitions.get_first_partition_key() == "2026-01-01"
    with freeze_time(LATE_EVENING_UTC):
        assert partitions.get_last_partition_key() == "2026-03-02"


def test_the_first_day_can_be_given(mixpanel: Sandbox) -> None:
    partitions = snapshot_partitions(MixpanelResource(), date(2026, 2, 20))
    assert partitions.get_first_partition_key() == "2026-02-20"


def test_a_past_day_is_refused_in_a_sentence_that_names_the_day_that_can_be_taken(definitions: dg.Definitions) -> None:
    job = definitions.resolve_job_def("something_job")
    with freeze_time(LATE_EVENING_UTC):
        assert job.execute_in_process(partition_key="2026-03-02").success
        with pytest.raises(dg.Failure, match=r"only today can be taken \(2026-03-02 in Asia/Tokyo\), not 2026-03-01"):
            job.execute_in_process(partition_key="2026-03-01")


def test_the_schedule_asks_for_today_and_makes_up_for_no_other_day(definitions: dg.Definitions) -> None:
    schedule = definitions.resolve_schedule_def("something_schedule")
    assert schedule.execution_timezone == "Asia/Tokyo"

    def tick(timestamp: datetime) -> list[str | None]:
        repository = definitions.get_repository_def()
        context = dg.build_schedule_context(scheduled_execution_time=timestamp, repository_def=repository)
        return [request.partition_key for request in schedule.evaluate_tick(context).run_requests or ()]

    with freeze_time(LATE_EVENING_UTC):
        assert tick(LATE_EVENING_UTC) == ["2026-03-02"]
        assert tick(LATE_EVENING_UTC - timedelta(days=1)) == []
