"""Reports as assets: what a run costs, what it publishes, what it records."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg
import polars as pl
import pytest
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

from mixpanel_etl.orchestration import NamedReport, Reports, report_definitions
from mixpanel_etl.pull.reports import KINDS, RangeReport, report_of
from mixpanel_etl.sandbox import Funnel, Insight, Sandbox

from ..conftest import FIRST

LAST = FIRST + timedelta(days=89)
TODAY = datetime.now(UTC).date()
ORDERS = """
function main() {
  return Events({from_date: params.from_date, to_date: params.to_date, event_selectors: [{event: "checkout"}]})
    .groupBy([e => new Date(e.time).toISOString().slice(0, 10), "properties.currency"],
             [mixpanel.reducer.count(), mixpanel.reducer.sum("properties.amount")]);
}"""
PEOPLE = "function main() { return People().reduce(mixpanel.reducer.count()); }"
#: One report of each kind, for the shop.
EVERY: dict[str, dict[str, Any]] = {
    "segmentation": {"event": "checkout", "on": 'properties["mp_country_code"]'},
    "segmentation_numeric": {"event": "checkout", "on": 'properties["amount"]', "buckets": 5},
    "segmentation_sum": {"event": "checkout", "on": 'properties["amount"]'},
    "segmentation_average": {"event": "watch video", "on": 'properties["watchTimeSec"]'},
    "funnel": {"funnel_id": 7509, "length": 7},
    "retention": {"born_event": "sign up", "interval_count": 5},
    "addiction": {"unit": "day", "addiction_unit": "hour"},
    "events": {"events": ["page view", "sign up"], "type": "unique"},
    "event_properties": {"event": "page view", "property": "page"},
    "top_events": {},
    "event_names": {},
    "top_properties": {"event": "checkout"},
    "property_values": {"event": "page view", "property": "$city"},
    "insights": {"bookmark_id": 42},
    "activity_stream": {"distinct_ids": ["u1"]},
    "jql": {"script": PEOPLE, "result": {"people": "integer"}},
    "jql_by_date": {
        "script": ORDERS,
        "date": "day",
        "result": {"day": "string", "currency": "string", "orders": "integer", "revenue": "number"},
    },
}
RANGES = [kind for kind in KINDS if issubclass(KINDS[kind], RangeReport)]
SNAPSHOTS = [kind for kind in KINDS if kind not in RANGES]


class Desk:
    """Reports of a project, and runs of them."""

    def __init__(self, instance: dg.DagsterInstance, **reports: dict[str, Any]) -> None:
        self.instance = instance
        named = [
            NamedReport(name, report_of(given.pop("kind", name), given))
            for name, given in ((name, dict(given)) for name, given in reports.items())
        ]
        self.reports = Reports(named)
        self.definitions = report_definitions(self.reports)

    def run(self, *names: str, first: date | str, last: date | str | None = None) -> dg.ExecuteInProcessResult:
        """As the run queue does: over a range, or (without `last`) a partition."""
        job = self.definitions.resolve_implicit_global_asset_job_def()
        tags = {ASSET_PARTITION_RANGE_START_TAG: str(first), ASSET_PARTITION_RANGE_END_TAG: str(last)}
        return job.execute_in_process(
            instance=self.instance,
            asset_selection=[self.key(name) for name in names],
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "ERROR"}}}},
            **({"tags": tags} if last else {"partition_key": str(first)}),
        )

    def key(self, name: str) -> dg.AssetKey:
        return dg.AssetKey(["mixpanel", "reports", name])

    def rows(self, name: str) -> pl.DataFrame:
        (named,) = [named for named in self.reports.reports if named.name == name]
        return self.reports.table(named).scan().collect()

    def kept(self, name: str, reply: str) -> Any:
        (named,) = [named for named in self.reports.reports if named.name == name]
        return json.loads(self.reports.table(named).reply(reply) or b"null")

    def recorded(self, name: str) -> set[str]:
        return self.instance.get_materialized_partitions(self.key(name))


@pytest.fixture
def desk(mixpanel: Sandbox, instance: dg.DagsterInstance) -> Callable[..., Desk]:
    return lambda **reports: Desk(instance, **reports)


@pytest.fixture
def shop(mixpanel: Sandbox) -> Sandbox:
    """90 days of the shop, some of today, and what its people saved."""
    mixpanel.generate(9_000, FIRST, LAST)
    mixpanel.generate(300, TODAY, TODAY, seed=9)
    mixpanel.save(Funnel(7509, "Purchases", ["page view", "add to cart", "checkout"]))
    mixpanel.save(Insight(42, "Sales", ["checkout"], on='properties["currency"]'))
    return mixpanel


def test_there_is_a_report_of_every_kind() -> None:
    assert EVERY.keys() == KINDS.keys()


@pytest.mark.parametrize("kind", RANGES)
def test_a_backfill_of_90_days_costs_one_query_and_records_each_day(
    shop: Sandbox, desk: Callable[..., Desk], kind: str
) -> None:
    reports = desk(**{kind: EVERY[kind]})
    result = reports.run(kind, first=FIRST, last=LAST)
    assert result.success
    assert len(shop.requests) == 1
    days = {str(FIRST + timedelta(days=n)) for n in range(90)}
    assert reports.recorded(kind) == days
    events = result.asset_materializations_for_node(f"mixpanel__reports__{kind}")
    rows = reports.rows(kind)
    counted = {event.partition: event.metadata["dagster/partition_row_count"].value for event in events}
    assert len(events) == len(counted) == 90
    assert sum(counted.values()) == len(rows)  # type: ignore[arg-type]
    for event in events:
        metadata = {name: value.value for name, value in event.metadata.items()}
        assert metadata["mixpanel_etl/queries_spent"] == 1
        assert metadata["mixpanel_etl/queries_left"] == 59
        assert "mixpanel_etl/preview" in metadata
    assert rows["computed_at"].null_count() == 0
    assert reports.kept(kind, f"{FIRST}..{LAST}") is not None


@pytest.mark.parametrize("kind", RANGES)
def test_a_day_alone_has_the_rows_that_it_has_in_a_backfill(
    shop: Sandbox, desk: Callable[..., Desk], kind: str
) -> None:
    """A day of addiction, funnel or retention does not depend on what else is asked for."""
    parameters = {name: value for name, value in EVERY[kind].items() if name != "buckets"}
    reports = desk(**{kind: parameters})
    day = str(FIRST + timedelta(days=40))
    assert reports.run(kind, first=day, last=day).success
    alone = reports.rows(kind).filter(pl.col("date") == day).drop("computed_at")
    assert reports.run(kind, first=FIRST, last=LAST).success
    among = reports.rows(kind).filter(pl.col("date") == day).drop("computed_at")
    assert len(shop.requests) == 2
    if kind == "segmentation_numeric":  # its ranges are cut to the numbers of all days asked for
        assert alone["value"].sum() == among["value"].sum()
    elif kind == "retention":  # who signed up before the first day asked for is new again, as Mixpanel counts it here
        assert alone["first"][0] >= among["first"][0]
    else:
        assert alone.sort(alone.columns).equals(among.sort(among.columns))


@pytest.mark.parametrize("kind", SNAPSHOTS)
def test_a_snapshot_of_today_costs_one_query(shop: Sandbox, desk: Callable[..., Desk], kind: str) -> None:
    reports = desk(**{kind: EVERY[kind]})
    result = reports.run(kind, first=TODAY)
    assert result.success
    assert len(shop.requests) == 1
    (event,) = result.asset_materializations_for_node(f"mixpanel__reports__{kind}")
    assert event.partition == str(TODAY)
    rows = reports.rows(kind)
    assert event.metadata["dagster/partition_row_count"].value == len(rows) > 0
    assert event.metadata["mixpanel_etl/queries_spent"].value == 1


@pytest.mark.parametrize("kind", SNAPSHOTS)
def test_a_backfill_of_snapshots_takes_today_and_says_that_the_past_is_over(
    shop: Sandbox, desk: Callable[..., Desk], kind: str
) -> None:
    reports = desk(**{kind: EVERY[kind]})
    result = reports.run(kind, first=TODAY - timedelta(days=89), last=TODAY)
    assert not result.success
    assert len(shop.requests) == 1
    assert reports.recorded(kind) == {str(TODAY)}
    assert "89 days" in failure(result, kind)
    assert str(TODAY) in failure(result, kind)


def failure(result: dg.ExecuteInProcessResult, name: str) -> str:
    (event,) = [event for event in result.get_step_failure_events() if event.step_key == f"mixpanel__reports__{name}"]
    data = event.step_failure_data.user_failure_data
    assert data is not None
    return data.description or ""
