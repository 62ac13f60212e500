"""Reports as tables: what figures come out of few events that can be counted by hand, and where they are put."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixpanel_etl.client import BadRequest, Mixpanel, ReplyError
from mixpanel_etl.pull.reports import (
    InvalidReport,
    RangeReport,
    Snapshot,
    pull_range,
    pull_snapshot,
    report_of,
    report_table,
)
from mixpanel_etl.pull.reports.calendar import end_of, moment_of, start_of
from mixpanel_etl.pull.reports.pull import split
from mixpanel_etl.pull.reports.report import Fact
from mixpanel_etl.sandbox import Fault, Funnel, Insight, Project, Sandbox

NEW_YORK = ZoneInfo("America/New_York")
MONDAY = date(2026, 3, 2)
DAYS = [str(MONDAY + timedelta(days=n)) for n in range(3)]
#: Day (of March, in New York), hour, event, user, properties. The clocks go forward on the 8th.
HAPPENED: list[tuple[int, int, str, str, dict[str, Any]]] = [
    (2, 9, "sign up", "ada", {"plan": "free"}),
    (2, 10, "view", "ada", {"price": 5, "page": "/a"}),
    (2, 23, "view", "bob", {"price": 2.5, "page": "/b"}),  # the 3rd in UTC
    (2, 23, "sign up", "bob", {"plan": "paid"}),
    (3, 8, "view", "ada", {"price": 10, "page": "/a"}),
    (3, 9, "buy", "ada", {"price": 7}),
    (4, 12, "view", "bob", {"price": "no number", "page": "/b"}),
]


@pytest.fixture
def mixpanel_project() -> Project:
    return Project(timezone="America/New_York", enforce_budgets=False)


@pytest.fixture
def shop(mixpanel: Sandbox) -> Sandbox:
    mixpanel.load(_lines())
    mixpanel.save(Funnel(7, "Purchases", ["sign up", "view", "buy"], length=2))
    mixpanel.save(Insight(42, "Views", ["view"], on='properties["page"]', last_days=3))
    return mixpanel


def _lines() -> Iterator[bytes]:
    for number, (day, hour, event, user, properties) in enumerate(HAPPENED):
        moment = datetime(2026, 3, day, hour, tzinfo=NEW_YORK).timestamp()
        own = {"time": int(moment), "distinct_id": user, "$insert_id": f"row-{number}", **properties}
        yield json.dumps({"event": event, "properties": own}).encode() + b"\n"


def rows(client: Mixpanel, lake: Path, kind: str, days: list[str] = DAYS, **parameters: Any) -> list[tuple[Any, ...]]:
    """What the lake has of a report after a pull: the partition and the columns, but when it was computed."""
    report = report_of(kind, parameters)
    table = report_table(str(lake), f"reports/{kind}", report)
    if isinstance(report, RangeReport):
        list(pull_range(client, report, table, days))
    else:
        pull_snapshot(client, report, table, str(client.transport.today()))
    columns = ["date", *(name for name in report.schema.names if name != "computed_at")]
    return sorted(table.scan().select(pl.col("date").cast(pl.String), *columns[1:]).collect().rows(), key=repr)


def midnight(day: int) -> datetime:
    return datetime(2026, 3, day, 5, tzinfo=UTC)  # in New York


def test_segmentation_counts_by_day_of_project_time_and_by_segment(
    shop: Sandbox, client: Mixpanel, tmp_path: Path
) -> None:
    found = rows(client, tmp_path, "segmentation", event="view", on='properties["page"]')
    assert [row for row in found if row[-1]] == [
        ("2026-03-02", midnight(2), "view", "/a", "general", 1),
        ("2026-03-02", midnight(2), "view", "/b", "general", 1),
        ("2026-03-03", midnight(3), "view", "/a", "general", 1),
        ("2026-03-04", midnight(4), "view", "/b", "general", 1),
    ]
    together = rows(
        client, tmp_path / "2", "segmentation", event="view", type="unique", unit="week", days=["2026-03-02"]
    )
    assert together == [("2026-03-02", midnight(2), "view", None, "unique", 2)]


def test_sums_and_averages_take_what_is_no_number_for_0(shop: Sandbox, client: Mixpanel, tmp_path: Path) -> None:
    price = 'properties["price"]'
    assert [row[-1] for row in rows(client, tmp_path, "segmentation_sum", event="view", on=price)] == [7.5, 10, 0]
    averages = rows(client, tmp_path, "segmentation_average", event="view", on=price)
    assert [row[-1] for row in averages] == [3.75, 10, 0]


def test_ranges_of_a_number_have_their_bounds_as_numbers(shop: Sandbox, client: Mixpanel, tmp_path: Path) -> None:
    found = rows(client, tmp_path, "segmentation_numeric", event="view", on='properties["price"]', buckets=2)
    counted = [(day, low, high, value) for day, _, _, _, low, high, _, value in found if value]
    assert sum(value for *_, value in counted) == 3
    assert all(low < high for _, low, high, _ in counted)


def test_a_funnel_has_a_row_for_each_step_of_those_who_entered_on_a_day(
    shop: Sandbox, client: Mixpanel, tmp_path: Path
) -> None:
    found = rows(client, tmp_path, "funnel", funnel_id=7)
    steps = [(day, step, event, count, share) for day, _, step, event, _, count, _, share, *_ in found]
    assert [one for one in steps if one[0] == "2026-03-02"] == [
        ("2026-03-02", 1, "sign up", 2, 1),
        ("2026-03-02", 2, "view", 2, 1),
        ("2026-03-02", 3, "buy", 1, 0.5),
    ]


def test_retention_has_a_row_for_each_interval_of_a_cohort(shop: Sandbox, client: Mixpanel, tmp_path: Path) -> None:
    found = rows(client, tmp_path, "retention", born_event="sign up", event="view", interval_count=2)
    cohort = [row for row in found if row[0] == "2026-03-02"]
    assert [(interval, first) for _, _, interval, _, first, _ in cohort] == [(0, 2), (1, 2), (2, 2)]
    assert all(share == count / 2 for _, _, _, count, _, share in cohort)
    assert {count for *_, count, _, _ in found if count}  # somebody came back


def test_addiction_says_how_many_users_were_active_in_at_least_so_many_hours(
    shop: Sandbox, client: Mixpanel, tmp_path: Path
) -> None:
    found = rows(client, tmp_path, "addiction", addiction_unit="hour")
    assert [row for row in found if row[0] == "2026-03-02" and row[3]] == [
        ("2026-03-02", None, 1, 2),
        ("2026-03-02", None, 2, 1),  # Ada, at 9 and at 10
    ]


def test_several_events_and_the_values_of_a_property(shop: Sandbox, client: Mixpanel, tmp_path: Path) -> None:
    found = rows(client, tmp_path, "events", events=["view", "buy"])
    assert [(day, event, value) for day, _, event, _, value in found if value] == [
        ("2026-03-02", "view", 2),
        ("2026-03-03", "buy", 1),
        ("2026-03-03", "view", 1),
        ("2026-03-04", "view", 1),
    ]
    found = rows(client, tmp_path, "event_properties", event="view", property="page")
    assert {(day, segment, value) for day, _, _, _, segment, _, value in found if value} == {
        ("2026-03-02", "/a", 1),
        ("2026-03-02", "/b", 1),
        ("2026-03-03", "/a", 1),
        ("2026-03-04", "/b", 1),
    }


def test_an_activity_stream_has_each_event_on_its_day_of_project_time(
    shop: Sandbox, client: Mixpanel, tmp_path: Path
) -> None:
    found = rows(client, tmp_path, "activity_stream", distinct_ids=["bob"])
    assert [(day, moment.hour, event) for day, moment, event, *_ in found] == [
        ("2026-03-02", 4, "sign up"),
        ("2026-03-02", 4, "view"),
        ("2026-03-04", 17, "view"),
    ]


def test_a_script_has_the_days_asked_for_and_declared_columns(shop: Sandbox, client: Mixpanel, tmp_path: Path) -> None:
    script = """
    function main() {
      return Events({from_date: params.from_date, to_date: params.to_date})
        .groupBy([e => new Date(e.time).toISOString().slice(0, 10), "name"], mixpanel.reducer.count());
    }"""
    result = {"day": "string", "event": "string", "count": "integer"}
    found = rows(client, tmp_path, "jql_by_date", script=script, date="day", result=result)
    assert sum(count for *_, count in found) == len(HAPPENED)
    assert all(partition == day for partition, day, *_ in found)


def test_what_is_no_integer_where_the_report_declares_one_is_an_error_that_says_so(
    shop: Sandbox, client: Mixpanel, tmp_path: Path
) -> None:
    script = 'function main() { return Events({from_date: "2026-03-02", to_date: "2026-03-04"}).map(e => [e.name]); }'
    with pytest.raises(ReplyError, match="count"):
        rows(client, tmp_path, "jql", script=script, result={"count": "integer"})
    assert not list(tmp_path.rglob("data.parquet"))


def test_weeks_and_months_are_asked_for_as_a_whole(shop: Sandbox, client: Mixpanel, tmp_path: Path) -> None:
    found = rows(client, tmp_path, "segmentation", event="view", unit="month", days=["2026-03-01"])
    assert found == [("2026-03-01", datetime(2026, 3, 1, 5, tzinfo=UTC), "view", None, "general", 4)]
    (request,) = shop.requests
    assert (request.params["from_date"], request.params["to_date"]) == ("2026-03-01", "2026-03-31")


def test_an_unknown_bookmark_publishes_nothing(shop: Sandbox, client: Mixpanel, tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="bookmark_id 43"):
        rows(client, tmp_path, "insights", bookmark_id=43)
    assert not list(tmp_path.rglob("data.parquet"))


def test_a_failed_query_leaves_what_was_published(shop: Sandbox, client: Mixpanel, tmp_path: Path) -> None:
    before = rows(client, tmp_path, "segmentation", event="view")
    shop.add_fault(Fault("/segmentation", "payment_required"))
    with pytest.raises(Exception, match="402"):
        rows(client, tmp_path, "segmentation", event="view")
    table = report_table(str(tmp_path), "reports/segmentation", report_of("segmentation", {"event": "view"}))
    assert table.scan().collect().height == len(before)


def test_the_reply_stands_beside_the_table_as_it_came(shop: Sandbox, client: Mixpanel, tmp_path: Path) -> None:
    rows(client, tmp_path, "funnel", funnel_id=7)
    table = report_table(str(tmp_path), "reports/funnel", report_of("funnel", {"funnel_id": 7}))
    partition = table.partition("2026-03-02")
    assert partition is not None
    reply = table.reply(partition.provenance["reply"])
    assert reply is not None
    assert set(json.loads(reply)["data"]) == set(DAYS)


@pytest.mark.parametrize(
    ("kind", "parameters", "said"),
    [
        ("segmentatoin", {}, "give one of segmentation"),
        ("segmentation", {}, "event is missing"),
        ("segmentation", {"event": "view", "on": "properties[page]"}, "on is no segmentation expression"),
        ("segmentation", {"event": "view", "limit": 5}, "limit is given without `on`"),
        ("segmentation", {"event": "view", "unit": "hour", "type": "unique"}, "by day, week or month"),
        ("segmentation", {"event": "view", "unit": "year"}, "unit is 'year'"),
        ("segmentation", {"event": "view", "from_date": "2026-01-01"}, "Partitions decide which days"),
        ("segmentation_sum", {"event": "view"}, "on is missing"),
        ("funnel", {"funnel_id": 7, "length_unit": "hour"}, "length_unit is given without length"),
        ("funnel", {"funnel_id": 7, "length": 91}, "at most 90 days"),
        ("funnel", {"funnel_id": "seven"}, "funnel_id is 'seven'"),
        ("retention", {}, "born_event is missing"),
        ("retention", {"born_event": "a", "retention_type": "compounded"}, "leave them out"),
        ("events", {"events": []}, "events is []"),
        ("insights", {"bookmark": 3}, "bookmark is no parameter of kind insights"),
        ("jql", {"script": "Events()"}, "no function `main`"),
        ("jql_by_date", {"script": "function main() {}", "date": "day"}, "day"),
    ],
)
def test_a_mistake_is_told_with_its_remedy(kind: str, parameters: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidReport) as caught:
        report_of(kind, parameters)
    assert said in str(caught.value)


@given(
    st.lists(st.dates(date(2026, 1, 1), date(2026, 12, 31)), min_size=1, max_size=30),
    st.sampled_from(["day", "week", "month"]),
)
def test_every_number_of_a_reply_is_in_the_partition_of_its_date(days: list[date], unit: Any) -> None:
    report = report_of("segmentation", {"event": "view", "unit": unit})
    assert isinstance(report, RangeReport)
    starts = {start_of(day, unit) for day in days}
    facts = [
        Fact(str(start), (moment_of(str(start), UTC), "view", None, "general", float(number)))
        for number, start in enumerate(sorted(starts))
    ]
    tables = split(report, iter(facts), {str(start) for start in starts}, datetime.now(UTC))
    assert set(tables) == {str(start) for start in starts}
    for key, table in tables.items():
        (moment,) = table["time"].to_pylist()
        assert str(moment.date()) == key
        first = date.fromisoformat(key)
        assert all(start_of(day, unit) == first for day in (first, end_of(first, unit)))


def test_numbers_of_a_week_that_begins_on_a_sunday_are_refused() -> None:
    report = report_of("segmentation", {"event": "view", "unit": "week"})
    assert isinstance(report, RangeReport)
    fact = Fact("2026-03-01", (datetime(2026, 3, 1, tzinfo=UTC), "view", None, "general", 1.0))
    with pytest.raises(ReplyError, match="a Sunday"):
        split(report, [fact], {"2026-02-23"}, datetime.now(UTC))


@given(
    st.recursive(
        st.none() | st.integers(-9, 9) | st.text(max_size=5),
        lambda inner: st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=10,
    )
)
def test_whatever_an_insights_report_looks_like_no_number_of_it_is_lost(series: Any) -> None:
    from mixpanel_etl.client.query_replies import Insights

    report = report_of("insights", {"bookmark_id": 1})
    assert isinstance(report, Snapshot)
    reply = Insights(series={"metric": series})
    numbers = sorted(fact.values[-1] for fact in report.facts(reply, UTC))
    assert numbers == sorted(_numbers(series))


def _numbers(series: Any) -> Iterator[float]:
    if isinstance(series, dict):
        for inner in series.values():
            yield from _numbers(inner)
    elif isinstance(series, int):
        yield series
