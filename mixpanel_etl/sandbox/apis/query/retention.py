"""`GET /retention` and `/retention/addiction`: users who return. Source: mixpanel-api.md#query-retention.

Retention counts from each user's own first event: interval k is k to k + 1 intervals after it (a day is 24 hours, a
month 30 days), including the 0th, also after to_date. That event itself is not a return.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice

from mixpanel_etl.sandbox.apis.query.query_request import QueryRequest
from mixpanel_etl.sandbox.apis.query.segments import OVERALL, most_common, segment_name
from mixpanel_etl.sandbox.engine.buckets import Buckets, blocks_of
from mixpanel_etl.sandbox.engine.event_log import EventLog
from mixpanel_etl.sandbox.engine.query_parameters import read_choice, read_flag, required
from mixpanel_etl.sandbox.engine.responses import ApiError
from mixpanel_etl.sandbox.engine.saved_reports import SECONDS

UNITS = ("day", "week", "month")
DEFAULT_LIMIT = 255
MAX_DAYS = 90
MAX_INTERVALS = 1000

_Action = tuple[int, bool, bool, str]  # time, whether it can be the first event, whether a return, segment


def retention(query: QueryRequest) -> object:
    """`GET /retention`: for each date the users who began, and how many of them returned in each interval."""
    found = cohorts_by_date(query)
    return found if "on" in query.parameters else {date: cohort[OVERALL] for date, cohort in found.items()}


def cohorts_by_date(query: QueryRequest) -> dict[str, dict[str, dict[str, object]]]:
    """The cohorts of each date by segment, `$overall` first."""
    kind = query.choice("retention_type", ("birth", "compounded"), "birth")
    unit = query.choice("unit", UNITS, "day")
    size = query.count("interval", 1)
    if unit == "day" and size > MAX_DAYS:
        raise ApiError(400, f"interval cannot be over {MAX_DAYS} days, not {size}")
    intervals = query.count("interval_count", 1, MAX_INTERVALS) + 1
    if kind == "birth":
        required(query.parameters, "born_event")
    buckets = _buckets(query, unit, size)
    interval_ms = size * SECONDS[unit] * 1000
    cohorts = _Cohorts(buckets, interval_ms, intervals, unbounded=read_flag(query.parameters, "unbounded_retention"))
    for history in _histories(query, buckets, kind, interval_ms * intervals):
        cohorts.add(history, again=kind == "compounded")
    is_segmented = "on" in query.parameters
    names = [OVERALL, *(cohorts.largest(query.count("limit", DEFAULT_LIMIT)) if is_segmented else ())]
    return {date: {name: cohorts.row(date, name) for name in names} for date in cohorts.dates}


def addiction(query: QueryRequest) -> object:
    """`GET /retention/addiction`: element i of a date counts the users active in more than i of its hours or days."""
    unit = read_choice(query.parameters, "unit", UNITS)
    part = read_choice(query.parameters, "addiction_unit", ("hour", "day"))
    first, last = query.dates()
    buckets = query.buckets(first, last, unit)
    parts = query.buckets(first, last, part)
    active: dict[tuple[str, str], dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    on = query.expression("on")
    for user, time_ms, segment in _actions(query, buckets):
        for name in (OVERALL, segment) if on else (OVERALL,):
            active[buckets.label(time_ms), name][user].add(parts.label(time_ms))
    dates = list(dict.fromkeys(buckets.labels))
    lengths = {date: _days_of(date, unit) * (24 if part == "hour" else 1) for date in dates}
    rows = {
        (date, name): [sum(len(labels) > number for labels in users.values()) for number in range(lengths[date])]
        for (date, name), users in active.items()
    }
    if on is None:
        return {"data": {date: rows.get((date, OVERALL), [0] * lengths[date]) for date in dates}}
    names = [OVERALL, *_largest(((name, row[0]) for (_, name), row in rows.items()), query)]
    return {"data": {date: {name: rows.get((date, name), [0] * lengths[date]) for name in names} for date in dates}}


def _histories(query: QueryRequest, buckets: Buckets, kind: str, reach_ms: int) -> Iterator[list[_Action]]:
    """The actions of each user, ordered by time."""
    parameters, log = query.parameters, EventLog(query.state, query.project)
    event, born_event = parameters.get("event"), parameters.get("born_event")
    where, born_where, on = (query.expression(name) for name in ("where", "born_where", "on"))
    returns, begins, value_of = log.filter(where), log.filter(born_where), log.value(on) if on else None
    names = None if not event else [event, born_event] if kind == "birth" and born_event else [event]
    histories: dict[str, list[_Action]] = defaultdict(list)
    detail = bool(where or born_where or on)
    for action in log.events(buckets.starts[0], buckets.end + reach_ms, names, detail=detail, ordered=True):
        is_return = (not event or action.name == event) and returns(action)
        is_birth = is_return if kind == "compounded" else action.name == born_event and begins(action)
        if action.user is not None and (is_return or is_birth):
            segment = segment_name(value_of(action)) if value_of else ""
            histories[action.user].append((action.time_ms, is_birth, is_return, segment))
    yield from histories.values()


class _Cohorts:
    """How many users begin at each date, and how many of them return in each interval, by segment of the return."""

    def __init__(self, buckets: Buckets, interval_ms: int, intervals: int, *, unbounded: bool) -> None:
        self.dates = list(dict.fromkeys(buckets.labels))
        self._buckets, self._interval_ms, self._intervals, self._unbounded = buckets, interval_ms, intervals, unbounded
        self._first: dict[str, int] = defaultdict(int)
        self._counts: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0] * intervals)

    def add(self, history: Sequence[_Action], *, again: bool) -> None:
        """Count one user: in the cohort of the first event or, `again`, in that of each date at which there is one."""
        seen: set[str] = set()
        for number, (time_ms, is_birth, _, _) in enumerate(history):
            if not is_birth or time_ms >= self._buckets.end or (seen and not again):
                continue
            date = self._buckets.label(time_ms)
            if date not in seen:
                seen.add(date)
                self._first[date] += 1
                for name, retained in self._returns(time_ms, islice(history, number + 1, None)).items():
                    self._count(date, name, retained)

    def row(self, date: str, name: str) -> dict[str, object]:
        return {"counts": self._counts.get((date, name), [0] * self._intervals), "first": self._first[date]}

    def largest(self, limit: int) -> list[str]:
        totals: dict[str, int] = defaultdict(int)
        for (_, name), counts in self._counts.items():
            totals[name] += sum(counts)
        return most_common([(total, name) for name, total in totals.items() if name != OVERALL], limit)

    def _returns(self, start_ms: int, later: Iterator[_Action]) -> Mapping[str, set[int]]:
        """The intervals in which a user returns, in all and for each segment."""
        retained: dict[str, set[int]] = defaultdict(set)
        for time_ms, _, is_return, segment in later:
            interval = (time_ms - start_ms) // self._interval_ms
            if interval >= self._intervals:
                break
            if is_return:
                retained[OVERALL].add(interval)
                retained[segment].add(interval)
        return retained

    def _count(self, date: str, name: str, retained: set[int]) -> None:
        counts = self._counts[date, name]
        for interval in range(self._intervals):
            counts[interval] += max(retained) >= interval if self._unbounded else interval in retained


def _actions(query: QueryRequest, buckets: Buckets) -> Iterator[tuple[str, int, str]]:
    """(user, time, segment) of the matching events."""
    log = EventLog(query.state, query.project)
    where, on = query.expression("where"), query.expression("on")
    holds, value_of = log.filter(where), log.value(on) if on else None
    event = query.parameters.get("event")
    for action in log.events(buckets.starts[0], buckets.end, [event] if event else None, detail=bool(where or on)):
        if action.user is not None and holds(action):
            yield action.user, action.time_ms, segment_name(value_of(action)) if value_of else ""


def _buckets(query: QueryRequest, unit: str, size: int) -> Buckets:
    """Where cohorts begin: blocks of `size` days, or calendar weeks and months; several of those are one cohort."""
    first, last = query.dates()
    if unit == "day":
        return blocks_of(first, last, size, query.project.stored_zone)
    units = query.buckets(first, last, unit)
    return Buckets(units.starts[::size], units.labels[::size], units.end)


def _largest(counts: Iterator[tuple[str, int]], query: QueryRequest) -> list[str]:
    totals: dict[str, int] = defaultdict(int)
    for name, count in counts:
        totals[name] += count
    ranked = [(total, name) for name, total in totals.items() if name != OVERALL]
    return most_common(ranked, query.count("limit", DEFAULT_LIMIT))


def _days_of(date: str, unit: str) -> int:
    first = datetime.fromisoformat(date)
    if unit == "month":
        return ((first.replace(day=28) + timedelta(days=4)).replace(day=1) - first).days
    return {"day": 1, "week": 7}[unit]
