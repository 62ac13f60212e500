"""People and companies for the sandbox, and runs of assets whose partition is today."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import dagster as dg
import polars as pl

from mixpanel_etl.client import GroupUpdate, Mixpanel, UserUpdate
from mixpanel_etl.sandbox import Sandbox


def people(number: int) -> dict[str, dict[str, Any]]:
    """Users with properties of many kinds."""
    return {
        f"user-{n:05}": {"plan": "pro" if n % 10 == 0 else "free", "orders": n, "$email": f"{n}@example.com"}
        for n in range(number)
    }


def keep_profiles(client: Mixpanel, profiles: Mapping[str, Mapping[str, Any]]) -> None:
    """Make these users known to the sandbox."""
    updates = [UserUpdate(name, "$set", dict(properties)) for name, properties in profiles.items()]
    for start in range(0, len(updates), 2000):
        client.ingestion.engage(updates[start : start + 2000])


def keep_groups(client: Mixpanel, key: str, groups: Mapping[str, Mapping[str, Any]]) -> None:
    """Make these groups known to the sandbox."""
    client.ingestion.groups([GroupUpdate(key, name, "$set", dict(properties)) for name, properties in groups.items()])


def as_mixpanel_has_them(mixpanel: Sandbox) -> dict[str, dict[str, Any]]:
    return {name: dict(profile.properties) for name, profile in mixpanel.profiles().items()}


def as_the_lake_has_them(rows: pl.DataFrame) -> dict[str, dict[str, Any]]:
    """By id; fails if one comes twice."""
    assert rows["distinct_id"].n_unique() == len(rows)
    properties: Iterable[str] = rows["properties"].ext.storage()
    return dict(zip(rows["distinct_id"], map(json.loads, properties), strict=True))


class Today:
    """Definitions, and runs of their assets for today."""

    def __init__(self, instance: dg.DagsterInstance, definitions: dg.Definitions) -> None:
        self.instance = instance
        self.definitions = definitions

    def key_of_today(self, key: str) -> str:
        node = self.definitions.resolve_asset_graph().get(dg.AssetKey.from_user_string(key))
        assert isinstance(node.partitions_def, dg.DailyPartitionsDefinition)
        return str(node.partitions_def.get_last_partition_key())

    def run(self, key: str, **config: Any) -> dg.ExecuteInProcessResult:
        """Materialize today's partition.

        Args:
            key: of the asset.
            config: of the run.
        """
        op = self.definitions.resolve_assets_def(dg.AssetKey.from_user_string(key)).op.name
        job = self.definitions.resolve_implicit_global_asset_job_def()
        return job.execute_in_process(
            instance=self.instance,
            asset_selection=[dg.AssetKey.from_user_string(key)],
            raise_on_error=False,
            partition_key=self.key_of_today(key),
            run_config={"ops": {op: {"config": config}}} if config else None,
        )

    def metadata(self, result: dg.ExecuteInProcessResult) -> dict[str, Any]:
        """Of the run's one materialization."""
        (event,) = result.get_asset_materialization_events()
        return {name: value.value for name, value in event.materialization.metadata.items()}


def failure_of(result: dg.ExecuteInProcessResult) -> str:
    """What the run's one failure says."""
    (event,) = result.filter_events(lambda event: event.is_step_failure)
    failure = event.step_failure_data.user_failure_data
    return str(failure.description if failure else event.step_failure_data.error)


def logged(result: dg.ExecuteInProcessResult, instance: dg.DagsterInstance) -> list[str]:
    """What the run told its reader."""
    return [entry.user_message for entry in instance.all_logs(result.run_id)]
