"""Saved reports in every shape on record: each number is in a row that says what it is, and nothing is dropped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixpanel_etl.client import Insights
from mixpanel_etl.client.operations.replies import typed
from mixpanel_etl.pull.reports import report_of
from mixpanel_etl.pull.reports.insights_shapes import Number, numbers

MOUNTAIN = timezone(timedelta(hours=-7))
FIRST, SECOND = "2026-01-05T00:00:00-07:00", "2026-01-12T00:00:00-07:00"
ON = {day: datetime.fromisoformat(day).astimezone(UTC) for day in (FIRST, SECOND)}
COHORT = {"first": 50, "counts": [50, 20], "rates": [1.0, 0.4]}
AVERAGE = {"first": 48, "counts": [48, 19], "rates": [1.0, 0.39]}
STEPS = {
    "count": {"1. Sign up": {"all": 100}, "2. Order placed": {"all": 40}},
    "avg_time": {"1. Sign up": {"all": None}, "2. Order placed": {"all": 5400}},
    "p_value": {"2. Order placed": {"all": {"p": 0, "is_interesting": True}}},
}


def read(series: Any, **more: Any) -> list[Number]:
    return list(numbers(typed({"series": series, **more}, Insights), MOUNTAIN))


def plain(found: list[Number]) -> set[tuple[Any, ...]]:
    """Segments, time and value."""
    return {(one.segments, one.time, one.value) for one in found}


def test_all_together_is_null_at_each_level_of_the_breakdowns() -> None:
    series = {
        "$overall": {FIRST: 9},
        "pro": {"$overall": {FIRST: 4}, "web": {FIRST: 3}, "ios": {FIRST: 1}},
        "free": {"$overall": {FIRST: 5}, "all": {FIRST: None}},
    }
    assert plain(read({"Order placed [Unique Users]": series})) == {
        ((None, None), ON[FIRST], 9),
        (("pro", None), ON[FIRST], 4),
        (("pro", "web"), ON[FIRST], 3),
        (("pro", "ios"), ON[FIRST], 1),
        (("free", None), ON[FIRST], 5),
        (("free", "all"), ON[FIRST], None),  # unknown is not 0, and not left out
    }


@pytest.mark.parametrize(
    ("series", "expected"),
    [
        ({FIRST: 11, "2026-01-12": 14}, {((), ON[FIRST], 11), ((), ON[SECOND], 14)}),
        ({"all": 23}, {((), None, 23)}),
        ({"$overall": {"all": 50}, "web": {"all": 30}}, {((None,), None, 50), (("web",), None, 30)}),
        (7, {((), None, 7)}),
        ({"Monday": 3, "$overall": 4}, {(("Monday",), None, 3), ((None,), None, 4)}),
        # Broken down by a property that holds dates:
        (
            {"$overall": {FIRST: 2}, "2025-12-24": {FIRST: 2}},
            {((None,), ON[FIRST], 2), (("2025-12-24",), ON[FIRST], 2)},
        ),
        ({"2025-12-24": {"all": 2}}, {(("2025-12-24",), None, 2)}),
        (
            {"20260105": {FIRST: 2}, "2026-02-30": {FIRST: 1}},
            {(("20260105",), ON[FIRST], 2), (("2026-02-30",), ON[FIRST], 1)},
        ),
        ({"counts": {FIRST: 2}, "count": {FIRST: 1}}, {(("counts",), ON[FIRST], 2), (("count",), ON[FIRST], 1)}),
    ],
)
def test_a_series_has_its_times_and_segments(series: Any, expected: set[tuple[Any, ...]]) -> None:
    found = read({"Order placed": series})
    assert plain(found) == expected
    assert {(one.metric, one.part, one.measure) for one in found} == {("Order placed", "series", None)}


@pytest.mark.parametrize(
    "series",
    [
        {"$overall": {FIRST: COHORT, "$average": AVERAGE}, "pro": {FIRST: COHORT}},
        {FIRST: {"$overall": COHORT, "pro": COHORT}, "$average": {"$overall": AVERAGE}},
    ],
    ids=["segments outside", "dates outside"],
)
def test_a_retention_is_read_in_both_nestings(series: Any) -> None:
    found = read({"Sign up and then Open app": series})
    cohort = {("first", None, 50), ("counts", 0, 50), ("counts", 1, 20), ("rates", 0, 1.0), ("rates", 1, 0.4)}
    for segment in (None, "pro"):
        rows = [one for one in found if one.segments == (segment,) and one.time == ON[FIRST]]
        assert {(one.measure, one.position, one.value) for one in rows} == cohort
    average = [one for one in found if one.time is None]
    assert {(one.segments, one.measure, one.position, one.value) for one in average} >= {((None,), "counts", 1, 19)}
    assert len(found) == 15


def test_a_retention_without_segments_has_a_cohort_for_each_date() -> None:
    found = read({"Sign up and then Open app": {FIRST: COHORT, SECOND: COHORT, "$average": AVERAGE}})
    assert {(one.segments, one.time) for one in found} == {((), ON[FIRST]), ((), ON[SECOND]), ((), None)}
    assert sum(one.value or 0 for one in found if one.measure == "counts") == 50 + 20 + 50 + 20 + 48 + 19


@pytest.mark.parametrize(
    ("series", "segments", "time"),
    [
        (STEPS, (), None),
        ({"pro": STEPS}, ("pro",), None),
        ({"$overall": STEPS}, (None,), None),
        ({FIRST: STEPS}, (), ON[FIRST]),
        ({"pro": {FIRST: STEPS}}, ("pro",), ON[FIRST]),
        ({FIRST: {"pro": STEPS}}, ("pro",), ON[FIRST]),
    ],
)
def test_a_funnel_has_its_steps(series: Any, segments: tuple[str | None, ...], time: datetime | None) -> None:
    found = read({"Sign up through Order placed": series})
    assert {(one.segments, one.time) for one in found} == {(segments, time)}
    assert {(one.measure, one.position, one.label, one.value) for one in found} == {
        ("count", 1, "Sign up", 100),
        ("count", 2, "Order placed", 40),
        ("avg_time", 1, "Sign up", None),
        ("avg_time", 2, "Order placed", 5400),
        ("p_value", 2, "Order placed", None),
    }
    assert [one.detail for one in found if one.measure == "p_value"] == [{"p": 0, "is_interesting": True}]


def test_counts_behind_rates_comparisons_and_unfinished_intervals_are_parts_of_their_own() -> None:
    found = read(
        {"Sign up [Conversion Rate - All Steps]": {"$overall": {FIRST: 0.4}}},
        secondary={"series": {"Sign up [Conversion Rate - All Steps]": {"$overall": {FIRST: 40}}}},
        time_comparison={"date_range": {}, "series": {"Sign up": {"web": {"all": 25}}}},
        meta={
            "report_sections": {
                "show": [{"metric_key": "Sign up", "incomplete_buckets": {FIRST: [None, "2026-02-01"]}}]
            }
        },
    )
    assert {(one.part, one.segments, one.time, one.value, one.detail) for one in found} == {
        ("series", (None,), ON[FIRST], 0.4, None),
        ("secondary", (None,), ON[FIRST], 40, None),
        ("time_comparison", ("web",), None, 25, None),
        ("incomplete_buckets", (), ON[FIRST], None, "2026-02-01"),
    }


def test_a_report_that_mixpanel_has_cut_says_so() -> None:
    report = report_of("insights", {"bookmark_id": 1})
    for hit in (True, False):
        reply = {"series": {}, "meta": {"is_segmentation_limit_hit": hit}}
        assert report.is_cut(typed(reply, Insights)) is hit


_KEYS = st.sampled_from(["$overall", "all", "pro", "count", "counts", "rates", "first", "1. a", "$average", FIRST, ""])
_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.sampled_from(["text", "2026-01-01"])
    | st.lists(st.integers(0, 9))
)
_NODES = st.recursive(_LEAVES, lambda inner: st.dictionaries(_KEYS, inner, min_size=1, max_size=3), max_leaves=8)


@given(series=st.dictionaries(_KEYS, _NODES, max_size=3))
def test_whatever_a_series_holds_is_in_a_row(series: dict[str, Any]) -> None:
    kept = sorted(map(repr, _values([one.value if one.detail is None else one.detail for one in read(series)])))
    assert kept == sorted(map(repr, _values(series)))


def _values(node: Any) -> Iterator[Any]:
    """The scalars, but for nulls."""
    for inner in node.values() if isinstance(node, dict) else node:
        if isinstance(inner, dict | list):
            yield from _values(inner)
        elif inner is not None:
            yield inner


def test_a_row_of_the_table_has_what_is_not_a_number_as_json() -> None:
    report = report_of("insights", {"bookmark_id": 1})
    rows = list(report.facts(typed({"series": {"A": {"pro": STEPS}}}, Insights), MOUNTAIN))
    assert all(len(fact.values) == len(report.columns) for fact in rows)
    (detail,) = [fact.values[-1] for fact in rows if fact.values[-1]]
    assert json.loads(detail) == {"p": 0, "is_interesting": True}
