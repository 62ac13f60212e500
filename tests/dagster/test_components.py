"""The component: from YAML in a user's project to assets that run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster.components.testing import create_defs_folder_sandbox

from mixpanel_etl import MixpanelExport
from mixpanel_etl.lake import EventsTable, PromotedColumn
from mixpanel_etl.sandbox import Project, Sandbox

from ..conftest import FIRST
from ..lakehouse import days_from

DAYS = days_from(FIRST, 3)
#: Of this project's own definitions.
ASSETS = [
    "mixpanel/catalogue/annotation_tags",
    "mixpanel/catalogue/annotations",
    "mixpanel/catalogue/event_names",
    "mixpanel/catalogue/lexicon_properties",
    "mixpanel/catalogue/lexicon_schemas",
    "mixpanel/catalogue/lookup_tables",
    "mixpanel/catalogue/top_properties",
    "mixpanel/cohorts",
    "mixpanel/events",
    "mixpanel/profiles",
]


def built(*instances: dict[str, Any]) -> dg.Definitions:
    """The definitions of a project with these instances of the component."""
    with create_defs_folder_sandbox() as project:
        found = []
        for attributes in instances:
            yaml = {"type": "mixpanel_etl.MixpanelExport", "attributes": attributes}
            path = project.scaffold_component(component_cls=MixpanelExport, defs_yaml_contents=yaml)
            with project.load_component_and_build_defs(defs_path=path) as (_, definitions):
                found.append(definitions)
        return dg.Definitions.merge(*found)


def materialize(definitions: dg.Definitions, key: str, day: str) -> dg.ExecuteInProcessResult:
    job = definitions.resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.ephemeral() as instance:
        return job.execute_in_process(
            instance=instance, partition_key=day, asset_selection=[dg.AssetKey.from_user_string(key)]
        )


def test_two_lines_of_yaml_are_an_export(mixpanel: Sandbox, table: EventsTable) -> None:
    mixpanel.generate(100, DAYS[0], DAYS[0])
    definitions = built({"asset": {"key": "mixpanel/events"}})
    assert materialize(definitions, "mixpanel/events", "2026-01-01").success
    assert table.days() == DAYS[:1]


def test_every_attribute_arrives(mixpanel: Sandbox, tmp_path: Path) -> None:
    mixpanel.generate(300, DAYS[0], DAYS[2])
    definitions = built(
        {
            "asset": {"key": "shop/views", "group_name": "shop", "owners": ["team:growth"], "tags": {"tier": "raw"}},
            "table": "views",
            "lake": str(tmp_path / "elsewhere"),
            "start_date": "2026-01-02",
            "events": ["page view"],
            "columns": [{"property": "$city", "type": "string", "name": "city"}],
            "lookback_days": 2,
            "cron_schedule": "30 4 * * *",
            "reconcile": False,
        }
    )
    node = definitions.resolve_asset_graph().get(dg.AssetKey(["shop", "views"]))
    assert (node.group_name, node.owners, node.tags["tier"]) == ("shop", ["team:growth"], "raw")
    assert isinstance(node.partitions_def, dg.DailyPartitionsDefinition)
    assert node.partitions_def.get_first_partition_key() == "2026-01-02"
    assert definitions.resolve_schedule_def("shop__views_schedule").cron_schedule == "30 4 * * *"
    assert materialize(definitions, "shop/views", "2026-01-03").success
    city = PromotedColumn("$city", "string", "city")
    events = EventsTable(str(tmp_path / "elsewhere"), "views", [city]).scan().collect()
    assert set(events["event_name"]) == {"page view"}
    assert events["city"].null_count() < len(events)


def test_several_exports_of_several_projects_stand_side_by_side(
    mixpanel: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mixpanel.reset([Project(enforce_budgets=False), Project(project_id=777, name="eu", enforce_budgets=False)])
    mixpanel.generate(50, DAYS[0], DAYS[0])
    mixpanel.generate(70, DAYS[0], DAYS[0], project_id=777)
    others = mixpanel.environment(777, prefix="MIXPANEL_EU_")
    for name, value in {
        **others,
        "MIXPANEL_EU_LAKE": str(tmp_path / "lake"),
        "MIXPANEL_EU_START_DATE": "2026-01-01",
    }.items():
        monkeypatch.setenv(name, value)
    definitions = built(
        {"asset": {"key": "us/events"}},
        {"asset": {"key": "eu/events"}, "mixpanel": {"env_prefix": "MIXPANEL_EU_"}, "table": "events_eu"},
    )
    graph = definitions.resolve_asset_graph()
    assert graph.get(dg.AssetKey(["us", "events"])).pools == {"mixpanel_export"}
    assert graph.get(dg.AssetKey(["eu", "events"])).pools == {"mixpanel_eu_export"}
    assert materialize(definitions, "us/events", "2026-01-01").success
    assert materialize(definitions, "eu/events", "2026-01-01").success
    counts = [
        day.rows + day.duplicates
        for name in ("events", "events_eu")
        if (day := EventsTable(str(tmp_path / "lake"), name).day(DAYS[0]))
    ]
    assert counts == [50, 70]


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ({"columns": [{"property": "plan", "type": "strng"}]}, "strng"),
        ({"columns": [{"property": "Time", "type": "string", "name": "time"}]}, "time"),
        ({"start_date": "2026-13-01"}, "2026-13-01"),
        ({"lookback_day": 3}, "lookback_day"),
    ],
    ids=["unknown type", "column twice", "no date", "misspelt attribute"],
)
def test_a_mistake_in_the_yaml_is_named_when_definitions_load(
    mixpanel: Sandbox, attributes: dict[str, Any], said: str
) -> None:
    with pytest.raises(Exception) as raised:  # noqa: PT011 - Dagster wraps it, more than once
        built({"asset": {"key": "mixpanel/events"}, **attributes})
    told = ""
    error: BaseException | None = raised.value
    while error:
        told += str(error)
        error = error.__cause__ or error.__context__
    assert said in told


def test_this_projects_definitions_load_without_settings_network_or_duckdb(tmp_path: Path) -> None:
    program = (
        "import sys, warnings; warnings.simplefilter('ignore')\n"
        "from mixpanel_etl.definitions import defs\n"
        "print(sorted(key.to_user_string() for key in defs().resolve_asset_graph().materializable_asset_keys))\n"
        "print([name for name in ('s3fs', 'duckdb', 'uvicorn', 'polars', 'psycopg', 'redis') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PATH": "", "HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])},
        check=True,
    )
    assert done.stdout.splitlines() == [str(ASSETS), "[]"]
