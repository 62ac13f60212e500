"""Query API. Source: mixpanel-api.md#query."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from mixpanel_etl.client import Mixpanel

from .example import FIRST, LAST, WINDOW, Example

PLAN = 'properties["plan"]'
PRO = 'properties["plan"] == "pro"'
COUNTS = {"2026-01-01": 100, "2026-01-02": 150}
SERIES = {"data": {"series": ["2026-01-01", "2026-01-02"], "values": {"Login": COUNTS}}, "legend_size": 1}
STEPS = [{"count": 1000, "event": "Signup", "avg_time": None}, {"count": 800, "event": "Verified", "avg_time": 12}]
OLD_STEPS = [{"count": 1000, "step": 0, "name": "Signup"}, {"count": 800, "step": 1, "name": "Verified"}]
ANALYSIS = {"completion": 800, "starting_amount": 1000, "steps": 2, "worst": 1}
COHORT = {"counts": [1000, 800], "first": 1000}
PROFILE = {"$distinct_id": "7", "$properties": {"plan": "pro"}}
STREAM = {"event": "Login", "properties": {"time": 1767225600, "distinct_id": "u1"}}


def all_profiles(mixpanel: Mixpanel, **parameters: Any) -> list[Any]:
    return [profile for page in mixpanel.query.engage(**parameters) for profile in page.results]


QUERY = [
    Example(
        lambda mp: b"".join(_read(mp)),
        b'{"event":"Login","properties":{"time":1767225600000}}\n',
        lambda lines: lines.count(b"\n") == 1,
        query={**WINDOW, "time_in_ms": "true", "event": '["Login"]', "where": PRO},
        bad=lambda mp: list(_read(mp, to_date=date(2026, 12, 31))),
        says="2026-12-31 .* at most 100|100",
    ),
    Example(lambda mp: mp.me(), {"status": "ok", "results": {"id": 1}}, lambda me: me.results == {"id": 1}),
    Example(
        lambda mp: mp.query.segmentation("Login", FIRST, LAST, on=PLAN, where=PRO, unit="day", type="unique", limit=5),
        SERIES,
        lambda found: found.values == {"Login": COUNTS} and found.series == ["2026-01-01", "2026-01-02"],
        query={"event": "Login", **WINDOW, "on": PLAN, "where": PRO, "unit": "day", "type": "unique", "limit": "5"},
        bad=lambda mp: mp.query.segmentation("Login", FIRST, LAST, on=PLAN, limit=10_001),
        says="1 to 10000",
    ),
    Example(
        lambda mp: mp.query.segmentation_numeric("Pay", FIRST, LAST, 'number(properties["n"])', unit="hour"),
        {"data": {"series": ["2026-01-01"], "values": {"2,000 - 2,100": {"2026-01-01": 6}}}, "legend_size": 1},
        lambda found: found.values == {"2,000 - 2,100": {"2026-01-01": 6}},
        query={"event": "Pay", **WINDOW, "on": 'number(properties["n"])', "unit": "hour"},
        bad=lambda mp: mp.query.segmentation_numeric("Pay", FIRST, LAST, PLAN, unit="week"),  # type: ignore[arg-type]
        says="hour, day",
    ),
    Example(
        lambda mp: mp.query.segmentation_sum("Pay", FIRST, LAST, 'properties["n"]', where=PRO),
        {"status": "ok", "computed_at": "2026-02-01T00:00:00.1+00:00", "results": {"2026-01-01": 376.0}},
        lambda found: found.results == {"2026-01-01": 376.0} and found.computed_at.startswith("2026-02-01"),
        query={"event": "Pay", **WINDOW, "on": 'properties["n"]', "where": PRO},
        bad=lambda mp: mp.query.segmentation_sum("Pay", LAST, FIRST, 'properties["n"]'),
        says="is after",
    ),
    Example(
        lambda mp: mp.query.segmentation_average("Pay", FIRST, LAST, 'properties["n"]', unit="day"),
        {"status": "ok", "results": {"2026-01-01": 8.5}},
        lambda found: found.results == {"2026-01-01": 8.5},
        query={"event": "Pay", **WINDOW, "on": 'properties["n"]', "unit": "day"},
        bad=lambda mp: mp.query.segmentation_average("", FIRST, LAST, 'properties["n"]'),
        says="event is ''",
    ),
    Example(
        lambda mp: mp.query.funnels(7, FIRST, LAST, length=2, length_unit="day", unit="week", on=PLAN, limit=10),
        {"meta": {"dates": ["2026-01-01"]}, "data": {"2026-01-01": {"steps": STEPS, "analysis": ANALYSIS}}},
        lambda funnel: (
            [(s.count, s.event) for s in funnel.data["2026-01-01"].steps] == [(1000, "Signup"), (800, "Verified")]
        ),
        query={
            "funnel_id": "7",
            **WINDOW,
            "length": "2",
            "length_unit": "day",
            "unit": "week",
            "on": PLAN,
            "limit": "10",
        },
        also=(
            {"data": {"2026-01-01": OLD_STEPS}},
            {"meta": {"dates": ["2026-01-01"]}, "data": {"2026-01-01": {"$overall": STEPS, "pro": STEPS[:1]}}},
        ),
        bad=lambda mp: mp.query.funnels(7, FIRST, LAST, length=14, length_unit="week"),
        says="at most 90 days",
    ),
    Example(
        lambda mp: mp.query.list_funnels(),
        [{"funnel_id": 123, "name": "Signup Flow"}],
        lambda funnels: [(funnel.funnel_id, funnel.name) for funnel in funnels] == [(123, "Signup Flow")],
    ),
    Example(
        lambda mp: mp.query.retention(
            FIRST, LAST, born_event="Signup", event="Login", unit="week", interval_count=2, unbounded_retention=True
        ),
        {"2026-01-01": COHORT},
        lambda days: days["2026-01-01"].counts == [1000, 800],
        query={
            **WINDOW,
            "retention_type": "birth",
            "born_event": "Signup",
            "event": "Login",
            "unit": "week",
            "interval_count": "2",
            "unbounded_retention": "true",
        },
        also=(
            {"data": {"2026-01-01": {"counts": [1000, 800], "percents": [100, 80]}}},
            {"2026-01-01": {"$overall": COHORT, "pro": COHORT}},
        ),
        bad=lambda mp: mp.query.retention(FIRST, LAST),
        says="born_event",
    ),
    Example(
        lambda mp: mp.query.retention_addiction(FIRST, LAST, "day", "hour", event="Login"),
        {"data": {"2026-01-01": [305, 107, 60]}},
        lambda found: found.data == {"2026-01-01": [305, 107, 60]},
        query={**WINDOW, "unit": "day", "addiction_unit": "hour", "event": "Login"},
        also=({"2026-01-01": [305, 107, 60]},),
        bad=lambda mp: mp.query.retention_addiction(FIRST, LAST, "day", "minute"),  # type: ignore[arg-type]
        says="addiction_unit .* hour, day",
    ),
    Example(
        lambda mp: mp.query.events(["Login"], FIRST, LAST),
        SERIES,
        lambda found: found.values == {"Login": COUNTS},
        query={"event": '["Login"]', **WINDOW, "type": "general", "unit": "day"},
        bad=lambda mp: mp.query.events(["Login"], FIRST, LAST, unit="hour", type="unique"),
        says="by day or more",
    ),
    Example(
        lambda mp: mp.query.top_events("unique", limit=2),
        {"events": [{"amount": 2, "event": "funnel", "percent_change": -0.35560}], "type": "unique"},
        lambda found: found.events[0].event == "funnel" and found.events[0].percent_change == -0.35560,
        query={"type": "unique", "limit": "2"},
        bad=lambda mp: mp.query.top_events(limit=0),
        says="at least 1",
    ),
    Example(
        lambda mp: mp.query.event_names(limit=255),
        ["Login", "Signup"],
        lambda names: names == ["Login", "Signup"],
        query={"type": "general", "limit": "255"},
        bad=lambda mp: mp.query.event_names(limit=5001),
        says="1 to 5000",
    ),
    Example(
        lambda mp: mp.query.event_properties("Login", "plan", FIRST, LAST, values=["pro", "free"], limit=2),
        SERIES,
        lambda found: found.legend_size == 1,
        query={
            "event": "Login",
            "name": "plan",
            **WINDOW,
            "type": "general",
            "unit": "day",
            "values": '["pro","free"]',
            "limit": "2",
        },
        bad=lambda mp: mp.query.event_properties("Login", "plan", FIRST, LAST, values="pro"),
        says="list of strings",
    ),
    Example(
        lambda mp: mp.query.top_properties("Login", limit=100),
        {"$browser": {"count": 6}, "ad version": {"count": 4}},
        lambda found: found == {"$browser": 6, "ad version": 4},
        query={"event": "Login", "limit": "100"},
        also=({"$browser": 6, "ad version": 4},),
        bad=lambda mp: mp.query.top_properties(" "),
        says="event is ' '",
    ),
    Example(
        lambda mp: mp.query.property_values("Login", "plan"),
        ["pro", "free"],
        lambda found: found == ["pro", "free"],
        query={"event": "Login", "name": "plan"},
        bad=lambda mp: mp.query.property_values("Login", ""),
        says="name is ''",
    ),
    Example(
        lambda mp: all_profiles(
            mp,
            where='user["plan"] == "pro"',
            output_properties=["plan"],
            behaviors=[{"window": "30d", "name": "b"}],
            as_of_timestamp=datetime(2026, 1, 31, tzinfo=UTC),
        ),
        {"results": [PROFILE], "page": 0, "page_size": 1000, "session_id": "s", "status": "ok", "total": 1},
        lambda profiles: [(p.distinct_id, p.properties) for p in profiles] == [("7", {"plan": "pro"})],
        body={
            "where": 'user["plan"] == "pro"',
            "output_properties": '["plan"]',
            "behaviors": '[{"window":"30d","name":"b"}]',
            "as_of_timestamp": "1769817600",
        },
        also=({"results": [{**PROFILE, "$distinct_id": 7}]},),
        bad=lambda mp: mp.query.engage(behaviors=[], filter_by_cohort=1),
        says="both",
    ),
    Example(
        lambda mp: mp.query.list_cohorts(),
        [{"id": 1000, "is_visible": 1, "name": "Power", "count": 5, "created": "2026-01-01 23:49:51", "project_id": 1}],
        lambda cohorts: [(c.id, c.is_visible, c.name) for c in cohorts] == [("1000", True, "Power")],
        body={},
        also=([{"id": "1000", "is_visible": True, "name": "Power", "created": "2026-01-01"}],),
    ),
    Example(
        lambda mp: mp.query.insights(9),
        {
            "computed_at": "2026-01-15T12:00:00.000001+00:00",
            "date_range": {"from_date": "2026-01-01T00:00:00-07:00", "to_date": "2026-01-14T23:59:59-07:00"},
            "headers": ["$event"],
            "series": {"Login": {"2026-01-01T00:00:00-07:00": 9852}},
        },
        lambda report: report.series == {"Login": {"2026-01-01T00:00:00-07:00": 9852}},
        query={"bookmark_id": "9"},
        bad=lambda mp: mp.query.insights(0),
        says="bookmark_id is 0",
    ),
    Example(
        lambda mp: mp.query.stream_query(["u1"], FIRST, LAST),
        {"status": "ok", "results": {"events": [STREAM]}},
        lambda events: [event.event for event in events] == ["Login"],
        query={"distinct_ids": '["u1"]', **WINDOW},
        also=({"results": [{**STREAM, "time": 1767225600}]},),
        bad=lambda mp: mp.query.stream_query([], FIRST, LAST),
        says="distinct_ids is empty",
    ),
    Example(
        lambda mp: mp.query.jql("function main() { return params.n + 1 }", {"n": 1}),
        [{"key": ["Chrome"], "value": 15000}],
        lambda found: found == [{"key": ["Chrome"], "value": 15000}],
        body={"script": "function main() { return params.n + 1 }", "params": '{"n":1}'},
        bad=lambda mp: mp.query.jql(""),
        says="script is ''",
    ),
]


def _read(mixpanel: Mixpanel, to_date: date = LAST) -> Any:
    with mixpanel.export(FIRST, to_date, events=["Login"], where=PRO) as stream:
        yield from stream
