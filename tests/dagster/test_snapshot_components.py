"""Profiles, cohorts and the catalogue from YAML: what is right arrives, and mistakes are named when it loads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest
from dagster.components.testing import create_defs_folder_sandbox

from mixpanel_etl import MixpanelCatalogue, MixpanelCohorts, MixpanelProfiles
from mixpanel_etl.client import Mixpanel
from mixpanel_etl.lake import PromotedColumn, Table
from mixpanel_etl.pull.cohort_snapshots import MEMBERS_SCHEMA
from mixpanel_etl.pull.profile_snapshots import profile_schema
from mixpanel_etl.sandbox import Cohort, Project, Sandbox
from mixpanel_etl.settings import Settings

from .profiles import Today, keep_groups, keep_profiles, people


@pytest.fixture
def mixpanel_project() -> Project:
    return Project(enforce_budgets=False, group_keys=["company"])


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def built(component: type[dg.Component], attributes: dict[str, Any]) -> dg.Definitions:
    with create_defs_folder_sandbox() as project:
        yaml = {"type": f"mixpanel_etl.{component.__name__}", "attributes": attributes}
        path = project.scaffold_component(component_cls=component, defs_path="growth", defs_yaml_contents=yaml)
        with project.load_component_and_build_defs(defs_path=path) as (_, definitions):
            return definitions


def keys(definitions: dg.Definitions) -> set[str]:
    return {key.to_user_string() for key in definitions.resolve_asset_graph().get_all_asset_keys()}


def test_profiles_with_every_attribute(
    mixpanel: Sandbox, client: Mixpanel, instance: dg.DagsterInstance, tmp_path: Any
) -> None:
    keep_profiles(client, people(30))
    mixpanel.save_report(Cohort(7, "Few", distinct_ids=[f"user-{n:05}" for n in range(15)]))
    definitions = built(
        MixpanelProfiles,
        {
            "asset": {"key": "growth/pros", "owners": ["team:growth"]},
            "table": "pros",
            "lake": str(tmp_path / "elsewhere"),
            "start_date": "2026-03-01",
            "source": "engage",
            "where": 'user["plan"] == "pro"',
            "cohort": 7,
            "output_properties": ["plan"],
            "columns": [{"property": "plan", "type": "string"}],
            "cron_schedule": "30 6 * * *",
        },
    )
    node = definitions.resolve_asset_graph().get(dg.AssetKey(["growth", "pros"]))
    assert (node.owners, node.pools) == (["team:growth"], {"mixpanel_query"})
    assert all(column.description for column in node.metadata["dagster/column_schema"].columns)
    assert definitions.resolve_schedule_def("growth__pros_schedule").cron_schedule == "30 6 * * *"
    assert Today(instance, definitions).run("growth/pros").success
    schema = profile_schema([PromotedColumn("plan", "string")])
    found = Table(str(tmp_path / "elsewhere"), "pros", schema).scan().collect()
    assert dict(found.select("distinct_id", "plan").iter_rows()) == {"user-00000": "pro", "user-00010": "pro"}


def test_users_and_groups_stand_side_by_side(mixpanel: Sandbox, client: Mixpanel, instance: dg.DagsterInstance) -> None:
    keep_profiles(client, people(3))
    keep_groups(client, "company", {"acme": {"size": 9}})
    companies = {
        "asset": {"key": "mixpanel/companies"},
        "table": "companies",
        "data_group_id": mixpanel.data_group_id("company"),
    }
    both = dg.Definitions.merge(
        built(MixpanelProfiles, {"asset": {"key": "mixpanel/profiles"}}), built(MixpanelProfiles, companies)
    )
    for name, number in {"profiles": 3, "companies": 1}.items():
        assert Today(instance, both).run(f"mixpanel/{name}").success
        assert len(Table(Settings.load().lake, name, profile_schema()).scan().collect()) == number


def test_cohorts_alone_and_with_members(mixpanel: Sandbox, instance: dg.DagsterInstance) -> None:
    assert keys(built(MixpanelCohorts, {})) == {"mixpanel/cohorts"}
    mixpanel.save_report(Cohort(7, "Few", distinct_ids=["a"]))
    mixpanel.save_report(Cohort(8, "2026", distinct_ids=["b"]))
    definitions = built(
        MixpanelCohorts,
        {"members_of": [7, "2026"], "key_prefix": "eu/mixpanel", "folder": "eu", "cron_schedule": "0 7 * * *"},
    )
    assert keys(definitions) == {"eu/mixpanel/cohorts", "eu/mixpanel/cohort_members"}
    assert definitions.resolve_schedule_def("mixpanel__growth_schedule").cron_schedule == "0 7 * * *"
    assert Today(instance, definitions).run("eu/mixpanel/cohort_members").success
    found = Table(Settings.load().lake, "eu/cohort_members", MEMBERS_SCHEMA).scan().collect()
    assert set(found.select("cohort", "distinct_id").rows()) == {("Few", "a"), ("2026", "b")}


def test_the_catalogue_of_some_groups(mixpanel: Sandbox) -> None:
    definitions = built(MixpanelCatalogue, {"groups": ["lookup_tables", "feature_flags"], "key_prefix": "eu/catalogue"})
    assert keys(definitions) == {"eu/catalogue/feature_flags", "eu/catalogue/lookup_tables"}
    assert definitions.resolve_schedule_def("mixpanel__growth_schedule")
    assert len(keys(built(MixpanelCatalogue, {}))) == 15


ASSET = {"asset": {"key": "mixpanel/profiles"}}


@pytest.mark.parametrize(
    ("component", "attributes", "said"),
    [
        (MixpanelProfiles, {**ASSET, "where": "plan =="}, "where:"),
        (MixpanelProfiles, {**ASSET, "where": 'event["x"] == 1'}, "event[...] is nothing of a profile"),
        (MixpanelProfiles, {**ASSET, "source": "jql", "cohort": 7}, "cohort with source jql"),
        (MixpanelProfiles, {**ASSET, "source": "jql", "data_group_id": "7"}, "data_group_id with source jql"),
        (MixpanelProfiles, {**ASSET, "source": "jql", "where": 'properties["a"] == 1'}, 'write user["plan"]'),
        (MixpanelProfiles, {**ASSET, "source": "csv"}, "source"),
        (MixpanelProfiles, {**ASSET, "output_properties": []}, "output_properties: give names"),
        (
            MixpanelProfiles,
            {**ASSET, "output_properties": ["plan"], "columns": [{"property": "city", "type": "string"}]},
            "column 'city'",
        ),
        (MixpanelProfiles, {**ASSET, "columns": [{"property": "$last_seen", "type": "string"}]}, "$last_seen"),
        (MixpanelCohorts, {"members_of": [[1]]}, "members_of"),
        (MixpanelCatalogue, {"groups": ["flags"]}, "feature_flags"),
        (MixpanelCatalogue, {"top_events": 0}, "top_events"),
        (MixpanelCatalogue, {"start_date": "2026-13-01"}, "2026-13-01"),
    ],
)
def test_a_mistake_in_the_yaml_is_named_when_definitions_load(
    mixpanel: Sandbox, component: type[dg.Component], attributes: dict[str, Any], said: str
) -> None:
    with pytest.raises(Exception) as raised:  # noqa: PT011 - Dagster wraps it, more than once
        built(component, attributes)
    told = ""
    error: BaseException | None = raised.value
    while error:
        told += str(error)
        error = error.__cause__ or error.__context__
    assert said in told
