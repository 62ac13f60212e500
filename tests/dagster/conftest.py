"""An export as a Dagster project has it, and runs of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

from mixpanel_etl.dagster.export.assets import Export
from mixpanel_etl.dagster.export.schedules import export_definitions
from mixpanel_etl.sandbox import Sandbox

KEY = dg.AssetKey(["mixpanel", "events"])
Run = Callable[..., dg.ExecuteInProcessResult]


@pytest.fixture
def export(mixpanel: Sandbox) -> Export:
    """Override it for another one."""
    return Export(dg.AssetSpec(KEY))


@pytest.fixture
def definitions(export: Export) -> dg.Definitions:
    return export_definitions(export)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def run(definitions: dg.Definitions, instance: dg.DagsterInstance) -> Run:
    """Materialize days as the run queue does: as a range, or (with one day) as a partition."""

    def run_days(first: str, last: str | None = None, **config: Any) -> dg.ExecuteInProcessResult:
        job = definitions.resolve_job_def("mixpanel__events_refresh")
        days = {ASSET_PARTITION_RANGE_START_TAG: first, ASSET_PARTITION_RANGE_END_TAG: last or first}
        return job.execute_in_process(
            instance=instance,
            run_config={"ops": {"mixpanel__events": {"config": config}}} if config else None,
            raise_on_error=False,
            **({"tags": days} if last else {"partition_key": first}),
        )

    return run_days
