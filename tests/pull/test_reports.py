"""Reports as tables: what figures come out of few events that can be counted by hand, and where they are put."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixpanel_etl.client import BadRequest, Mixpanel, Query, ReplyError
from mixpanel_etl.pull.reports import (
    InvalidReport,
    RangeReport,
    Snapshot,
    pull_range,
    pull_snapshot,
    report_of,
    report_table,
)
from mixpanel_etl.pull.reports.calendar import Days, start_of
from mixpanel_etl.pull.reports.report import Fact
from mixpanel_etl.pull.reports.report_pull import split
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
    mixpanel.save_report(Funnel(7, "Purchases", ["sign up", "view", "buy"], length=2))
    mixpanel.save_report(Insight(42, "Views", ["view"], on='properties["page"]', last_days=3))
    return mixpanel


def _lines() -> Iterator[bytes]:
    for number, (day, hour, event, user, properties) in enumerate(HAPPENED):
        time = datetime(2026, 3, day, hour, tzinfo=NEW_YORK).timestamp()
        own = {"time": int(time), "distinct_id": user, "$insert_id": f"row-{number}", **properties}
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
    # An interval is 24 hours from each user's own beginning. Ada comes back within one; Bob 37 hours later (what he saw
    # in the second of the sign-up does not count as coming back).
    assert [row for row in found if row[0] == "2026-03-02"] == [
        ("2026-03-02", None, 0, 1, 2, 0.5),
        ("2026-03-02", None, 1, 1, 2, 0.5),
        ("2026-03-02", None, 2, 0, 2, 0.0),
    ]


def test_who_began_before_a_cohort_is_not_new_in_it_though_the_cohort_is_asked_for_alone(
    shop: Sandbox, client: Mixpanel, tmp_path: Path
) -> None:
    report = report_of("retention", {"born_event": "view"})  # Ada's first is on the 2nd
    assert isinstance(report, RangeReport)
    table = report_table(str(tmp_path), "reports/retention", report)
    (taken,) = pull_range(client, report, table, [DAYS[1]], start=MONDAY)
    assert taken.partition.key == DAYS[1]
    assert set(taken.rows["first"].to_pylist()) == {0}
    assert client.spent("query") == 2  # the second one asks whether there is such an event, in the first run only


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


def test_snapshots_say_what_is_common_today(shop: Sandbox, client: Mixpanel, tmp_path: Path) -> None:
    shop.clock.set(datetime(2026, 3, 3, 20, tzinfo=NEW_YORK), frozen=True)
    names = {name for _, name in rows(client, tmp_path, "event_names")}
    assert names == {"sign up", "view", "buy"}
    # Against 20 of yesterday's 24 hours: of 2 views 1.67, of no purchase 0.
    top = [(event, amount, round(change, 3)) for _, event, _, amount, change in rows(client, tmp_path, "top_events")]
    assert top == [("buy", 1, 1), ("view", 1, -0.4)]
    counts = {name: count for _, _, name, count in rows(client, tmp_path, "top_properties", event="view")}
    assert {name: counts[name] for name in ("price", "page")} == {"price": 3, "page": 3}
    values = rows(client, tmp_path, "property_values", event="view", property="page")
    assert [value for *_, value in values] == ["/a", "/b"]


def test_a_saved_report_has_a_row_for_each_number_of_each_segment(
    shop: Sandbox, client: Mixpanel, tmp_path: Path
) -> None:
    shop.clock.set(datetime(2026, 3, 4, 20, tzinfo=NEW_YORK), frozen=True)
    found = rows(client, tmp_path, "insights", bookmark_id=42)
    assert {(*segments, time.day, value) for _, _, segments, time, value, *_ in found if value} == {
        (None, 2, 2),  # all together, as in every other kind
        ("/a", 2, 1),
        ("/b", 2, 1),
        (None, 3, 1),
        ("/a", 3, 1),
        (None, 4, 1),
        ("/b", 4, 1),
    }
    assert {metric for _, metric, *_ in found} == {"view"}
    assert {time.hour for _, _, _, time, *_ in found} == {5}  # midnight in New York


def test_an_activity_stream_has_each_event_on_its_day_of_project_time(
    shop: Sandbox, client: Mixpanel, tmp_path: Path
) -> None:
    found = rows(client, tmp_path, "activity_stream", distinct_ids=["bob"])
    assert [(day, time.hour, event) for day, time, event, *_ in found] == [
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
        ("segmentation", {"event": "view", "on": "properties[page]"}, "on must be a segmentation expression"),
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
        ("insights", {"bookmark": 3}, "unknown parameter bookmark for kind insights"),
        ("jql", {"script": "Events()"}, "no function `main`"),
        ("jql_by_date", {"script": "function main() {}", "date": "day"}, "day"),
    ],
)
def test_a_mistake_is_told_with_its_remedy(kind: str, parameters: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidReport) as caught:
        report_of(kind, parameters)
    assert said in str(caught.value)


class Answering(Query):
    """A Query API with one answer."""

    def __init__(self, reply: Any) -> None:
        self._reply = msgspec.json.encode(reply)

    def _located(self) -> AbstractContextManager[None]:
        return nullcontext()

    def _json(self, **parts: Any) -> Any:
        return msgspec.json.decode(self._reply)


_UNITS = ["day", "week", "month"]
_FIRST, _TEXT, _COUNT = date(2026, 1, 1), st.text(max_size=8), st.integers(0, 10**6)
_NUMBER = _COUNT | st.floats(-1e18, 1e18) | st.integers(-(2**63), 2**63)


@st.composite
def _labels(draw: st.DrawFn, unit: Any) -> list[str]:
    """First days of units, in any order, with gaps."""
    days = draw(st.lists(st.dates(_FIRST, date(2026, 12, 31)), min_size=1, max_size=20))
    return draw(st.permutations(sorted({str(start_of(day, unit)) for day in days})))


def _series(labels: list[str]) -> st.SearchStrategy[dict[str, dict[str, Any]]]:
    return st.dictionaries(_TEXT, st.fixed_dictionaries(dict.fromkeys(labels, _NUMBER)), max_size=5)


def _by_day(labels: list[str], day: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(dict.fromkeys(labels, day))


def _reply(kind: str, labels: list[str]) -> st.SearchStrategy[Any]:
    """What Mixpanel may answer."""
    steps = st.lists(st.fixed_dictionaries({"count": _COUNT, "event": _TEXT}), max_size=4)
    counts = st.lists(_COUNT, max_size=4)
    cohort = st.fixed_dictionaries({"first": _COUNT, "counts": counts})
    replies: dict[str, st.SearchStrategy[Any]] = {
        "segmentation": _series(labels).map(lambda values: {"data": {"series": labels, "values": values}}),
        "segmentation_numeric": _series(labels).map(lambda values: {"data": {"series": labels, "values": values}}),
        "segmentation_sum": _by_day(labels, _NUMBER).map(lambda results: {"status": "ok", "results": results}),
        "segmentation_average": _by_day(labels, _NUMBER).map(lambda results: {"results": results}),
        "events": _series(labels).map(lambda values: {"data": {"series": labels, "values": values}}),
        "event_properties": _series(labels).map(lambda values: {"data": {"series": labels, "values": values}}),
        "funnel": _by_day(labels, st.fixed_dictionaries({"steps": steps}) | steps).map(lambda days: {"data": days}),
        "retention": _by_day(labels, cohort),
        "addiction": _by_day(labels, counts).map(lambda days: {"data": days}),
    }
    return replies[kind]


_WILD: dict[str, dict[str, Any]] = {
    "segmentation": {"event": "view", "on": 'properties["a"]'},
    "segmentation_numeric": {"event": "view", "on": 'properties["a"]'},
    "segmentation_sum": {"event": "view", "on": 'properties["a"]'},
    "segmentation_average": {"event": "view", "on": 'properties["a"]'},
    "events": {"events": ["view"]},
    "event_properties": {"event": "view", "property": "a"},
    "funnel": {"funnel_id": 7},
    "retention": {"born_event": "view"},
    "addiction": {},
}


def _counted(value: Any) -> Iterator[float]:
    """The numbers of a reply: those of series, steps and counts."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name != "first":
                yield from _counted(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _counted(inner)
    elif isinstance(value, int | float):
        yield float(value)


@pytest.mark.parametrize("kind", _WILD)
@settings(max_examples=25)
@given(data=st.data())
def test_every_number_of_a_wild_reply_is_in_the_partition_of_its_date(kind: str, data: st.DataObject) -> None:
    units = ["day"] if kind in ("segmentation_numeric", "segmentation_sum", "segmentation_average") else _UNITS
    unit = data.draw(st.sampled_from(units))
    labels = data.draw(_labels(unit))
    body = data.draw(_reply(kind, labels))
    report = report_of(kind, {**_WILD[kind], "unit": unit})
    assert isinstance(report, RangeReport)
    reply = report.ask(Answering(body), Days(_FIRST, _FIRST))
    tables = split(report, report.facts(reply, NEW_YORK), set(labels), datetime.now(UTC))
    assert set(tables) == set(labels)
    column = "value" if "value" in report.schema.names else "count"
    found = sorted(float(number) for table in tables.values() for number in table[column].to_pylist())
    assert found == sorted(_counted(body))
    for key, table in tables.items():
        if "time" in table.schema.names:
            assert {str(time.astimezone(NEW_YORK).date()) for time in table["time"].to_pylist()} <= {key}


def test_numbers_of_a_week_that_begins_on_a_sunday_are_rejected() -> None:
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
    from mixpanel_etl.client import Insights

    report = report_of("insights", {"bookmark_id": 1})
    assert isinstance(report, Snapshot)
    reply = Insights(series={"metric": series})
    numbers = sorted(fact.values[3] for fact in report.facts(reply, UTC) if fact.values[3] is not None)
    assert numbers == sorted(_numbers(series))


def _numbers(series: Any) -> Iterator[float]:
    if isinstance(series, dict):
        for inner in series.values():
            yield from _numbers(inner)
    elif isinstance(series, int):
        yield series
