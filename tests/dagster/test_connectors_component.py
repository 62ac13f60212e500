"""From the imports of a project to YAML, and from YAML to assets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster.components.testing import create_defs_folder_sandbox
from typer.testing import CliRunner

from mixpanel_etl import MixpanelConnectors
from mixpanel_etl.cli import app
from mixpanel_etl.sandbox import Project, Sandbox


@pytest.fixture
def mixpanel_project() -> Project:
    return Project(
        warehouse_imports=[
            {"id": 7, "table_params": {"schema": "shop", "table": "Orders"}, "sync_mode": "mirror_mode"},
            {"id": 8, "table_params": {"table": "orders"}, "import_type": "people", "paused": True},
            {"id": 9, "event_name": "Sign up"},
        ]
    )


def built(yaml_document: dict[str, Any], **files: str) -> dg.Definitions:
    with create_defs_folder_sandbox() as project:
        path = project.scaffold_component(component_cls=MixpanelConnectors, defs_yaml_contents=yaml_document)
        for name, text in files.items():
            (path / f"{name}.sql").write_text(text)
        with project.load_component_and_build_defs(defs_path=path) as (_, definitions):
            return definitions


def test_the_printed_yaml_is_an_asset_for_each_import(mixpanel: Sandbox) -> None:
    printed = CliRunner().invoke(app, ["connectors"]).output
    definitions = built(yaml.safe_load(printed))
    graph = definitions.resolve_asset_graph()
    keys = {key.to_user_string() for key in graph.materializable_asset_keys}
    assert keys == {"mixpanel/orders", "mixpanel/orders_8", "mixpanel/sign_up"}
    assert "people, time_based, paused" in (graph.get(dg.AssetKey(["mixpanel", "orders_8"])).description or "")
    assert [schedule.name.endswith("_schedule") for schedule in definitions.schedules or []] == [True]


def test_every_attribute_arrives_and_loads_without_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    definitions = built(
        {
            "type": "mixpanel_etl.MixpanelConnectors",
            "attributes": {
                "mixpanel": {"env_prefix": "MIXPANEL_EU_"},
                "name": "syncs",
                "follow": "sensor",
                "timeout_hours": 2,
                "cron_schedule": "30 4 * * *",
                "imports": [
                    {
                        "id": 7,
                        "asset": {"key": "eu/orders", "deps": ["shop/orders"], "owners": ["team:data"]},
                        "sync_mode": "mirror_mode",
                        "source_count": "count.sql",
                    }
                ],
            },
        },
        count="SELECT count(*) FROM orders",
    )
    node = definitions.resolve_asset_graph().get(dg.AssetKey(["eu", "orders"]))
    assert node.parent_keys == {dg.AssetKey(["shop", "orders"])}
    assert (node.owners, node.pools) == (["team:data"], {"mixpanel_eu_connectors"})
    assert [sensor.name for sensor in definitions.sensors or []] == ["syncs_sensor"]
    assert definitions.resolve_schedule_def("syncs_schedule").cron_schedule == "30 4 * * *"
    assert {key.name for key in node.check_keys} == {"rows_match_source", "sync_succeeded"}


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ({"id": "seven"}, "seven"),
        ({"sync_mode": "mirror"}, "mirror"),
        ({"source_count": "nowhere.sql"}, "nowhere.sql: no such file"),
        ({"id": 8}, "id 8 occurs more than once"),
        ({"follow": "sensors"}, "follow is 'sensors'; allowed: run, sensor"),
        ({"timeout_hours": "-1"}, "timeout_hours"),
    ],
)
def test_a_mistake_in_the_yaml_is_named_when_definitions_load(item: dict[str, Any], said: str) -> None:
    own: dict[str, Any] = {name: item.pop(name) for name in ("follow", "timeout_hours") if name in item}
    first: dict[str, Any] = {"id": 7, "asset": {"key": "orders"}, **item}
    attributes = {"imports": [first, {"id": 8, "asset": {"key": "others"}}], **own}
    with pytest.raises(Exception) as raised:  # noqa: PT011 - Dagster wraps it, more than once
        built({"type": "mixpanel_etl.MixpanelConnectors", "attributes": attributes})
    told, error = "", raised.value
    while error:
        told += str(error)
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    assert said in told
