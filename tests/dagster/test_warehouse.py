"""The warehouse as a resource."""

from __future__ import annotations

from pathlib import Path

import pytest

from mixpanel_etl import MixpanelPush
from mixpanel_etl.dagster.resource import MixpanelResource
from mixpanel_etl.dagster.warehouse import WarehouseResource
from mixpanel_etl.sandbox import Sandbox

from .test_component_base import built


def test_the_url_comes_from_the_variable_of_the_prefix(
    mixpanel: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MIXPANEL_EU_WAREHOUSE_URL", "postgresql://etl:geheim@db/shop")
    resource = WarehouseResource(env_prefix="MIXPANEL_EU_")
    assert resource.warehouse().dialect == "postgres"
    assert "geheim" not in repr(resource) + repr(resource.warehouse())


def test_a_component_registers_its_project_and_its_warehouse(mixpanel: Sandbox) -> None:
    definitions = MixpanelPush(pushes=[], mixpanel=MixpanelResource(env_prefix="MIXPANEL_EU_")).definitions()
    assert set(definitions.resources or {}) == {"mixpanel_eu", "mixpanel_eu_warehouse"}


def test_a_warehouse_of_other_variables_than_the_projects(mixpanel: Sandbox) -> None:
    definitions = built(
        MixpanelPush,
        {
            "type": "mixpanel_etl.MixpanelPush",
            "attributes": {"pushes": [], "warehouse": {"env_prefix": "MIXPANEL_SHOP_"}},
        },
    )
    assert set(definitions.resources or {}) == {"mixpanel", "mixpanel_shop_warehouse"}


def test_without_a_url_queries_read_parquet_files(mixpanel: Sandbox) -> None:
    assert WarehouseResource().warehouse().count("SELECT 42") == 1
