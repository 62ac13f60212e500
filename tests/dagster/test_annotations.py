"""Annotations when jobs end: one for a run, one for a backfill, none twice, none lost while Mixpanel is away."""

# Dagster reads the annotations of ops, so they must be types, not strings.
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.storage.tags import BACKFILL_ID_TAG
from dagster.components.testing import create_defs_folder_sandbox

from mixpanel_etl import MixpanelAnnotations
from mixpanel_etl.client import Annotation, Mixpanel, MixpanelError
from mixpanel_etl.dagster.annotations.sensors import EndedRun
from mixpanel_etl.sandbox import Fault, Project, Sandbox
from mixpanel_etl.settings import Settings


@dg.op
def work(context: dg.OpExecutionContext) -> None:
    if "fails" in context.run.tags:
        raise ValueError


@dg.job
def release() -> None:
    work()


@dg.job
def other() -> None:
    pass


@pytest.fixture
def mixpanel_project() -> Project:
    return Project(enforce_budgets=False, timezone="Asia/Tokyo")


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


class Daemon:
    """Evaluates the sensor as Dagster's daemon does: the cursor moves only when it does not fail."""

    def __init__(
        self, instance: dg.DagsterInstance, component: MixpanelAnnotations | None = None, **attributes: Any
    ) -> None:
        with create_defs_folder_sandbox() as project:
            contents = {"type": "mixpanel_etl.MixpanelAnnotations", "attributes": {"jobs": ["release"], **attributes}}
            path = project.scaffold_component(
                component_cls=MixpanelAnnotations, defs_path="note", defs_yaml_contents=contents
            )
            with project.load_component_and_build_defs(defs_path=path) as (_, loaded):
                own = replace(component, name="mixpanel__note").definitions() if component else loaded
                self._definitions = dg.Definitions.merge(own, dg.Definitions(jobs=[release, other]))
        self.instance = instance
        self.cursor: str | None = None

    def tick(self) -> None:
        context = dg.build_sensor_context(
            self.instance, cursor=self.cursor, repository_def=self._definitions.get_repository_def()
        )
        self.cursor = self._definitions.resolve_sensor_def("mixpanel__note_sensor").evaluate_tick(context).cursor


def run(
    instance: dg.DagsterInstance, tags: dict[str, str] | None = None, job: dg.JobDefinition = release
) -> dg.DagsterRun:
    return job.execute_in_process(instance=instance, tags=tags, raise_on_error=False).dagster_run


def annotations() -> list[Annotation]:
    with Mixpanel(Settings.load()) as client:
        return client.annotations.list_annotations()


def test_a_run_that_ends_is_annotated_once_with_its_tags(mixpanel: Sandbox, instance: dg.DagsterInstance) -> None:
    run(instance, {"version": "1.0"})  # before the sensor was switched on
    daemon = Daemon(instance, description="Release {tags[version]} {status}", tags=["release", "etl"])
    daemon.tick()
    made = run(instance, {"version": "1.1"})
    run(instance, job=other)
    run(instance, {"fails": "yes"})
    daemon.tick()
    daemon.tick()
    (found,) = annotations()
    assert found.description == "Release 1.1 success"
    assert {tag.name for tag in found.tags} == {"release", "etl"}
    record = instance.get_run_record_by_id(made.run_id)
    assert record
    assert record.end_time
    ended = datetime.fromtimestamp(int(record.end_time), ZoneInfo("Asia/Tokyo"))
    assert found.date == f"{ended:%Y-%m-%d %H:%M:%S}"


def test_what_a_crash_makes_it_do_again_is_not_written_twice(mixpanel: Sandbox, instance: dg.DagsterInstance) -> None:
    daemon = Daemon(instance, tags=["etl"])
    daemon.tick()
    before = daemon.cursor
    run(instance)
    run(instance, {"dagster/partition": "2026-01-05"})
    daemon.tick()
    daemon.cursor = before  # as if it had been killed before the cursor was stored
    daemon.tick()
    assert sorted(found.description or "" for found in annotations()) == [
        "release: success",
        "release: success 2026-01-05",
    ]


def test_while_mixpanel_is_away_annotations_wait(mixpanel: Sandbox, instance: dg.DagsterInstance) -> None:
    daemon = Daemon(instance)
    daemon.tick()
    run(instance)
    mixpanel.add_fault(Fault("*/annotations", "payment_required"))
    with pytest.raises(MixpanelError):
        daemon.tick()
    mixpanel.clear_faults()
    assert annotations() == []
    daemon.tick()
    assert len(annotations()) == 1


def test_what_a_tick_has_no_time_for_is_left_for_the_next(
    mixpanel: Sandbox, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon = Daemon(instance)
    daemon.tick()
    run(instance)
    with monkeypatch.context() as patch:
        patch.setattr("mixpanel_etl.dagster.annotations.sensors._TICK_SECONDS", -1.0)
        daemon.tick()
    assert annotations() == []
    daemon.tick()
    assert len(annotations()) == 1


def test_failures_are_annotated_when_they_are_asked_for(mixpanel: Sandbox, instance: dg.DagsterInstance) -> None:
    daemon = Daemon(instance, endings=["failure"])
    daemon.tick()
    run(instance, {"fails": "yes"})
    run(instance)
    daemon.tick()
    assert [found.description for found in annotations()] == ["release: failure"]


def test_a_backfill_is_one_annotation_at_its_end(mixpanel: Sandbox, instance: dg.DagsterInstance) -> None:
    backfill = PartitionBackfill(
        backfill_id="abc",
        status=BulkActionStatus.REQUESTED,
        from_failure=False,
        tags={},
        backfill_timestamp=1767225600.0,
        partition_names=["2026-01-01", "2026-01-02"],
    )
    instance.add_backfill(backfill)
    daemon = Daemon(instance)
    daemon.tick()
    run(instance, {BACKFILL_ID_TAG: "abc", "dagster/partition": "2026-01-01"})
    daemon.tick()
    run(instance, {BACKFILL_ID_TAG: "abc", "dagster/partition": "2026-01-02"})
    daemon.tick()
    assert annotations() == []
    last = instance.create_run_for_job(
        release, status=dg.DagsterRunStatus.STARTED, tags={BACKFILL_ID_TAG: "abc", "dagster/partition": "2026-01-03"}
    )
    instance.update_backfill(backfill.with_status(BulkActionStatus.COMPLETED_SUCCESS))  # type: ignore[no-untyped-call]
    daemon.tick()
    assert annotations() == []
    instance.report_run_canceled(last)
    daemon.tick()
    daemon.tick()
    assert [found.description for found in annotations()] == ["release: success 2026-01-01 to 2026-01-03"]


def test_a_backfill_of_the_command_line_with_a_run_that_failed_is_a_failure(
    mixpanel: Sandbox, instance: dg.DagsterInstance
) -> None:
    instance.add_backfill(
        PartitionBackfill("abc", BulkActionStatus.COMPLETED, from_failure=False, tags={}, backfill_timestamp=1.0)
    )
    daemon = Daemon(instance, endings=["success", "failure"])
    daemon.tick()
    run(instance, {BACKFILL_ID_TAG: "abc"})
    run(instance, {BACKFILL_ID_TAG: "abc", "fails": "yes"})
    daemon.tick()
    assert [found.description for found in annotations()] == ["release: failure"]


class LinkedAnnotations(MixpanelAnnotations):
    """A team's own component."""

    def text(self, run: EndedRun) -> str:
        return f"{super().text(run)} https://releases.example.com/{run.tags['version']}"


def test_a_subclass_writes_another_text(mixpanel: Sandbox, instance: dg.DagsterInstance) -> None:
    daemon = Daemon(instance, LinkedAnnotations(jobs=["release"]))
    daemon.tick()
    run(instance, {"version": "1.1"})
    daemon.tick()
    assert [found.description for found in annotations()] == ["release: success https://releases.example.com/1.1"]


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ({"jobs": []}, "jobs is empty"),
        ({"description": "{jobs} is over"}, "'{jobs} is over' (KeyError: 'jobs')"),
        ({"description": " "}, "description is empty"),
        ({"endings": ["sucess"]}, "endings"),
    ],
)
def test_a_mistake_in_the_yaml_is_named_when_definitions_load(
    mixpanel: Sandbox, instance: dg.DagsterInstance, attributes: dict[str, Any], said: str
) -> None:
    with pytest.raises(Exception) as raised:  # noqa: PT011 - Dagster wraps it in its own
        Daemon(instance, **attributes)
    assert said in str(raised.value.__cause__)


def test_an_unknown_job_is_named_by_the_first_tick(mixpanel: Sandbox, instance: dg.DagsterInstance) -> None:
    with pytest.raises(Exception, match=r"unknown jobs 'relaese'; jobs of this code location: .*release"):
        Daemon(instance, jobs=["relaese"]).tick()
