"""The data dictionary from YAML: planned by a check, applied by an asset."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster.components.testing import create_defs_folder_sandbox

from mixpanel_etl import MixpanelLexicon
from mixpanel_etl.client import Mixpanel, Schema
from mixpanel_etl.dagster.lexicon.assets import LexiconConfig
from mixpanel_etl.lexicon import fetch
from mixpanel_etl.sandbox import Sandbox
from mixpanel_etl.settings import Settings

YAML = {"asset": {"key": "mixpanel/lexicon"}, "directory": "schemas"}


@pytest.fixture
def files() -> dict[str, str]:
    """The schema directory: override it for another."""
    return {"a.yaml": "event: A\ntags: [core]\nproperties:\n  amount: number\n"}


@pytest.fixture
def definitions(mixpanel: Sandbox, files: dict[str, str]) -> Iterator[dg.Definitions]:
    contents = {"type": "mixpanel_etl.MixpanelLexicon", "attributes": YAML}
    with create_defs_folder_sandbox() as project:
        path = project.scaffold_component(component_cls=MixpanelLexicon, defs_yaml_contents=contents)
        (path / "schemas").mkdir()
        for name, text in files.items():
            (path / "schemas" / name).write_text(text)
        with project.load_component_and_build_defs(defs_path=path) as (_, definitions):
            yield definitions


def run(definitions: dg.Definitions, job: str, **config: bool) -> dg.ExecuteInProcessResult:
    """A run that begins minutes after the one before: nothing of the budget is used."""
    for state in Path.cwd().glob("budget.sqlite*"):
        state.unlink()
    with dg.DagsterInstance.ephemeral() as instance:
        return definitions.resolve_job_def(f"mixpanel__lexicon_{job}_job").execute_in_process(
            instance=instance,
            raise_on_error=False,
            run_config={"ops": {"mixpanel__lexicon": {"config": config}}} if config else None,
        )


def planned(definitions: dg.Definitions) -> tuple[bool, str]:
    (evaluation,) = run(definitions, "plan").get_asset_check_evaluations()
    return evaluation.passed, str(evaluation.metadata["mixpanel_etl/plan"].value)


def test_the_plan_job_shows_what_the_apply_job_does(mixpanel: Sandbox, definitions: dg.Definitions) -> None:
    passed, plan = planned(definitions)
    assert not passed
    assert "+ event 'A'" in plan
    assert "type: number" in plan
    assert [request.method for request in mixpanel.requests] == ["GET"]
    (materialization,) = run(definitions, "apply").asset_materializations_for_node("mixpanel__lexicon")
    assert materialization.metadata["mixpanel_etl/plan"].value == plan
    assert materialization.metadata["mixpanel_etl/requests"].value == 1
    assert planned(definitions) == (True, "    1 unchanged, 0 only in Mixpanel")


@pytest.mark.parametrize("files", [{"a.yaml": "event: A\ndropped: true\n"}])
def test_a_run_loses_data_only_when_its_launchpad_says_so(mixpanel: Sandbox, definitions: dg.Definitions) -> None:
    failed = run(definitions, "apply")
    assert not failed.success
    assert "allow_drop: true" in str(failed.failure_data_for_node("mixpanel__lexicon"))
    assert [request.method for request in mixpanel.requests] == ["GET"]
    assert run(definitions, "apply", allow_drop=True).success


def test_a_run_empties_the_dictionary_first_only_when_its_launchpad_says_so(
    mixpanel: Sandbox, definitions: dg.Definitions
) -> None:
    with Mixpanel(Settings.load()) as client:
        client.lexicon.create_schema("event", "old", Schema())
    for truncate, left in ((False, {"old", "A"}), (True, {"A"})):
        assert run(definitions, "apply", truncate=truncate).success
        with Mixpanel(Settings.load()) as client:
            assert {name for _, name in fetch(client)} == left


@pytest.mark.parametrize("files", [{"a.yaml": "event: A\nhiden: true\n"}])
def test_a_mistake_in_a_file_fails_the_run_and_nothing_else(mixpanel: Sandbox, definitions: dg.Definitions) -> None:
    failed = run(definitions, "apply")
    assert not failed.success
    assert "a.yaml:2: unknown key 'hiden'; did you mean 'hidden'?" in str(
        failed.failure_data_for_node("mixpanel__lexicon")
    )
    assert not mixpanel.requests


class AnnouncedLexicon(MixpanelLexicon):
    """A team's own component."""

    def get_asset_spec(self) -> dg.AssetSpec:
        return super().get_asset_spec().merge_attributes(tags={"tier": "governance"})

    def execute(self, context: dg.AssetExecutionContext, config: LexiconConfig) -> Iterator[dg.MaterializeResult[Any]]:
        for result in super().execute(context, config):
            yield dg.MaterializeResult(metadata={**(result.metadata or {}), "announced": True})


def test_a_subclass_describes_its_asset_and_does_more_than_apply(mixpanel: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("event: A\n")
    definitions = AnnouncedLexicon(asset=dg.AssetSpec(["mixpanel", "lexicon"]), directory=tmp_path).definitions()
    node = definitions.resolve_asset_graph().get(dg.AssetKey(["mixpanel", "lexicon"]))
    assert (node.tags["tier"], node.group_name) == ("governance", "mixpanel_lexicon")
    (materialization,) = run(definitions, "apply").asset_materializations_for_node("mixpanel__lexicon")
    assert materialization.metadata["announced"].value is True
    assert materialization.metadata["mixpanel_etl/uploaded"].value == 1
