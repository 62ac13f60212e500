"""The asset: what it records, also when it fails."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run

from mixpanel_etl import MixpanelExport
from mixpanel_etl.lake import EventsTable
from mixpanel_etl.sandbox import Fault, Project, Sandbox

from ..conftest import FIRST
from ..lakehouse import assert_equals_store, days_from
from .conftest import KEY, Run

DAYS = days_from(FIRST, 10)


def recorded(instance: dg.DagsterInstance) -> set[str]:
    return instance.get_materialized_partitions(KEY)


def failure(result: dg.ExecuteInProcessResult) -> str:
    (event,) = result.get_step_failure_events()
    data = event.step_failure_data.user_failure_data
    assert data is not None
    return data.description or ""


def test_each_day_of_a_range_is_recorded_once_with_its_own_metadata(
    mixpanel: Sandbox, table: EventsTable, run: Run, instance: dg.DagsterInstance
) -> None:
    mixpanel.generate(1_000, DAYS[0], DAYS[-1], duplicates=0.1)
    result = run("2026-01-01", "2026-01-10")
    assert result.success
    events = result.asset_materializations_for_node("mixpanel__events")
    assert sorted(event.partition for event in events if event.partition) == [str(day) for day in DAYS]
    for event in events:
        day = table.day(date.fromisoformat(event.partition or ""))
        assert day
        metadata = {name: value.value for name, value in event.metadata.items()}
        assert metadata["dagster/partition_row_count"] == day.rows
        assert metadata["mixpanel_etl/duplicates_removed"] == day.duplicates
        assert metadata["mixpanel_etl/bytes"] == Path(day.uri).stat().st_size
        assert metadata["dagster/uri"] == day.uri
        assert day.first_time
        assert metadata["mixpanel_etl/first_event"] == day.first_time.timestamp()
        assert {"mixpanel_etl/last_event", "mixpanel_etl/newest_processing_time"} <= metadata.keys()
    assert_equals_store(table, mixpanel, DAYS)


def test_a_single_partition_works_like_a_range(
    mixpanel: Sandbox, table: EventsTable, run: Run, instance: dg.DagsterInstance
) -> None:
    mixpanel.generate(100, DAYS[0], DAYS[0])
    assert run("2026-01-01").success
    assert recorded(instance) == {"2026-01-01"}
    assert_equals_store(table, mixpanel, DAYS[:1])


def test_days_published_before_a_failure_stay_recorded_and_only_the_rest_is_missing(
    mixpanel: Sandbox, table: EventsTable, run: Run, instance: dg.DagsterInstance
) -> None:
    mixpanel.generate(1_000, DAYS[0], DAYS[-1])
    # The whole range and the second half of it end early, down to its first day.
    mixpanel.add_fault(Fault("/export", "terminated_early", count=1, after=0))
    mixpanel.add_fault(Fault("/export", "terminated_early", skip=1, after=0))
    result = run("2026-01-01", "2026-01-10")
    assert not result.success
    assert recorded(instance) == {str(day) for day in DAYS[:5]}
    assert_equals_store(table, mixpanel, DAYS[:5])
    mixpanel.clear_faults()
    assert run("2026-01-06", "2026-01-10").success
    assert recorded(instance) == {str(day) for day in DAYS}
    assert_equals_store(table, mixpanel, DAYS)


def test_a_shrunken_day_fails_the_run_with_its_remedy_and_the_launchpad_can_allow_it(
    mixpanel: Sandbox, table: EventsTable, run: Run, instance: dg.DagsterInstance
) -> None:
    mixpanel.generate(100, DAYS[0], DAYS[1])
    assert run("2026-01-01", "2026-01-02").success
    mixpanel.reset([Project(enforce_budgets=False)])
    mixpanel.generate(60, DAYS[0], DAYS[1])
    shrunk = run("2026-01-01", "2026-01-02")
    assert not shrunk.success
    assert "2026-01-01" in failure(shrunk)
    assert "allow_shrink" in failure(shrunk)
    assert run("2026-01-01", "2026-01-02", allow_shrink=True).success
    assert_equals_store(table, mixpanel, DAYS[:2])


@pytest.mark.parametrize(
    ("kind", "advice"),
    [("payment_required", "plan"), ("unable_to_authenticate", "MIXPANEL_"), ("future_date", "MIXPANEL_TIMEZONE")],
)
def test_a_failed_run_says_what_to_do(mixpanel: Sandbox, run: Run, kind: str, advice: str) -> None:
    mixpanel.add_fault(Fault("/export", kind))  # type: ignore[arg-type]
    assert advice in failure(run("2026-01-01", "2026-01-10"))


def test_missing_credentials_fail_the_run_by_name_but_not_the_definitions(
    export: MixpanelExport, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SERVICE_ACCOUNT_USERNAME", "SERVICE_ACCOUNT_SECRET", "PROJECT_TOKEN", "OAUTH_TOKEN"):
        monkeypatch.delenv(f"MIXPANEL_{name}")
    job = export.definitions().resolve_job_def("mixpanel__events_job")
    result = job.execute_in_process(instance=instance, partition_key="2026-01-01", raise_on_error=False)
    assert "MIXPANEL_SERVICE_ACCOUNT_SECRET" in failure(result)


def test_no_secret_reaches_dagster(mixpanel: Sandbox, run: Run, instance: dg.DagsterInstance) -> None:
    mixpanel.generate(100, DAYS[0], DAYS[1])
    secrets = [value for name, value in mixpanel.environment().items() if name.endswith(("SECRET", "OAUTH_TOKEN"))]
    assert secrets
    runs = [run("2026-01-01", "2026-01-02")]
    mixpanel.add_fault(Fault("/export", "unable_to_authenticate"))
    runs.append(run("2026-01-01", "2026-01-02"))
    for result in runs:
        text = " ".join(str(record) for record in instance.all_logs(result.run_id)) + str(result.dagster_run)
        assert not [secret for secret in secrets if secret in text]


def test_a_retry_of_a_run_asks_only_for_what_is_missing(
    mixpanel: Sandbox, table: EventsTable, definitions: dg.Definitions, instance: dg.DagsterInstance, run: Run
) -> None:
    mixpanel.generate(1_000, DAYS[0], DAYS[-1])
    mixpanel.add_fault(Fault("/export", "terminated_early", count=1, after=0))
    mixpanel.add_fault(Fault("/export", "terminated_early", skip=1, after=0))
    failed = run("2026-01-01", "2026-01-10")
    mixpanel.clear_faults()
    mixpanel.clear_requests()
    job = definitions.resolve_job_def("mixpanel__events_job")
    again = instance.create_run_for_job(
        job,
        run_config={"execution": {"config": {"in_process": {}}}},
        tags=failed.dagster_run.tags,
        root_run_id=failed.run_id,
        parent_run_id=failed.run_id,
    )
    assert execute_run(InMemoryJob(job), again, instance).success
    asked = [request.params for request in mixpanel.requests if request.path.endswith("/export")]
    assert [(params["from_date"], params["to_date"]) for params in asked] == [("2026-01-06", "2026-01-10")]
    assert recorded(instance) == {str(day) for day in DAYS}
    assert_equals_store(table, mixpanel, DAYS)


def test_a_deliberate_materialization_asks_again_for_everything(
    mixpanel: Sandbox, table: EventsTable, run: Run
) -> None:
    mixpanel.generate(100, DAYS[0], DAYS[-1])
    assert run("2026-01-01", "2026-01-10").success
    mixpanel.generate(150, DAYS[0], DAYS[-1], seed=5)
    assert run("2026-01-01", "2026-01-10").success
    assert_equals_store(table, mixpanel, DAYS)


def test_the_asset_is_what_a_backfill_needs(definitions: dg.Definitions) -> None:
    node = definitions.resolve_asset_graph().get(KEY)
    assert node.backfill_policy == dg.BackfillPolicy.multi_run(100)
    assert node.pools == {"mixpanel_export"}
    assert {"mixpanel", "parquet"} <= node.kinds
    assert isinstance(node.partitions_def, dg.DailyPartitionsDefinition)
    assert node.partitions_def.timezone == "UTC"
    columns = node.metadata["dagster/column_schema"].columns
    assert [column.name for column in columns][:3] == ["event_name", "time", "distinct_id"]


def test_a_day_is_a_partition_only_when_it_is_over_in_the_zone_that_counts(
    export: MixpanelExport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIXPANEL_TIMEZONE", "America/Los_Angeles")
    monkeypatch.setenv("MIXPANEL_CREATED_BEFORE_2023", "true")
    partitions = export.partitions
    assert partitions.timezone == "America/Los_Angeles"
    keys = partitions.get_partition_keys(current_time=datetime(2026, 2, 2, 7, 59, tzinfo=UTC))
    assert keys[-1] == "2026-01-31"
    keys = partitions.get_partition_keys(current_time=datetime(2026, 2, 2, 8, 0, tzinfo=UTC))
    assert keys[-1] == "2026-02-01"


class TestSchedule:
    def tick(self, definitions: dg.Definitions, timestamp: str) -> dg.RunRequest | None:
        schedule = definitions.resolve_schedule_def("mixpanel__events_schedule")
        context = dg.build_schedule_context(
            scheduled_execution_time=datetime.fromisoformat(timestamp).replace(tzinfo=UTC),
            repository_def=definitions.get_repository_def(),
        )
        requests = schedule.evaluate_tick(context).run_requests or []
        assert len(requests) <= 1
        return requests[0] if requests else None

    def test_the_last_five_days_are_one_run(self, definitions: dg.Definitions) -> None:
        request = self.tick(definitions, "2026-03-20T03:00:00")
        assert request
        assert request.tags["dagster/asset_partition_range_start"] == "2026-03-15"
        assert request.tags["dagster/asset_partition_range_end"] == "2026-03-19"

    def test_it_does_not_reach_before_the_first_day(self, definitions: dg.Definitions) -> None:
        request = self.tick(definitions, "2026-01-03T03:00:00")
        assert request
        assert request.tags["dagster/asset_partition_range_start"] == "2026-01-01"
        assert request.tags["dagster/asset_partition_range_end"] == "2026-01-02"

    def test_nothing_is_asked_for_before_a_day_is_over(self, definitions: dg.Definitions) -> None:
        assert self.tick(definitions, "2026-01-01T03:00:00") is None

    def test_its_run_costs_one_request(
        self, definitions: dg.Definitions, instance: dg.DagsterInstance, mixpanel: Sandbox, table: EventsTable
    ) -> None:
        mixpanel.generate(500, DAYS[0], DAYS[-1])
        request = self.tick(definitions, "2026-01-11T03:00:00")
        assert request
        job = definitions.resolve_job_def("mixpanel__events_job")
        assert job.execute_in_process(instance=instance, tags=request.tags).success
        assert sum(seen.path.endswith("/export") for seen in mixpanel.requests) == 1
        assert table.days() == DAYS[-5:]
        assert recorded(instance) == {str(FIRST + timedelta(days=n)) for n in range(5, 10)}
