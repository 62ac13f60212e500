"""`MixpanelGdpr`: from YAML to sensors and assets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster.components.testing import create_defs_folder_sandbox

from mixpanel_etl import MixpanelGdpr

ATTRIBUTES: dict[str, Any] = {
    "query": "requests.sql",
    "folder": "inbox",
    "key_prefix": "eu/privacy",
    "group_name": "privacy",
    "mixpanel": {"env_prefix": "MIXPANEL_EU_"},
    "lake": "elsewhere",
    "deliver_to": "outbox",
    "keep_days": 7,
    "lookup_property": "email",
    "profiles_table": "people",
    "protected": ["kiosk"],
    "hold_hours": 48,
    "erase": "at_once",
    "pack_retrievals": False,
    "late_days": 20,
    "intake_minutes": 15,
    "cron_schedule": "30 4 * * *",
}


def built(**attributes: Any) -> tuple[MixpanelGdpr, dg.Definitions, Path]:
    with create_defs_folder_sandbox() as project:
        yaml = {"type": "mixpanel_etl.MixpanelGdpr", "attributes": attributes}
        path = project.scaffold_component(component_cls=MixpanelGdpr, defs_yaml_contents=yaml)
        (path / "requests.sql").write_text("SELECT 1")
        with project.load_component_and_build_defs(defs_path=path) as (component, definitions):
            assert isinstance(component, MixpanelGdpr)
            return component, definitions, path


def test_every_attribute_arrives_and_loads_without_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    _, definitions, _ = built(**ATTRIBUTES)
    graph = definitions.resolve_asset_graph()
    keys = {key.to_user_string() for key in graph.materializable_asset_keys}
    steps = ("requests", "jobs", "outcomes", "erasures", "deliveries", "certificates", "overview")
    assert keys == {f"eu/privacy/{step}" for step in steps}
    node = graph.get(dg.AssetKey(["eu", "privacy", "certificates"]))
    assert (node.group_name, node.pools) == ("privacy", {"mixpanel_eu_gdpr"})
    assert {key.path[-1] for key in node.parent_keys} == {"erasures", "deliveries"}
    sensor = definitions.resolve_sensor_def("eu__privacy_intake_sensor")
    assert sensor.minimum_interval_seconds == 15 * 60
    assert definitions.resolve_schedule_def("eu__privacy_schedule").cron_schedule == "30 4 * * *"


def test_an_alert_goes_where_a_subclass_sends_it() -> None:
    told: list[str] = []

    class Paging(MixpanelGdpr):
        def alert(self, text: str) -> None:
            told.append(text)

    Paging(folder="inbox").alert("job 1 has failed")
    assert told == ["job 1 has failed"]


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ({}, "set `query`, `folder` or both"),
        ({"query": "nowhere.sql"}, "nowhere.sql"),
        ({"folder": "inbox", "hold_hours": -1}, "hold_hours"),
        ({"folder": "inbox", "erase": "later"}, "later"),
        ({"folder": "inbox", "hold": 3}, "hold"),
        ({"folder": "inbox", "protected": "kiosk"}, "protected"),
        ({"folder": "lake/inbox", "lake": "lake"}, "inside the lake"),
        ({"folder": "inbox", "deliver_to": "lake/x", "lake": "lake"}, "inside the lake"),
    ],
)
def test_a_mistake_in_the_yaml_is_named_when_definitions_load(attributes: dict[str, Any], said: str) -> None:
    with pytest.raises(Exception) as raised:  # noqa: PT011 - Dagster wraps it, more than once
        built(**attributes)
    told = ""
    error: BaseException | None = raised.value
    while error:
        told += str(error)
        error = error.__cause__ or error.__context__
    assert said in told
