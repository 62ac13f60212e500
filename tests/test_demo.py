"""The instances that the package brings: they take their snapshots of the demonstration's shop."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from mixpanel_etl.client import Mixpanel
from mixpanel_etl.demo.definitions import defs as shop
from mixpanel_etl.demo.furnish import furnish, shop_project
from mixpanel_etl.sandbox import Project, Sandbox

pytestmark = pytest.mark.slow

LAST = datetime.now(UTC).date() - timedelta(days=1)
JOBS = [
    *("mixpanel__profiles", "mixpanel__cohorts", "mixpanel__catalogue"),
    *("mixpanel__companies", "mixpanel__buyers_in_germany", "mixpanel__workspace"),
]


@pytest.fixture
def mixpanel_project() -> Project:
    return shop_project()


def test_every_snapshot_of_the_demonstration_can_be_taken_and_holds_something(
    mixpanel: Sandbox, client: Mixpanel
) -> None:
    mixpanel.generate(4_000, LAST - timedelta(days=6), LAST)
    furnish(mixpanel, client, LAST)
    rows: dict[str, int] = {}
    with dg.DagsterInstance.ephemeral() as instance:
        definitions = shop()
        for name in JOBS:
            job = definitions.resolve_job_def(f"{name}_job")
            result = job.execute_in_process(instance=instance, partition_key=f"{datetime.now(UTC):%Y-%m-%d}")
            for event in result.get_asset_materialization_events():
                count = event.materialization.metadata["dagster/partition_row_count"].value
                rows[event.materialization.asset_key.path[-1]] = int(str(count))
    assert rows["profiles"] == len(mixpanel.profiles())
    assert rows["companies"] == len(mixpanel.group_profiles("company_id"))
    # The dictionary is applied from files, and no import has run.
    assert {name for name, count in rows.items() if not count} == {
        "lexicon_schemas",
        "lexicon_properties",
        "warehouse_import_runs",
    }
    assert len(rows) == 3 + 15 + 1
