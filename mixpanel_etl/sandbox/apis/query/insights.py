"""`GET /insights`: a saved report. Source: mixpanel-api.md#query-insights.

Dates carry the project's offset.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from typing import Any

from mixpanel_etl.expressions import parse
from mixpanel_etl.sandbox.apis.query.funnels import steps_by_segment
from mixpanel_etl.sandbox.apis.query.models import SavedReports
from mixpanel_etl.sandbox.apis.query.query_request import QueryRequest
from mixpanel_etl.sandbox.apis.query.retention import cohorts_by_date
from mixpanel_etl.sandbox.apis.query.segments import OVERALL, segment_name
from mixpanel_etl.sandbox.apis.query.time_series import Series
from mixpanel_etl.sandbox.engine.event_log import EventLog
from mixpanel_etl.sandbox.engine.query_parameters import read_integer, required
from mixpanel_etl.sandbox.engine.responses import ApiError
from mixpanel_etl.sandbox.engine.saved_reports import Funnel, Insight


def insights(query: QueryRequest) -> object:
    """The series of the report by event and date; with a breakdown, by event, value (and `$overall`) and date."""
    insight = _insight(query)
    first, last = _dates(query, insight)
    zone = query.project.zone
    return {
        "computed_at": query.now.isoformat(timespec="microseconds"),
        "date_range": {
            "from_date": datetime.combine(first, time(), zone).isoformat(),
            "to_date": datetime.combine(last, time(23, 59, 59, 999_000), zone).isoformat(),
        },
        "headers": [_HEADERS[insight.report], *([insight.on] if insight.on else []), *_STEPS[insight.report]],
        "series": _READ[insight.report](query, insight, first, last),
    }


def _events(query: QueryRequest, insight: Insight, first: date, last: date) -> object:
    return {event: _series(query, insight, event, first, last) for event in insight.events}


def _funnel(query: QueryRequest, insight: Insight, first: date, last: date) -> object:
    """The table of steps; with a breakdown one for each value, without `$overall` (as observed)."""
    funnel = Funnel(insight.bookmark_id, insight.name, [*insight.events], length=insight.length)
    found = steps_by_segment(query, funnel, first, last, parse(insight.on) if insight.on else None)
    tables = {segment: _table(steps) for segment, steps in found.items()}
    overall = tables.pop(OVERALL)
    return {f"{insight.events[0]} through {insight.events[-1]}": tables if insight.on else overall}


def _table(steps: Sequence[Mapping[str, object]]) -> dict[str, object]:
    names = [f"{number}. {step['step_label']}" for number, step in enumerate(steps, start=1)]
    shown: dict[str, object] = {
        measure: {name: {"all": step[measure]} for name, step in zip(names, steps, strict=True)}
        for measure in ("count", "step_conv_ratio", "overall_conv_ratio", "avg_time", "avg_time_from_start")
    }
    tested = {"confidence": 1, "insufficient_samples": False, "is_interesting": False, "p": 1}
    return {**shown, "p_value": {name: {"all": tested} for name in names[1:]}}


def _retention(query: QueryRequest, insight: Insight, first: date, last: date) -> object:
    """Cohorts by date and, with a breakdown, by segment, in either order; `$average` beside the dates."""
    born_event, event = insight.events
    given = {"from_date": str(first), "to_date": str(last), "born_event": born_event, "event": event}
    expressions = {"on": insight.on, "where": insight.where}
    asked = {**given, "unit": insight.unit, "interval_count": str(insight.interval_count)}
    parameters = {**asked, **{name: text for name, text in expressions.items() if text}}
    found = cohorts_by_date(replace(query, parameters=parameters))
    dated = {_with_offset(query, label): cohort for label, cohort in found.items()}
    if insight.on is None:
        series: object = _with_average({day: cohort[OVERALL] for day, cohort in dated.items()})
    else:
        names = dict.fromkeys(name for cohort in dated.values() for name in cohort)
        by_segment = {name: _with_average({day: each[name] for day, each in dated.items()}) for name in names}
        dates = next(iter(by_segment.values()))
        turned = {day: {name: cohorts[day] for name, cohorts in by_segment.items()} for day in dates}
        series = turned if insight.dates_outside else by_segment
    return {f"{born_event} and then {event}": series}


def _with_average(cohorts: Mapping[str, Mapping[str, Any]]) -> dict[str, object]:
    shown: dict[str, object] = {day: _rated(cohort["first"], cohort["counts"]) for day, cohort in cohorts.items()}
    columns = zip(*(cohort["counts"] for cohort in cohorts.values()), strict=True)
    means = [round(sum(column) / len(cohorts)) for column in columns]
    first = round(sum(cohort["first"] for cohort in cohorts.values()) / len(cohorts))
    return {**shown, "$average": _rated(first, means)}


def _rated(first: int, counts: Sequence[int]) -> dict[str, object]:
    return {"first": first, "counts": counts, "rates": [count / first if first else 0 for count in counts]}


_HEADERS = {"insights": "$event", "funnel": "$funnel", "retention": "$retention"}
_STEPS = {"insights": (), "funnel": ("Metric", "Step"), "retention": ()}
_READ = {"insights": _events, "funnel": _funnel, "retention": _retention}


def _series(query: QueryRequest, insight: Insight, name: str, first: date, last: date) -> object:
    buckets = query.buckets(first, last, insight.unit)
    log = EventLog(query.state, query.project)
    holds = log.filter(parse(insight.where) if insight.where else None)
    value_of = log.value(parse(insight.on)) if insight.on else None
    overall, broken_down = Series(buckets, insight.type), Series(buckets, insight.type)
    for event in log.events(buckets.starts[0], buckets.end, [name], detail=bool(insight.where or insight.on)):
        if holds(event):
            overall.add(OVERALL, event.time_ms, event.user)
            if value_of:
                broken_down.add(segment_name(value_of(event)), event.time_ms, event.user)
    labels = {label: _with_offset(query, label) for label in buckets.labels}
    total = _every_date(overall.values().get(OVERALL, {}), labels)
    if value_of is None:
        return total
    return {OVERALL: total} | {value: _every_date(counts, labels) for value, counts in broken_down.values().items()}


def _every_date(counts: dict[str, float], labels: dict[str, str]) -> dict[str, float]:
    return {shown: counts.get(label, 0) for label, shown in labels.items()}


def _with_offset(query: QueryRequest, label: str) -> str:
    return datetime.fromisoformat(label).replace(tzinfo=query.project.zone).isoformat()


def _insight(query: QueryRequest) -> Insight:
    required(query.parameters, "bookmark_id")
    bookmark_id = read_integer(query.parameters, "bookmark_id", minimum=0)
    saved = query.state.api_state(SavedReports).insights(query.project)
    insight = saved.get(bookmark_id or 0)
    if insight is None:
        raise ApiError(400, f"bookmark_id {bookmark_id} is not a saved report of this project; known: {sorted(saved)}")
    return insight


def _dates(query: QueryRequest, insight: Insight) -> tuple[date, date]:
    first, last = query.today - timedelta(days=insight.last_days - 1), query.today
    if insight.from_date and insight.to_date:
        first, last = insight.from_date, insight.to_date
    query.check_history(first)
    return first, last
