"""The assets of connector imports: what a run and the sensor record of a sync."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import dagster as dg
import pytest

from mixpanel_etl import MixpanelConnectors
from mixpanel_etl.client import Clock
from mixpanel_etl.dagster.connectors.assets import ConnectorImport
from mixpanel_etl.sandbox import Fault, Project, RunOutcome, Sandbox

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEY = dg.AssetKey(["mixpanel", "orders"])
SOURCE = dg.AssetKey(["shop", "orders"])


@pytest.fixture
def mixpanel_project() -> Project:
    return Project(warehouse_imports=[{"id": 101, "created": NOW}, {"id": 102, "created": NOW}])


class Timed(MixpanelConnectors):
    """A component at the sandbox's time."""

    clock: ClassVar[Clock] = Clock()


@pytest.fixture
def sync(mixpanel: Sandbox) -> MixpanelConnectors:
    mixpanel.clock.set(datetime.now(UTC), frozen=True)
    Timed.clock = Clock(
        sleep=lambda seconds: mixpanel.clock.advance(timedelta(seconds=seconds)),
        monotonic=lambda: mixpanel.clock.now().timestamp(),
        now=mixpanel.clock.now,
    )
    return Timed(imports=[ConnectorImport(id=101, asset=dg.AssetSpec(KEY, deps=[SOURCE]))])


def materialize(sync: MixpanelConnectors, instance: dg.DagsterInstance, **options: Any) -> dg.ExecuteInProcessResult:
    job = sync.definitions().resolve_implicit_global_asset_job_def()
    return job.execute_in_process(instance=instance, raise_on_error=False, **options)


def failure(result: dg.ExecuteInProcessResult) -> str:
    (event,) = result.get_step_failure_events()
    assert event.step_failure_data.user_failure_data
    return event.step_failure_data.user_failure_data.description or ""


def triggers(mixpanel: Sandbox) -> int:
    return sum(request.path.endswith("/manual-sync") for request in mixpanel.requests)


def test_a_run_follows_the_sync_and_records_it(
    mixpanel: Sandbox, sync: MixpanelConnectors, instance: dg.DagsterInstance
) -> None:
    mixpanel.set_next_runs(101, RunOutcome(events=1234, seconds=600))
    result = materialize(sync, instance)
    assert result.success
    (recorded,) = result.asset_materializations_for_node("mixpanel__orders")
    told = {name.removeprefix("mixpanel_etl/"): value.value for name, value in recorded.metadata.items()}
    assert (told["status"], told["rows_imported"], told["seconds"]) == ("SUCCEEDED", 1234, 600)


def test_a_sync_that_fails_fails_the_run_and_says_what_to_do(
    mixpanel: Sandbox, sync: MixpanelConnectors, instance: dg.DagsterInstance
) -> None:
    mixpanel.set_next_runs(101, RunOutcome("FAILED"))
    result = materialize(sync, instance)
    assert not result.success
    assert "Data Management > Warehouse Connectors" in failure(result)
    assert triggers(mixpanel) == 1


def test_a_trigger_that_did_not_arrive_is_sent_again_in_the_same_run(
    mixpanel: Sandbox, sync: MixpanelConnectors, instance: dg.DagsterInstance
) -> None:
    mixpanel.add_fault(Fault("*/manual-sync", "reset", count=1))
    assert materialize(sync, instance).success
    assert triggers(mixpanel) == 2


def test_a_sync_that_began_before_the_models_finished_is_not_enough(
    mixpanel: Sandbox, sync: MixpanelConnectors, instance: dg.DagsterInstance
) -> None:
    with sync.mixpanel.client() as client:
        client.warehouse_connectors.manual_sync(101)
    began = mixpanel.clock.now()
    instance.report_runless_asset_event(dg.AssetMaterialization(SOURCE))
    mixpanel.clock.advance(timedelta(seconds=120))
    result = materialize(sync, instance)
    (recorded,) = result.asset_materializations_for_node("mixpanel__orders")
    started = recorded.metadata["mixpanel_etl/started"].value
    assert isinstance(started, float)
    assert started > began.timestamp()
    assert triggers(mixpanel) == 2


def tick(sync: MixpanelConnectors, instance: dg.DagsterInstance, cursor: str | None) -> tuple[list[Any], str | None]:
    """What a tick reports, in a sensor made again; Dagster stores it as the daemon does."""
    (sensor,) = sync.definitions().sensors or []
    assert isinstance(sensor, dg.SensorDefinition)
    data = sensor.evaluate_tick(dg.build_sensor_context(instance=instance, cursor=cursor))
    for event in data.asset_events:
        instance.report_runless_asset_event(event)
    return list(data.asset_events), data.cursor


@pytest.fixture
def by_sensor(sync: MixpanelConnectors) -> MixpanelConnectors:
    return replace(sync, follow="sensor")


def test_with_a_sensor_the_run_only_triggers_and_the_sensor_records(
    mixpanel: Sandbox, by_sensor: MixpanelConnectors, instance: dg.DagsterInstance
) -> None:
    mixpanel.set_next_runs(101, RunOutcome(events=1234, seconds=600))
    assert materialize(by_sensor, instance).success
    assert instance.get_latest_materialization_event(KEY) is None
    events, cursor = tick(by_sensor, instance, None)
    assert events == []
    mixpanel.clock.advance(timedelta(seconds=600))
    events, cursor = tick(by_sensor, instance, cursor)
    assert [type(event) for event in events] == [dg.AssetMaterialization, dg.AssetCheckEvaluation]
    assert events[0].metadata["mixpanel_etl/rows_imported"].value == 1234
    assert events[1].passed
    assert tick(by_sensor, instance, cursor)[0] == []
    assert triggers(mixpanel) == 1


def test_the_sensor_has_a_run_count_the_rows(
    mixpanel: Sandbox, by_sensor: MixpanelConnectors, instance: dg.DagsterInstance
) -> None:
    counting = replace(by_sensor, imports=[replace(by_sensor.imports[0], source_count="SELECT 5000")])
    mixpanel.set_next_runs(101, RunOutcome(events=4999))
    definitions = counting.definitions()
    materialize(counting, instance)
    mixpanel.clock.advance(timedelta(seconds=300))
    (sensor,) = definitions.sensors or []
    assert isinstance(sensor, dg.SensorDefinition)
    context = dg.build_sensor_context(instance, repository_def=definitions.get_repository_def())
    data = sensor.evaluate_tick(context)
    for event in data.asset_events:
        instance.report_runless_asset_event(event)
    (request,) = data.run_requests or []
    assert request.asset_check_keys == [dg.AssetCheckKey(KEY, "rows_match_source")]
    job = definitions.get_repository_def().get_job(sensor.job_name or "")
    (evaluation,) = (
        job.get_subset(asset_selection=set(), asset_check_selection=set(request.asset_check_keys))
        .execute_in_process(instance=instance)
        .get_asset_check_evaluations()
    )
    assert (evaluation.check_name, evaluation.passed) == ("rows_match_source", False)


def test_the_sensor_reports_once_also_when_it_is_restarted_or_loses_its_cursor(
    mixpanel: Sandbox, by_sensor: MixpanelConnectors, instance: dg.DagsterInstance
) -> None:
    materialize(by_sensor, instance)
    mixpanel.clock.advance(timedelta(seconds=300))
    assert len(tick(by_sensor, instance, None)[0]) == 2
    # The daemon was killed before it stored what the tick said: it is said again.
    events, cursor = tick(by_sensor, instance, None)
    assert len(events) == 2
    assert tick(by_sensor, instance, cursor)[0] == []
    assert tick(by_sensor, instance, None)[0] == []
    assert tick(by_sensor, instance, "no cursor of ours")[0] == []


def test_a_failed_sync_is_a_failed_check_and_no_materialization(
    mixpanel: Sandbox, by_sensor: MixpanelConnectors, instance: dg.DagsterInstance
) -> None:
    mixpanel.set_next_runs(101, RunOutcome("CANCELLED"))
    materialize(by_sensor, instance)
    mixpanel.clock.advance(timedelta(seconds=300))
    (event,), _ = tick(by_sensor, instance, None)
    assert isinstance(event, dg.AssetCheckEvaluation)
    assert not event.passed
    assert "was CANCELLED" in (event.description or "")


def test_the_sensor_triggers_what_could_not_be_triggered_at_once(
    mixpanel: Sandbox, by_sensor: MixpanelConnectors, instance: dg.DagsterInstance
) -> None:
    # Longer than the run's deadline: a shorter one is waited for.
    mixpanel.add_fault(Fault("*/manual-sync", "rate_limited", count=1, retry_after="seconds", seconds=600))
    assert materialize(by_sensor, instance).success
    _, cursor = tick(by_sensor, instance, None)
    assert triggers(mixpanel) == 1
    mixpanel.clock.advance(timedelta(minutes=11))
    _, cursor = tick(by_sensor, instance, cursor)
    assert triggers(mixpanel) == 2
    mixpanel.clock.advance(timedelta(minutes=11))
    assert len(tick(by_sensor, instance, cursor)[0]) == 2


def test_a_deleted_import_ends_the_sensors_watch(
    mixpanel: Sandbox, by_sensor: MixpanelConnectors, instance: dg.DagsterInstance
) -> None:
    materialize(by_sensor, instance)
    with by_sensor.mixpanel.client() as client:
        client.warehouse_connectors.delete_import(101)
    (event,), _ = tick(by_sensor, instance, None)
    assert "does not exist any more" in event.description


def test_an_outage_leaves_the_sync_to_the_next_tick(
    mixpanel: Sandbox, by_sensor: MixpanelConnectors, instance: dg.DagsterInstance
) -> None:
    materialize(by_sensor, instance)
    mixpanel.clock.advance(timedelta(seconds=300))
    mixpanel.add_fault(Fault("*/history", "error_in_200", count=1))
    events, cursor = tick(by_sensor, instance, None)
    assert events == []
    assert len(tick(by_sensor, instance, cursor)[0]) == 2


def test_a_mirror_that_was_not_synced_for_a_week_is_due(mixpanel: Sandbox, sync: MixpanelConnectors) -> None:
    mirror = replace(sync, imports=[replace(sync.imports[0], sync_mode="mirror_mode")])
    (schedule,) = mirror.definitions().schedules or []
    assert isinstance(schedule, dg.ScheduleDefinition)

    def due(instance: dg.DagsterInstance, days: int) -> list[dg.AssetKey]:
        at = datetime.now(UTC) + timedelta(days=days)
        with dg.build_schedule_context(instance, scheduled_execution_time=at) as context:
            requests = schedule.evaluate_tick(context).run_requests or []
        return [key for request in requests for key in request.asset_selection or []]

    with dg.instance_for_test() as instance:
        assert due(instance, 0) == [KEY]
        assert materialize(mirror, instance).success
        assert due(instance, 6) == []
        assert due(instance, 8) == [KEY]


class Announced(Timed):
    """A team's own component."""

    def get_asset_spec(self, item: ConnectorImport) -> dg.AssetSpec:
        return super().get_asset_spec(item).merge_attributes(tags={"import": str(item.id)})

    def execute(self, context: dg.AssetExecutionContext, item: ConnectorImport) -> Iterator[dg.MaterializeResult[Any]]:
        for result in super().execute(context, item):
            yield dg.MaterializeResult(metadata={**(result.metadata or {}), "announced": item.id})


def test_a_subclass_describes_its_assets_and_does_more_than_sync(
    mixpanel: Sandbox, sync: MixpanelConnectors, instance: dg.DagsterInstance
) -> None:
    announced = Announced(imports=sync.imports)
    assert announced.definitions().resolve_asset_graph().get(KEY).tags["import"] == "101"
    (recorded,) = materialize(announced, instance).asset_materializations_for_node("mixpanel__orders")
    assert recorded.metadata["announced"].value == 101
    assert recorded.metadata["mixpanel_etl/status"].value == "SUCCEEDED"
