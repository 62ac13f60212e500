"""`GET /funnels` and `/funnels/list`: the numbers of users in the steps of saved funnels.

Source: mixpanel-api.md#query-funnels.

A user enters a funnel once in each interval of dates (and, broken down, once for each value), with the first event of
its first step. The length of the funnel counts from there; each further step is the first matching event after the
previous step, also after to_date.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from itertools import pairwise
from typing import NamedTuple

from mixpanel_etl.expressions import Expression, parse
from mixpanel_etl.sandbox.apis.query.models import SavedReports
from mixpanel_etl.sandbox.apis.query.query_request import QueryRequest
from mixpanel_etl.sandbox.apis.query.segments import OVERALL, most_common, segment_name
from mixpanel_etl.sandbox.engine.buckets import Buckets, blocks_of
from mixpanel_etl.sandbox.engine.event_log import Event, EventLog
from mixpanel_etl.sandbox.engine.query_parameters import read_integer, required
from mixpanel_etl.sandbox.engine.responses import ApiError
from mixpanel_etl.sandbox.engine.saved_reports import MAX_LENGTH_SECONDS, SECONDS, Funnel, FunnelStep

DEFAULT_LIMIT = 255
MAX_LIMIT = 10_000


def funnel_list(query: QueryRequest) -> object:
    """`GET /funnels/list`."""
    saved = query.state.api_state(SavedReports).funnels(query.project)
    return [{"funnel_id": funnel.funnel_id, "name": funnel.name} for funnel in saved.values()]


def funnels(query: QueryRequest) -> object:
    """`GET /funnels`: steps and analysis for each date; with `on`, the steps for each value and `$overall`."""
    funnel = _funnel(query)
    on = query.expression("on")
    buckets = _buckets(query)
    results = _Results(len(funnel.steps))
    for attempt in _attempts(query, funnel, buckets, on):
        results.add(attempt)
    limit = query.count("limit", DEFAULT_LIMIT, MAX_LIMIT)
    dates = list(dict.fromkeys(buckets.labels))
    stages = funnel.stages
    if on is None:
        data: dict[str, object] = {date: results.steps_and_analysis(date, OVERALL, stages) for date in dates}
    else:
        kept = [OVERALL, *results.largest(limit)]
        data = {date: {name: results.steps(date, name, stages) for name in kept} for date in dates}
    return {"meta": {"dates": dates}, "data": data}


def steps_by_segment(
    query: QueryRequest, funnel: Funnel, first: date, last: date, on: Expression | None
) -> dict[str, list[dict[str, object]]]:
    """The steps of a funnel by segment, `$overall` first, of the users who entered in some days."""
    buckets = query.buckets(first, last, "all")
    results = _Results(len(funnel.steps))
    for attempt in _attempts(query, funnel, buckets, on):
        results.add(attempt)
    names = [OVERALL, *(results.largest(DEFAULT_LIMIT) if on else ())]
    return {name: results.steps(buckets.labels[0], name, funnel.stages) for name in names}


class _Attempt(NamedTuple):
    """One user in a funnel: the times of the reached steps."""

    date: str
    segment: str
    times: list[int]


def _attempts(query: QueryRequest, funnel: Funnel, buckets: Buckets, on: Expression | None) -> Iterator[_Attempt]:
    length_ms = _length_ms(query, funnel)
    log = EventLog(query.state, query.project)
    where = query.expression("where")
    holds, value_of = log.filter(where), log.value(on) if on else None
    steps = [_matcher(log, step) for step in funnel.stages]
    names = sorted({name for step in funnel.stages for name in step.names})
    detail = bool(where or on or any(step.where for step in funnel.stages))
    by_user: dict[str, list[tuple[int, int, str]]] = defaultdict(list)
    for event in log.events(buckets.starts[0], buckets.end + length_ms, names, detail=detail, ordered=True):
        taken = sum(1 << number for number, matches in enumerate(steps) if matches(event))
        if taken and event.user is not None and holds(event):
            segment = segment_name(value_of(event)) if value_of and taken & 1 else ""
            by_user[event.user].append((event.time_ms, taken, segment))
    for history in by_user.values():
        yield from _entries(history, buckets, len(steps), length_ms, broken_down=on is not None)


def _matcher(log: EventLog, step: FunnelStep) -> Callable[[Event], bool]:
    names = frozenset(step.names)
    holds = log.filter(parse(step.where) if step.where else None)
    return lambda event: event.name in names and holds(event)


def _entries(
    history: Sequence[tuple[int, int, str]], buckets: Buckets, steps: int, length_ms: int, *, broken_down: bool
) -> Iterator[_Attempt]:
    """The attempts of one user, whose events are (time, the steps they can be as bits, segment) in order."""
    entered: set[tuple[str, str]] = set()
    for number, (time_ms, taken, segment) in enumerate(history):
        if not taken & 1 or time_ms >= buckets.end:
            continue
        date = buckets.label(time_ms)
        wanted = [name for name in ((OVERALL, segment) if broken_down else (OVERALL,)) if (date, name) not in entered]
        if wanted:
            times = _step_times(history[number:], steps, length_ms)
            for name in wanted:
                entered.add((date, name))
                yield _Attempt(date, name, times)


def _step_times(history: Sequence[tuple[int, int, str]], steps: int, length_ms: int) -> list[int]:
    """The times of the steps in order, from the first event on and within the length."""
    start = history[0][0]
    times: list[int] = []
    for time_ms, taken, _ in history:
        if time_ms - start > length_ms:
            break
        if taken >> len(times) & 1:
            times.append(time_ms)
            if len(times) == steps:
                break
    return times


class _Results:
    """Attempts by date and segment: the counts of each step, and the times between them."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._attempts: dict[tuple[str, str], list[list[int]]] = defaultdict(list)

    def add(self, attempt: _Attempt) -> None:
        self._attempts[attempt.date, attempt.segment].append(attempt.times)

    def largest(self, limit: int) -> list[str]:
        """The segments with the most users."""
        sizes: dict[str, int] = defaultdict(int)
        for (_, segment), attempts in self._attempts.items():
            sizes[segment] += len(attempts)
        return most_common([(size, segment) for segment, size in sizes.items() if segment != OVERALL], limit)

    def steps(self, date: str, segment: str, stages: Sequence[FunnelStep]) -> list[dict[str, object]]:
        attempts = self._attempts.get((date, segment), [])
        counts = self._counts(date, segment)
        return [
            {
                "count": counts[number],
                "avg_time": _mean_seconds(attempts, number, number - 1) if number else None,
                "avg_time_from_start": _mean_seconds(attempts, number, 0),
                "step_conv_ratio": _ratio(counts[number], counts[number - 1]) if number else 1,
                "overall_conv_ratio": _ratio(counts[number], counts[0]) if number else 1,
                "goal": stage.shown,
                "event": stage.shown,
                "step_label": stage.label or stage.shown,
                **({} if stage.custom_event_id is None else _custom(stage.custom_event_id)),
            }
            for number, stage in enumerate(stages)
        ]

    def steps_and_analysis(self, date: str, segment: str, stages: Sequence[FunnelStep]) -> dict[str, object]:
        counts = self._counts(date, segment)
        ratios = [_ratio(after, before) for before, after in pairwise(counts)]
        worst = 1 + ratios.index(min(ratios)) if ratios else 0
        analysis = {"completion": counts[-1], "starting_amount": counts[0], "steps": self._steps, "worst": worst}
        return {"steps": self.steps(date, segment, stages), "analysis": analysis}

    def _counts(self, date: str, segment: str) -> list[int]:
        attempts = self._attempts.get((date, segment), [])
        return [sum(len(times) > number for times in attempts) for number in range(self._steps)]


def _funnel(query: QueryRequest) -> Funnel:
    required(query.parameters, "funnel_id")
    funnel_id = read_integer(query.parameters, "funnel_id", minimum=0)
    saved = query.state.api_state(SavedReports).funnels(query.project)
    funnel = saved.get(funnel_id or 0)
    if funnel is None:
        raise ApiError(400, f"funnel_id {funnel_id} is not a saved funnel of this project; known: {sorted(saved)}")
    return funnel


def _buckets(query: QueryRequest) -> Buckets:
    first, last = query.dates()
    interval = read_integer(query.parameters, "interval", minimum=1)
    if "unit" not in query.parameters:
        return blocks_of(first, last, interval or 1, query.project.stored_zone)
    if interval is not None:
        raise ApiError(400, "specify either interval or unit")
    return query.buckets(first, last, query.choice("unit", ("day", "week", "month"), "day"))


def _length_ms(query: QueryRequest, funnel: Funnel) -> int:
    length = query.count("length", funnel.length)
    # A length without unit is in the unit of the funnel.
    seconds = length * SECONDS[query.choice("length_unit", tuple(SECONDS), funnel.length_unit)]
    if seconds > MAX_LENGTH_SECONDS:
        raise ApiError(400, f"length must be at most 90 days, not {seconds // 86_400}")
    return seconds * 1000


def _mean_seconds(attempts: Sequence[Sequence[int]], step: int, since: int) -> int | None:
    taken = [times[step] - times[since] for times in attempts if len(times) > step]
    return round(sum(taken) / len(taken) / 1000) if taken else None


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0


def _custom(custom_event_id: int) -> dict[str, object]:
    return {"custom_event": True, "custom_event_id": custom_event_id}
