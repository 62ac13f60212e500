"""A push of kind `project`, from YAML: the events of one project's lake as an asset of another project."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG
from dagster.components.testing import create_defs_folder_sandbox

from mixpanel_etl import MixpanelPush
from mixpanel_etl.sandbox import Sandbox

from ..push.test_project_copy import DAYS, NEW, OLD, projects, shown

__all__ = ["projects"]

COPY = """
type: mixpanel_etl.MixpanelPush
attributes:
  mixpanel: {env_prefix: MIXPANEL_NEW_}
  start_date: 2026-01-01
  pushes:
    - name: from_old
      asset: {key: new/events, deps: [mixpanel/events]}
      kind: project
      source: "{{ env.MIXPANEL_LAKE }}"
"""


def load(text: str = COPY) -> dg.Definitions:
    with create_defs_folder_sandbox() as project:
        path = project.scaffold_component(component_cls=MixpanelPush)
        (path / "defs.yaml").write_text(text)
        with project.load_component_and_build_defs(defs_path=path) as (_, definitions):
            return definitions


def test_a_run_over_days_copies_them_and_lists_what_mixpanel_overwrites(
    projects: Sandbox,
    instance: dg.DagsterInstance,
) -> None:
    tags = {ASSET_PARTITION_RANGE_START_TAG: str(DAYS[0]), ASSET_PARTITION_RANGE_END_TAG: str(DAYS[-1])}
    result = load().resolve_implicit_global_asset_job_def().execute_in_process(instance=instance, tags=tags)
    recorded: dict[str | None, Any] = {
        event.materialization.partition: event.materialization.metadata
        for event in result.get_asset_materialization_events()
    }
    assert set(recorded) == {str(day) for day in DAYS}
    for metadata in recorded.values():
        assert (
            metadata["mixpanel_etl/overwritten"].value["mp_processing_time_ms"] == metadata["mixpanel_etl/rows"].value
        )
    assert shown(projects, NEW) == shown(projects, OLD)
    (check,) = result.get_asset_check_evaluations()
    assert check.passed


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('      source: "{{ env.MIXPANEL_LAKE }}"', "      query: orders.sql", "source is missing"),
        ("      kind: project", "      kind: project\n      query: orders.sql", "not allowed for kind project"),
        ("      kind: project", "      kind: project\n      time_zone: Berlin", "Europe/Berlin"),
    ],
)
def test_a_mistake_is_told_when_definitions_load(
    projects: Sandbox,
    before: str,
    after: str,
    said: str,
) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - Dagster wraps it
        load(COPY.replace(before, after))
    told, error = "", caught.value
    while error is not None:
        told += f"{error}\n"
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    assert said in told
