"""Runs warn when the instance does not limit the pool that keeps them apart."""

from pathlib import Path

import dagster as dg
import pytest

from mixpanel_etl.dagster import pools
from mixpanel_etl.dagster.resource import MixpanelResource
from mixpanel_etl.sandbox import Sandbox

RESOURCE = MixpanelResource()
LIMITED = {"concurrency": {"pools": {"default_limit": 1}}}


@dg.asset(pool=RESOURCE.pool("export"))
def names(context: dg.AssetExecutionContext) -> None:
    with RESOURCE.client(context.log), RESOURCE.client(context.log):
        pass


def warnings(instance: dg.DagsterInstance) -> list[str]:
    """What a run warns of."""
    done = dg.materialize([names], instance=instance)
    entries = instance.all_logs(done.run_id)
    return [entry.user_message for entry in entries if entry.level == 30]


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "_warned", set())


def test_a_pool_without_a_limit_is_warned_of_once(mixpanel: Sandbox, tmp_path: Path) -> None:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        (warning,) = warnings(instance)
        assert "pool mixpanel_export has no limit" in warning
        assert "concurrency.pools.default_limit: 1" in warning
        assert warnings(instance) == []


def test_a_default_limit_is_enough(mixpanel: Sandbox, tmp_path: Path) -> None:
    with dg.DagsterInstance.local_temp(str(tmp_path), overrides=LIMITED) as instance:
        assert warnings(instance) == []


def test_a_limit_of_the_pool_is_enough(mixpanel: Sandbox, tmp_path: Path) -> None:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        instance.event_log_storage.set_concurrency_slots("mixpanel_export", 1)
        assert warnings(instance) == []
