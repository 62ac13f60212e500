"""An export as a Dagster project has it, and runs of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

from mixpanel_etl import MixpanelExport
from mixpanel_etl.sandbox import Sandbox

KEY = dg.AssetKey(["mixpanel", "events"])
Run = Callable[..., dg.ExecuteInProcessResult]


@pytest.fixture
def export(mixpanel: Sandbox) -> MixpanelExport:
    """Override it for another one."""
    return MixpanelExport(asset=dg.AssetSpec(KEY))


@pytest.fixture
def definitions(export: MixpanelExport) -> dg.Definitions:
    return export.definitions()


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def run(definitions: dg.Definitions, instance: dg.DagsterInstance) -> Run:
    """Materialize days as the run queue does: as a range, or (with one day) as a partition."""

    def run_days(first: str, last: str | None = None, **config: Any) -> dg.ExecuteInProcessResult:
        job = definitions.resolve_job_def("mixpanel__events_job")
        days = {ASSET_PARTITION_RANGE_START_TAG: first, ASSET_PARTITION_RANGE_END_TAG: last or first}
        return job.execute_in_process(
            instance=instance,
            run_config={"ops": {"mixpanel__events": {"config": config}}} if config else None,
            raise_on_error=False,
            **({"tags": days} if last else {"partition_key": first}),
        )

    return run_days
