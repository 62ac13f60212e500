"""What all components have in common: one class for YAML and Python, overriding, ops, names, freshness, scaffolding."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster.components.testing import create_defs_folder_sandbox

import mixpanel_etl
from mixpanel_etl import MixpanelCatalogue, MixpanelExport
from mixpanel_etl.dagster.component import MixpanelComponent
from mixpanel_etl.dagster.resource import MixpanelResource
from mixpanel_etl.dagster.schedules import fresh
from mixpanel_etl.sandbox import Sandbox

#: Those that have the shape of `MixpanelComponent`.
COMPONENTS = sorted(
    name
    for name in mixpanel_etl.__all__
    if isinstance(found := getattr(mixpanel_etl, name), type) and issubclass(found, MixpanelComponent)
)


def built(component: type[dg.Component], document: dict[str, Any]) -> dg.Definitions:
    """The definitions of one YAML document."""
    with create_defs_folder_sandbox() as project:
        path = project.scaffold_component(component_cls=component)
        (path / "defs.yaml").write_text(yaml.safe_dump(document))
        with project.load_component_and_build_defs(defs_path=path) as (_, definitions):
            return definitions


@pytest.mark.parametrize("name", COMPONENTS)
def test_what_dg_scaffold_writes_loads_as_it_is(mixpanel: Sandbox, name: str, tmp_path: Path) -> None:
    component = getattr(mixpanel_etl, name)
    with create_defs_folder_sandbox() as project:
        path = project.scaffold_component(component_cls=component)
        assert "type: " in (path / "defs.yaml").read_text()
        with project.load_component_and_build_defs(defs_path=path) as (_, definitions):
            assert definitions.resolve_asset_graph().get_all_asset_keys() or definitions.sensors


class TaggedExport(MixpanelExport):
    """A team's own export."""

    def get_asset_spec(self) -> dg.AssetSpec:
        return super().get_asset_spec().merge_attributes(tags={"tier": "raw"})

    def execute(self, context: dg.AssetExecutionContext, config: Any) -> Iterator[dg.MaterializeResult[Any]]:
        yield from super().execute(context, config)
        context.log.info("exported by the team's own class")


def test_a_subclass_describes_its_asset_and_does_more_than_export(
    mixpanel: Sandbox, instance: dg.DagsterInstance
) -> None:
    definitions = TaggedExport(asset=dg.AssetSpec("events")).definitions()
    key = dg.AssetKey("events")
    assert definitions.resolve_asset_graph().get(key).tags["tier"] == "raw"
    result = definitions.resolve_job_def("events_job").execute_in_process(instance=instance, partition_key="2026-01-01")
    logs = instance.all_logs(result.run_id)
    assert any("by the team's own class" in entry.user_message for entry in logs)


def test_the_op_of_an_asset_is_described_in_dagsters_words(mixpanel: Sandbox) -> None:
    definitions = built(
        MixpanelExport,
        {
            "type": "mixpanel_etl.MixpanelExport",
            "attributes": {
                "asset": {"key": "events"},
                "op": {
                    "tags": {"dagster/priority": "3"},
                    "pool": "my_pool",
                    "backfill_policy": {"type": "multi_run", "max_partitions_per_run": 7},
                    "retry_policy": {"max_retries": 4, "delay": 60},
                },
            },
        },
    )
    assets = definitions.resolve_assets_def("events")
    assert assets.op.tags["dagster/priority"] == "3"
    assert assets.op.pool == "my_pool"
    assert assets.op.retry_policy == dg.RetryPolicy(max_retries=4, delay=60)
    assert assets.backfill_policy == dg.BackfillPolicy.multi_run(7)


def test_post_processing_of_the_yaml_reaches_assets(mixpanel: Sandbox) -> None:
    attributes = {"groups": ["annotations"]}
    tagged = {"assets": [{"target": "*", "attributes": {"tags": {"tier": "raw"}}}]}
    definitions = built(
        MixpanelCatalogue,
        {"type": "mixpanel_etl.MixpanelCatalogue", "attributes": attributes, "post_processing": tagged},
    )
    graph = definitions.resolve_asset_graph()
    assert {graph.get(key).tags["tier"] for key in graph.get_all_asset_keys()} == {"raw"}
    assert graph.asset_check_keys


VARIABLES = """
import dagster as dg
from mixpanel_etl.dagster.resource import MixpanelResource

@dg.template_var
def our_project() -> MixpanelResource:
    return MixpanelResource(env_prefix="MIXPANEL_OURS_")
"""


def test_a_template_variable_returns_the_project(mixpanel: Sandbox) -> None:
    with create_defs_folder_sandbox() as project:
        path = project.scaffold_component(component_cls=MixpanelCatalogue)
        (path / "variables.py").write_text(VARIABLES)
        document = {
            "type": "mixpanel_etl.MixpanelCatalogue",
            "template_vars_module": ".variables",
            "attributes": {"groups": ["events"], "mixpanel": "{{ our_project }}", "lake": "lake"},
        }
        (path / "defs.yaml").write_text(yaml.safe_dump(document))
        with project.load_component_and_build_defs(defs_path=path) as (_, definitions):
            assert (
                definitions.resolve_assets_def(dg.AssetKey(["mixpanel", "catalogue", "event_names"])).op.pool
                == "mixpanel_ours_query"
            )


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("start_date: 2026-13-01", "it must be a date like 2026-01-31"),
        ("mixpanel: MIXPANEL_EU_", "it must be a mapping, e.g. {env_prefix: MIXPANEL_EU_}"),
    ],
)
def test_a_mistake_is_told_with_its_file_and_line(mixpanel: Sandbox, line: str, said: str) -> None:
    with create_defs_folder_sandbox() as project:
        path = project.scaffold_component(component_cls=MixpanelExport)
        (path / "defs.yaml").write_text(
            f"type: mixpanel_etl.MixpanelExport\nattributes:\n  asset: {{key: events}}\n  {line}\n"
        )
        with pytest.raises(Exception) as raised, project.load_component_and_build_defs(defs_path=path):  # noqa: PT011
            pass
    told, error = "", raised.value.__cause__  # Dagster wraps it
    while error is not None:
        told += f"{error}\n"
        error = error.__cause__ or error.__context__
    assert said in told
    assert "defs.yaml:4: " in told


def test_projects_in_one_loop_have_a_resource_a_pool_and_names_each(
    mixpanel: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    exports = [
        MixpanelExport(
            asset=dg.AssetSpec(["mixpanel", name, "events"]),
            mixpanel=MixpanelResource(env_prefix=f"MIXPANEL_{name.upper()}_"),
            lake=".lake",
            table=f"{name}/events",
        )
        for name in ("eu", "us", "in")
    ]
    definitions = dg.Definitions.merge(*(export.definitions() for export in exports))
    assert set(definitions.resources or {}) == {"mixpanel_eu", "mixpanel_us", "mixpanel_in"}
    graph = definitions.resolve_asset_graph()
    assert graph.get(dg.AssetKey(["mixpanel", "eu", "events"])).pools == {"mixpanel_eu_export"}
    assert definitions.resolve_job_def("mixpanel__in__events_job")


def test_two_components_of_one_project_share_its_resource(mixpanel: Sandbox) -> None:
    one, other = (MixpanelExport(asset=dg.AssetSpec(key), table=key).definitions() for key in ("a", "b"))
    assert list(dg.Definitions.merge(one, other).resources or {}) == ["mixpanel"]


@pytest.mark.parametrize(
    ("cron", "warn", "fail"),
    [("0 3 * * *", timedelta(hours=30), timedelta(hours=48)), ("0 3 * * 1-5", timedelta(hours=90), timedelta(days=6))],
)
def test_a_scheduled_table_is_stale_when_two_runs_are_missing(cron: str, warn: timedelta, fail: timedelta) -> None:
    policy = fresh(dg.AssetSpec("events"), cron, "UTC").freshness_policy
    assert policy == dg.FreshnessPolicy.time_window(fail_window=fail, warn_window=warn)


def test_a_freshness_policy_of_the_yaml_wins() -> None:
    own = dg.FreshnessPolicy.time_window(fail_window=timedelta(days=9))
    assert fresh(dg.AssetSpec("events", freshness_policy=own), "0 3 * * *", "UTC").freshness_policy == own


def test_dg_accepts_what_it_scaffolds(mixpanel: Sandbox, tmp_path: Path) -> None:
    """In a project of its own, with Dagster's command line."""
    package = tmp_path / "src" / "shop"
    (package / "defs").mkdir(parents=True)
    for file in (package / "__init__.py", package / "defs" / "__init__.py"):
        file.touch()
    (package / "definitions.py").write_text(
        "from pathlib import Path\nimport dagster as dg\n\n@dg.definitions\ndef defs():\n"
        "    return dg.load_from_defs_folder(path_within_project=Path(__file__).parent)\n"
    )
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "shop"\nversion = "0.1.0"\n[tool.dg]\ndirectory_type = "project"\n'
        '[tool.dg.project]\nroot_module = "shop"\n'
    )
    dg_command = Path(sys.executable).with_name("dg")
    for name in COMPONENTS:
        run([str(dg_command), "scaffold", "defs", f"mixpanel_etl.{name}", name.lower()], tmp_path)
    run([str(dg_command), "check", "yaml"], tmp_path)


def run(command: list[str], folder: Path) -> None:
    """Run a command of `dg` in a project whose package is below `src`."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
