"""`GET /insights`: a saved Insights report. Specification 5.7; api-facts 3.7. Its dates carry the project's offset."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

from mixpanel_etl.expressions import parse
from mixpanel_etl.sandbox.parameters import read_integer, required
from mixpanel_etl.sandbox.query.log import Log, segment_name
from mixpanel_etl.sandbox.query.question import Question
from mixpanel_etl.sandbox.query.series import Series
from mixpanel_etl.sandbox.replies import Refusal
from mixpanel_etl.sandbox.saved import Insight, SavedReports

OVERALL = "$overall"


def insights(question: Question) -> object:
    """The report's series by event and date; with a breakdown by event, value (and `$overall`) and date."""
    insight = _insight(question)
    first, last = _dates(question, insight)
    zone = question.project.zone
    return {
        "computed_at": question.now.isoformat(timespec="microseconds"),
        "date_range": {
            "from_date": datetime.combine(first, time(), zone).isoformat(),
            "to_date": datetime.combine(last, time(23, 59, 59, 999_000), zone).isoformat(),
        },
        "headers": ["$event", *([insight.on] if insight.on else [])],
        "series": {event: _series(question, insight, event, first, last) for event in insight.events},
    }


def _series(question: Question, insight: Insight, name: str, first: date, last: date) -> object:
    buckets = question.buckets(first, last, insight.unit)
    log = Log(question.state, question.project)
    holds = log.filter(parse(insight.where) if insight.where else None)
    value_of = log.value(parse(insight.on)) if insight.on else None
    overall, broken_down = Series(buckets, insight.type), Series(buckets, insight.type)
    for event in log.events(buckets.starts[0], buckets.end, [name], detail=bool(insight.where or insight.on)):
        if holds(event):
            overall.add(OVERALL, event.time_ms, event.user)
            if value_of:
                broken_down.add(segment_name(value_of(event)), event.time_ms, event.user)
    labels = {label: _with_offset(question, label) for label in buckets.labels}
    total = _every_date(overall.values().get(OVERALL, {}), labels)
    if value_of is None:
        return total
    return {OVERALL: total} | {value: _every_date(counts, labels) for value, counts in broken_down.values().items()}


def _every_date(counts: dict[str, float], labels: dict[str, str]) -> dict[str, float]:
    return {shown: counts.get(label, 0) for label, shown in labels.items()}


def _with_offset(question: Question, label: str) -> str:
    return datetime.fromisoformat(label).replace(tzinfo=question.project.zone).isoformat()


def _insight(question: Question) -> Insight:
    required(question.parameters, "bookmark_id")
    bookmark_id = read_integer(question.parameters, "bookmark_id", least=0)
    saved = question.state.part(SavedReports).insights(question.project)
    insight = saved.get(bookmark_id or 0)
    if insight is None:
        raise Refusal(
            400, f"bookmark_id {bookmark_id} is not a saved report of this project, which has {sorted(saved)}"
        )
    return insight


def _dates(question: Question, insight: Insight) -> tuple[date, date]:
    first, last = question.today - timedelta(days=insight.last_days - 1), question.today
    if insight.from_date and insight.to_date:
        first, last = insight.from_date, insight.to_date
    question.check_history(first)
    return first, last
