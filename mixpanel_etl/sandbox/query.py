"""The Query API: `GET /events` and `GET /events/names`. Specification 5.4; api-facts 3.0, 3.4.

Days are of project time. Duplicates are dropped as Mixpanel does when it is asked: one of each (event, distinct_id,
time, `$insert_id`) counts, and every row without `$insert_id`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from mixpanel_etl.sandbox.auth import Kind, authenticate
from mixpanel_etl.sandbox.buckets import buckets_of, units_before
from mixpanel_etl.sandbox.parameters import (
    Parameters,
    no_where,
    read_choice,
    read_dates,
    read_integer,
    read_names,
    required,
)
from mixpanel_etl.sandbox.projects import Project
from mixpanel_etl.sandbox.replies import Handler, Refusal, json_response
from mixpanel_etl.sandbox.state import State

TYPES = ("general", "unique", "average")
UNITS = ("minute", "hour", "day", "week", "month")
NAMES_DAYS = 31
NAMES_DEFAULT_LIMIT = 255
NAMES_MAX_LIMIT = 5000
_EARLIEST = date(2000, 1, 1)
_ACCEPTS: tuple[Kind, ...] = ("service_account", "project_secret")

Query = Callable[[State, Project, Parameters, datetime], object]


def querying(query: Query) -> Handler:
    """The endpoint of a query: authenticated, paid for, within its budget, answered as JSON."""

    async def answer(request: Request) -> Response:
        state, parameters = State.of(request), request.query_params
        now = state.clock.now()
        caller = authenticate(request, state.projects, _ACCEPTS, now, unknown="Unable to authenticate request")
        project = caller.project
        if project.plan == "free":
            raise Refusal(402, "Your plan does not allow API calls. Upgrade to use the Query API.")
        no_where(parameters)
        release = state.budgets.enter(project, "query")
        try:
            return json_response(await run_in_threadpool(query, state, project, parameters, now))
        finally:
            release()

    return answer


def event_counts(state: State, project: Project, parameters: Parameters, now: datetime) -> object:
    """`GET /events`: how often each event happened in each minute, hour, day, week or month."""
    required(parameters, "event")
    events = read_names(parameters, "event") or []
    kind, unit = read_choice(parameters, "type", TYPES), read_choice(parameters, "unit", UNITS)
    if kind == "unique" and unit in ("minute", "hour"):
        raise Refusal(400, f"type unique is not available for unit {unit}")
    if parameters.get("format", "json") != "json":
        raise Refusal(400, "format: this sandbox answers json only")
    first, last = _dates(parameters, unit, project.today(now))
    _check_history(project, first, now)
    buckets = buckets_of(first, last, unit, project.stored_zone)
    values: dict[str, dict[str, float]] = {event: {} for event in events}
    for event, label, total, users in state.store.counts(project.project_id, buckets, events):
        values[event][label] = _measure(kind, total, users)
    series = list(dict.fromkeys(buckets.labels))
    return {"data": {"series": series, "values": values}, "legend_size": len(values)}


def event_names(state: State, project: Project, parameters: Parameters, now: datetime) -> object:
    """`GET /events/names`: the most common events, by default of the last 31 days."""
    kind = read_choice(parameters, "type", TYPES)
    limit = read_integer(parameters, "limit", least=1) or NAMES_DEFAULT_LIMIT
    today = project.today(now)
    first, last = today - timedelta(days=NAMES_DAYS - 1), today
    if "from_date" in parameters or "to_date" in parameters:
        first, last = read_dates(parameters)
    if first < _EARLIEST:
        raise Refusal(400, f"from_date must not be before {_EARLIEST}")
    _check_history(project, first, now)
    counts = state.store.counts(project.project_id, buckets_of(first, last, "all", project.stored_zone), None)
    ranked = sorted((-_measure(kind, total, users), event) for event, _, total, users in counts)
    return [event for _, event in ranked[: min(limit, NAMES_MAX_LIMIT)]]


def _dates(parameters: Parameters, unit: str, today: date) -> tuple[date, date]:
    """from_date and to_date, or the last `interval` units, the present one included."""
    interval = read_integer(parameters, "interval", least=1)
    if interval is None:
        return read_dates(parameters)
    if "from_date" in parameters or "to_date" in parameters:
        raise Refusal(400, "specify either interval or from_date and to_date")
    return units_before(today, unit, interval), today


def _check_history(project: Project, first: date, now: datetime) -> None:
    history = project.max_history_days
    if history is not None and (project.today(now) - first).days > history:
        raise Refusal(403, f"Date range exceeds {history} days into the past")


def _measure(kind: str, total: int, users: int) -> float:
    return {"general": total, "unique": users, "average": total / max(users, 1)}[kind]
