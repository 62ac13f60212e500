"""`GET /segmentation`, `/segmentation/numeric`, `/sum`, `/average`. Source: mixpanel-api.md#query-segmentation."""

from __future__ import annotations

import math
from collections.abc import Iterator

from mixpanel_etl.expressions import Expression, Value
from mixpanel_etl.sandbox.apis.query.query_request import QueryRequest
from mixpanel_etl.sandbox.apis.query.segments import segment_name
from mixpanel_etl.sandbox.apis.query.time_series import Series, over_time
from mixpanel_etl.sandbox.engine.buckets import Buckets, blocks_of
from mixpanel_etl.sandbox.engine.event_log import Event, EventLog
from mixpanel_etl.sandbox.engine.json_values import is_number
from mixpanel_etl.sandbox.engine.query_parameters import read_integer, required
from mixpanel_etl.sandbox.engine.responses import ApiError

DEFAULT_LIMIT = 60
MAX_LIMIT = 10_000
DEFAULT_BUCKETS = 10
MAX_BUCKETS = 1000


def segmentation(query: QueryRequest) -> object:
    """Counts of one event over time, for each value of `on`."""
    kind, unit = query.type_and_unit("day", "general")
    query.json_only()
    on = query.expression("on")
    limit = query.count("limit", DEFAULT_LIMIT, MAX_LIMIT) if on else None
    buckets = _buckets(query, kind, unit)
    name = required(query.parameters, "event")
    series = Series(buckets, kind)
    for event, value in _values(query, buckets, on):
        series.add(segment_name(value) if on else name, event.time_ms, event.user)
    values = series.values(limit)
    return over_time(buckets, values if on else {name: {}, **values})


def numeric(query: QueryRequest) -> object:
    """Counts of one event over time, for ranges of the numeric values of `on`. Other values are left out."""
    kind, unit = query.type_and_unit("day", "general")
    ranges = query.count("buckets", DEFAULT_BUCKETS, MAX_BUCKETS)
    buckets = _buckets(query, kind, unit)
    values = _values(query, buckets, _required_on(query))
    numbers = [(event.time_ms, event.user, value) for event, value in values if _is_finite(value)]
    if not numbers:
        return over_time(buckets, {})
    width = _width(min(value for *_, value in numbers), max(value for *_, value in numbers), ranges)
    series = Series(buckets, kind)
    lows: dict[str, float] = {}
    for time_ms, user, value in numbers:
        low = _steps(value, width) * width
        name = f"{low:,.12g} - {low + width:,.12g}"
        lows[name] = low
        series.add(name, time_ms, user)
    counts = series.values()
    return over_time(buckets, {name: counts[name] for name in sorted(counts, key=lows.__getitem__)})


def total(query: QueryRequest) -> object:
    """The sum of `on` over the events of each unit of time; non-numeric values count as 0."""
    sums = {label: math.fsum(numbers) for label, numbers in _by_label(query).items()}
    return {"status": "ok", "computed_at": query.now.isoformat(), "results": sums}


def average(query: QueryRequest) -> object:
    """The mean of `on` over the events of each unit of time that has any; non-numeric values count as 0."""
    means = {label: math.fsum(numbers) / len(numbers) for label, numbers in _by_label(query).items() if numbers}
    return {"status": "ok", "results": means}


def _buckets(query: QueryRequest, kind: str, unit: str) -> Buckets:
    """Units of time, or blocks of `interval` days instead."""
    first, last = query.dates()
    interval = read_integer(query.parameters, "interval", minimum=1)
    if interval is None:
        return query.buckets(first, last, unit)
    if kind == "general" or "unit" in query.parameters:
        raise ApiError(400, "interval takes the place of unit when type is unique or average")
    return blocks_of(first, last, interval, query.project.stored_zone)


def _values(query: QueryRequest, buckets: Buckets, on: Expression | None) -> Iterator[tuple[Event, Value]]:
    """The matching events, with the value of `on`."""
    log = EventLog(query.state, query.project)
    where = query.expression("where")
    holds, value_of = log.filter(where), log.value(on) if on else None
    names = [required(query.parameters, "event")]
    for event in log.events(buckets.starts[0], buckets.end, names, detail=bool(where or on)):
        if holds(event):
            yield event, value_of(event) if value_of else None


def _by_label(query: QueryRequest) -> dict[str, list[float]]:
    _, unit = query.type_and_unit("day", "general")
    buckets = query.buckets(*query.dates(), unit)
    numbers: dict[str, list[float]] = {label: [] for label in buckets.labels}
    for event, value in _values(query, buckets, _required_on(query)):
        numbers[buckets.label(event.time_ms)].append(value if _is_finite(value) else 0.0)
    return numbers


def _required_on(query: QueryRequest) -> Expression:
    required(query.parameters, "on")
    on = query.expression("on")
    assert on is not None  # noqa: S101 - it is required
    return on


def _is_finite(value: Value) -> bool:
    return is_number(value) and abs(value) < 1e300


def _width(lowest: float, highest: float, ranges: int) -> float:
    """The smallest of 1, 2, 5, 10, ... (or a tenth of them, ...) that covers the numbers in `ranges` ranges."""
    step = (highest - lowest) / ranges
    power = math.floor(math.log10(step)) if step else 0
    for step in (factor * 10.0**exponent for exponent in range(power, power + 3) for factor in (1, 2, 5)):
        if _steps(highest, step) - _steps(lowest, step) < ranges:
            return step
    return highest - lowest  # unreachable: the last of the steps is a hundred times wider than needed


def _steps(value: float, width: float) -> int:
    """Number of full widths below a value; 0.3 has three of 0.1, despite binary fractions."""
    return math.floor(round(value / width, 9))
