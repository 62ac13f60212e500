"""Reports as assets: what a run costs, what it publishes, what it records."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from logging import Logger
from typing import Any

import dagster as dg
import polars as pl
import pytest
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

from mixpanel_etl import MixpanelReports
from mixpanel_etl.client import Clock, Mixpanel
from mixpanel_etl.dagster.backfill import Backfill, BackfillError
from mixpanel_etl.dagster.reports.yaml_entries import NamedReport
from mixpanel_etl.dagster.resource import MixpanelResource
from mixpanel_etl.lake import Table
from mixpanel_etl.pull.reports import KINDS, RangeReport, report_of
from mixpanel_etl.sandbox import Fault, Funnel, Insight, Project, Sandbox

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
    "segmentation_numeric": {"event": "checkout", "on": 'properties["amount"]', "width": 20},
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
#: Kinds with a picture.
PICTURES = {
    *("events", "event_properties", "segmentation", "segmentation_numeric", "segmentation_sum"),
    *("segmentation_average", "funnel", "retention", "addiction", "insights"),
}


class Hasty(MixpanelResource):
    """A project whose hours pass in a timestamp."""

    def client(self, log: Logger | None = None, *, deadline: float = 3_600.0) -> Mixpanel:
        passed = [0.0]

        def sleep(seconds: float) -> None:
            passed[0] += seconds

        clock = Clock(sleep=sleep, monotonic=lambda: passed[0])
        return Mixpanel(self.settings(), clock=clock, deadline=deadline)


class Desk:
    """Reports of a project, and runs of them."""

    def __init__(self, instance: dg.DagsterInstance, **reports: dict[str, Any]) -> None:
        self.instance = instance
        named = [
            NamedReport(name, report_of(given.pop("kind", name), given))
            for name, given in ((name, dict(given)) for name, given in reports.items())
        ]
        self.reports = MixpanelReports(reports=named, mixpanel=Hasty())
        self.definitions = self.reports.definitions()

    def run(
        self, *names: str, first: date | str, last: date | str | None = None, **config: Any
    ) -> dg.ExecuteInProcessResult:
        """As the run queue does: over a range, or (without `last`) a partition; `config` is of each asset."""
        job = self.definitions.resolve_implicit_global_asset_job_def()
        tags = {ASSET_PARTITION_RANGE_START_TAG: str(first), ASSET_PARTITION_RANGE_END_TAG: str(last)}
        return job.execute_in_process(
            instance=self.instance,
            asset_selection=[self.key(name) for name in names],
            raise_on_error=False,
            run_config={
                "loggers": {"console": {"config": {"log_level": "ERROR"}}},
                "ops": {f"mixpanel__reports__{name}": {"config": config} for name in names} if config else {},
            },
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
    mixpanel.generate(4_500, FIRST, LAST)
    mixpanel.generate(300, TODAY, TODAY, seed=9)
    mixpanel.save_report(Funnel(7509, "Purchases", ["page view", "add to cart", "checkout"]))
    mixpanel.save_report(Insight(42, "Sales", ["checkout"], on='properties["currency"]'))
    return mixpanel


def test_there_is_a_report_of_every_kind() -> None:
    assert EVERY.keys() == KINDS.keys()


@pytest.mark.parametrize("kind", RANGES)
def test_a_backfill_of_90_days_costs_one_query_and_a_day_alone_has_the_same_rows(
    shop: Sandbox, desk: Callable[..., Desk], kind: str
) -> None:
    reports = desk(**{kind: EVERY[kind]})
    result = reports.run(kind, first=FIRST, last=LAST)
    assert result.success
    assert len(shop.requests) == 1
    assert reports.recorded(kind) == {str(FIRST + timedelta(days=n)) for n in range(90)}
    assert reports.kept(kind, f"{FIRST}..{LAST}") is not None
    rows = reports.rows(kind)
    assert rows["computed_at"].null_count() == 0
    found = metadata(result, kind)
    assert len(found) == 90
    assert sum(one["dagster/partition_row_count"] for one in found.values()) == len(rows)
    assert {(one["mixpanel_etl/queries_spent"], one["mixpanel_etl/queries_left"]) for one in found.values()} == {
        (1, 59)
    }
    assert all("mixpanel_etl/preview" in one for one in found.values())
    # One picture of all of them is enough.
    pictures = [day for day, one in found.items() if "mixpanel_etl/picture" in one]
    assert pictures == ([str(LAST)] if kind in PICTURES else [])
    for day in pictures:
        assert_small_picture(found[day]["mixpanel_etl/picture"])

    middle = str(FIRST + timedelta(days=40))
    among = rows.filter(pl.col("date") == middle).drop("computed_at")
    assert reports.run(kind, first=middle).success
    assert len(shop.requests) == 2
    alone = reports.rows(kind).filter(pl.col("date") == middle).drop("computed_at")
    assert alone.sort(alone.columns).equals(among.sort(among.columns))


def checks(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    return {each.check_name: each.passed for each in result.get_asset_check_evaluations()}


def test_a_run_says_what_a_limit_leaves_out_and_which_names_mixpanel_does_not_know(
    shop: Sandbox, desk: Callable[..., Desk]
) -> None:
    reports = desk(
        segmentation={"event": "page view", "on": 'properties["page"]', "limit": 1},
        events={"events": ["page view", "sing up"]},
    )
    result = reports.run("segmentation", first=FIRST, last=FIRST + timedelta(days=2))
    assert result.success
    assert checks(result) == {"not_truncated": False, "names_known": True}
    days = {str(FIRST + timedelta(days=n)) for n in range(3)}
    by_day = [each for each in result.get_asset_check_evaluations() if each.partition]
    assert {each.partition for each in by_day if each.check_name == "not_truncated" and not each.passed} == days
    assert {each.partition for each in by_day if each.check_name == "names_known" and each.passed} == days
    assert any("segments_left_out" in name for one in metadata(result, "segmentation").values() for name in one)
    result = reports.run("events", first=FIRST, last=FIRST + timedelta(days=2))
    assert checks(result) == {"not_truncated": True, "names_known": False}
    assert any("event 'sing up'" in (each.description or "") for each in result.get_asset_check_evaluations())


def test_partitions_that_shrink_fail_the_run_and_are_replaced_when_the_launchpad_allows_it(
    shop: Sandbox, desk: Callable[..., Desk]
) -> None:
    reports = desk(segmentation={"event": "checkout"})
    assert reports.run("segmentation", first=FIRST).success
    before = reports.rows("segmentation")
    shop.reset([Project(enforce_budgets=False)])
    held = reports.run("segmentation", first=FIRST, last=FIRST + timedelta(days=1))
    assert not held.success
    assert f"1 partition(s) would shrink by more than half and were left as they are: {FIRST}" in failure(
        held, "segmentation"
    )
    assert reports.recorded("segmentation") == {str(FIRST), str(FIRST + timedelta(days=1))}
    assert reports.rows("segmentation").filter(pl.col("date") == str(FIRST)).equals(before)
    assert reports.run("segmentation", first=FIRST, allow_shrink=True).success
    assert reports.rows("segmentation")["value"].sum() == 0


def metadata(result: dg.ExecuteInProcessResult, kind: str) -> dict[str | None, dict[str, Any]]:
    """The metadata of each materialized partition."""
    events = result.asset_materializations_for_node(f"mixpanel__reports__{kind}")
    assert len({event.partition for event in events}) == len(events)
    return {event.partition: {name: value.value for name, value in event.metadata.items()} for event in events}


def assert_small_picture(markdown: str) -> None:
    match = re.fullmatch(r"!\[\w+\]\(data:image/png;base64,([^)]+)\)", markdown)
    assert match
    assert base64.b64decode(match[1]).startswith(b"\x89PNG")
    assert len(markdown) < 60_000


@pytest.mark.parametrize("kind", SNAPSHOTS)
def test_a_snapshot_of_today_costs_one_query(shop: Sandbox, desk: Callable[..., Desk], kind: str) -> None:
    reports = desk(**{kind: EVERY[kind]})
    result = reports.run(kind, first=TODAY)
    assert result.success
    assert len(shop.requests) == 1
    ((day, found),) = metadata(result, kind).items()
    assert day == str(TODAY)
    assert found["dagster/partition_row_count"] == len(reports.rows(kind)) > 0
    assert found["mixpanel_etl/queries_spent"] == 1
    assert ("mixpanel_etl/picture" in found) == (kind in PICTURES)


def test_a_backfill_of_snapshots_says_that_the_past_is_over(shop: Sandbox, desk: Callable[..., Desk]) -> None:
    reports = desk(top_events={})
    result = reports.run("top_events", first=TODAY - timedelta(days=89), last=TODAY)
    assert not result.success
    assert not shop.requests
    assert str(TODAY) in failure(result, "top_events")


def failure(result: dg.ExecuteInProcessResult, name: str) -> str:
    (event,) = [event for event in result.get_step_failure_events() if event.step_key == f"mixpanel__reports__{name}"]
    data = event.step_failure_data.user_failure_data
    assert data is not None
    return data.description or ""


def test_one_report_that_fails_leaves_the_others_alone(shop: Sandbox, desk: Callable[..., Desk]) -> None:
    reports = desk(insights={"bookmark_id": 471}, top_events={}, event_names={})
    result = reports.run("insights", "top_events", "event_names", first=TODAY)
    assert not result.success
    assert "bookmark_id 471" in failure(result, "insights")
    assert "[42]" in failure(result, "insights")  # which there are
    assert (reports.recorded("insights"), reports.recorded("top_events")) == (set(), {str(TODAY)})
    assert reports.recorded("event_names") == {str(TODAY)}


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault("/segmentation", "payment_required"), "PlanError"),
        (Fault("/segmentation", "error_in_200"), "error"),
        (Fault("/segmentation", "truncated", after=100), "not JSON"),
        (Fault("/segmentation", "rate_limited", count=None, retry_after="seconds", seconds=600), "RateLimited"),
        (Fault("/segmentation", "server_error", status=504, count=None), "504"),
        (Fault("/segmentation", "reset", count=None), "ConnectionFailed"),
    ],
    ids=["not in the plan", "an error that says 200", "cut off", "429 for an hour", "time-out", "no connection"],
)
def test_a_query_that_fails_keeps_what_was_there_and_leaves_other_reports_alone(
    shop: Sandbox, desk: Callable[..., Desk], fault: Fault, said: str
) -> None:
    reports = desk(segmentation={"event": "checkout"}, events={"events": ["page view"]})
    last = FIRST + timedelta(days=2)
    assert reports.run("segmentation", first=FIRST, last=last).success
    before = reports.rows("segmentation")
    shop.add_fault(fault)
    result = reports.run("segmentation", "events", first=FIRST, last=last)
    assert not result.success
    assert said in failure(result, "segmentation")
    assert not metadata(result, "segmentation")
    assert reports.rows("segmentation").equals(before)
    assert len(reports.recorded("events")) == 3


def test_a_lake_that_fails_in_the_middle_keeps_and_records_the_days_before(
    shop: Sandbox, desk: Callable[..., Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    reports = desk(events={"events": ["page view"]})
    write = Table.write

    def full(self: Table, key: str, *given: Any) -> Any:
        if key == str(FIRST + timedelta(days=2)):
            raise OSError("no space left on device")
        return write(self, key, *given)

    monkeypatch.setattr(Table, "write", full)
    assert not reports.run("events", first=FIRST, last=FIRST + timedelta(days=4)).success
    assert reports.recorded("events") == {str(FIRST), str(FIRST + timedelta(days=1))}
    assert set(reports.rows("events")["date"]) == {str(FIRST), str(FIRST + timedelta(days=1))}


def test_the_schedule_asks_again_for_what_can_still_change_and_reports_alike_share_a_run(
    shop: Sandbox, desk: Callable[..., Desk]
) -> None:
    reports = desk(
        funnel={"funnel_id": 7509, "length": 7},
        segmentation={"event": "checkout"},
        events={"events": ["page view"]},
        retention={"born_event": "sign up", "interval_count": 3, "lookback_partitions": 2},
        buyers={"kind": "segmentation", "event": "checkout", "unit": "month"},
    )
    schedule = reports.definitions.resolve_schedule_def("mixpanel_reports_daily_schedule")
    context = dg.build_schedule_context(
        instance=reports.instance, scheduled_execution_time=datetime(2026, 3, 20, 4, tzinfo=UTC)
    )
    requests = schedule.evaluate_tick(context).run_requests or []
    asked = {
        tuple(sorted(key.path[-1] for key in request.asset_selection or [])): (
            request.tags[ASSET_PARTITION_RANGE_START_TAG],
            request.tags[ASSET_PARTITION_RANGE_END_TAG],
        )
        for request in requests
    }
    assert asked == {
        ("funnel",): ("2026-03-12", "2026-03-19"),  # its length, and the day in which it began
        ("events", "segmentation"): ("2026-03-15", "2026-03-19"),
        ("retention",): ("2026-03-18", "2026-03-19"),
    }
    monthly = reports.definitions.resolve_schedule_def("mixpanel_reports_monthly_schedule")
    (request,) = monthly.evaluate_tick(context).run_requests or []
    assert request.tags[ASSET_PARTITION_RANGE_END_TAG] == "2026-02-01"


def test_snapshots_are_scheduled_for_today_and_skipped_for_days_that_are_over(
    shop: Sandbox, desk: Callable[..., Desk]
) -> None:
    reports = desk(top_events={}, event_names={})
    schedule = reports.definitions.resolve_schedule_def("mixpanel_reports_snapshots_schedule")
    now = datetime.now(UTC)
    for timestamp, asked in ((now, [str(TODAY)]), (now - timedelta(days=2), [])):
        context = dg.build_schedule_context(
            instance=reports.instance,
            scheduled_execution_time=timestamp,
            repository_def=reports.definitions.get_repository_def(),
        )
        requests = schedule.evaluate_tick(context).run_requests or []
        assert [request.partition_key for request in requests] == asked


def test_the_command_line_backfills_weeks_and_months_by_their_first_day(
    shop: Sandbox, desk: Callable[..., Desk]
) -> None:
    reports = desk(buyers={"kind": "segmentation", "event": "checkout", "unit": "week"})
    plan = Backfill(reports.definitions, "mixpanel/reports/buyers", reports.instance)
    weeks = plan.days("2026-01-06", "2026-01-31")
    assert weeks == ["2026-01-12", "2026-01-19", "2026-01-26"]
    assert plan.ranges(weeks) == [weeks]
    assert plan.last_day(weeks[-1]) == date(2026, 2, 1)
    assert plan.run(weeks).success
    assert len(shop.requests) == 1
    with pytest.raises(BackfillError, match="no partition begins there"):
        plan.days("2026-01-06", "2026-01-08")
