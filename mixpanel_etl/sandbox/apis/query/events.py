"""`GET /events/...`: counts and names of events, their properties and values.

Source: mixpanel-api.md#query-events.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import date, timedelta

from mixpanel_etl.expressions import UNDEFINED
from mixpanel_etl.sandbox.apis.query.query_request import TYPES, QueryRequest
from mixpanel_etl.sandbox.apis.query.segments import most_common, segment_name
from mixpanel_etl.sandbox.apis.query.time_series import Series, measure, over_time
from mixpanel_etl.sandbox.engine.event_log import Event, EventLog
from mixpanel_etl.sandbox.engine.query_parameters import no_where, read_choice, read_dates, read_names, required
from mixpanel_etl.sandbox.engine.responses import ApiError

RECENT_DAYS = 31
NAMES_DEFAULT_LIMIT = 255
MAX_NAMES = 5000
TOP_DEFAULT_LIMIT = 100
PROPERTIES_DEFAULT_LIMIT = 10
VALUES_DEFAULT_LIMIT = 255
_EARLIEST = date(2000, 1, 1)
# In the `properties` of every event, but not counted as properties.
_NOT_PROPERTIES = frozenset({"time", "distinct_id", "$time", "$distinct_id"})


def event_counts(query: QueryRequest) -> object:
    """`GET /events`: counts of each event by minute, hour, day, week or month."""
    no_where(query.parameters)
    required(query.parameters, "event")
    events = read_names(query.parameters, "event") or []
    kind, unit = query.type_and_unit()
    query.json_only()
    buckets = query.buckets(*query.dates_or_interval(unit), unit)
    values: dict[str, dict[str, float]] = {event: {} for event in events}
    for event, label, total, users in query.state.store.counts(query.project.project_id, buckets, events):
        values[event][label] = measure(kind, total, users)
    return over_time(buckets, values)


def event_names(query: QueryRequest) -> object:
    """`GET /events/names`: the most common events, by default of the last 31 days."""
    kind = read_choice(query.parameters, "type", TYPES)
    limit = query.count("limit", NAMES_DEFAULT_LIMIT)
    counts = query.state.store.counts(query.project.project_id, query.buckets(*_recent_or_dates(query), "all"), None)
    ranked = [(measure(kind, total, users), event) for event, _, total, users in counts]
    return most_common(ranked, min(limit, MAX_NAMES))


def top_events(query: QueryRequest) -> object:
    """`GET /events/top`: today's most common events, compared with the same part of yesterday."""
    kind = read_choice(query.parameters, "type", TYPES)
    limit = query.count("limit", TOP_DEFAULT_LIMIT)
    today = query.today
    amounts = _amounts(query, kind, today)
    before = _amounts(query, kind, today - timedelta(days=1))
    share = _elapsed_share(query, today)
    ranked = [(amount, name) for name, amount in amounts.items()]
    return {
        "events": [
            {"amount": amounts[name], "event": name, "percent_change": _change(amounts[name], before[name] * share)}
            for name in most_common(ranked, limit)
        ],
        "type": kind,
    }


def property_counts(query: QueryRequest) -> object:
    """`GET /events/properties`: counts of an event by value of a property, over time."""
    kind, unit = query.type_and_unit()
    query.json_only()
    limit = query.count("limit", VALUES_DEFAULT_LIMIT)
    wanted = read_names(query.parameters, "values")
    buckets = query.buckets(*query.dates_or_interval(unit), unit)
    series = Series(buckets, kind)
    name = required(query.parameters, "name")
    for event in _events(query, buckets.starts[0], buckets.end):
        value = event.properties.get(name, UNDEFINED)
        if value is not UNDEFINED and (wanted is None or segment_name(value) in wanted):
            series.add(segment_name(value), event.time_ms, event.user)
    return over_time(buckets, series.values(limit))


def top_properties(query: QueryRequest) -> object:
    """`GET /events/properties/top`: the most common properties of an event, by default ten."""
    limit = query.count("limit", PROPERTIES_DEFAULT_LIMIT)
    counts: Counter[str] = Counter()
    for event in _recent_events(query):
        counts.update(event.properties.keys() - _NOT_PROPERTIES)
    ranked = [(count, name) for name, count in counts.items()]
    return {name: {"count": counts[name]} for name in most_common(ranked, limit)}


def property_values(query: QueryRequest) -> object:
    """`GET /events/properties/values`: the most common values of a property of an event, as strings."""
    limit = query.count("limit", VALUES_DEFAULT_LIMIT)
    name = required(query.parameters, "name")
    counts: Counter[str] = Counter()
    for event in _recent_events(query):
        value = event.properties.get(name, UNDEFINED)
        if value is not UNDEFINED:
            counts[segment_name(value)] += 1
    return most_common([(count, value) for value, count in counts.items()], limit)


def _recent_events(query: QueryRequest) -> Iterator[Event]:
    buckets = query.buckets(*_recent_or_dates(query), "all")
    return _events(query, buckets.starts[0], buckets.end)


def _recent_or_dates(query: QueryRequest) -> tuple[date, date]:
    first, last = query.today - timedelta(days=RECENT_DAYS - 1), query.today
    if "from_date" in query.parameters or "to_date" in query.parameters:
        first, last = read_dates(query.parameters)
    if first < _EARLIEST:
        raise ApiError(400, f"from_date must not be before {_EARLIEST}")
    query.check_history(first)
    return first, last


def _events(query: QueryRequest, start_ms: int, end_ms: int) -> Iterator[Event]:
    no_where(query.parameters)
    names = [required(query.parameters, "event")]
    return EventLog(query.state, query.project).events(start_ms, end_ms, names)


def _amounts(query: QueryRequest, kind: str, day: date) -> defaultdict[str, float]:
    counts = query.state.store.counts(query.project.project_id, query.buckets(day, day, "all"), None)
    return defaultdict(float, {name: measure(kind, total, users) for name, _, total, users in counts})


def _elapsed_share(query: QueryRequest, today: date) -> float:
    day = query.buckets(today, today, "day")
    return (query.stored_ms(query.now) - day.starts[0]) / (day.end - day.starts[0])


def _change(amount: float, expected: float) -> float:
    return (amount - expected) / expected if expected else 1.0
