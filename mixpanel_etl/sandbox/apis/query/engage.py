"""`POST /engage`: profiles, filtered, in pages. Source: mixpanel-api.md#query-profiles.

The first page opens a session with the results; later pages show these, even if profiles change. A profile that is
deleted in between is missing on its page, and `total` stays.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from mixpanel_etl.expressions import ExpressionError, parse, predicate
from mixpanel_etl.sandbox.apis.query.cohorts import members
from mixpanel_etl.sandbox.apis.query.models import SavedReports
from mixpanel_etl.sandbox.apis.query.query_request import QueryRequest
from mixpanel_etl.sandbox.engine.event_log import EventLog
from mixpanel_etl.sandbox.engine.profiles import Profile
from mixpanel_etl.sandbox.engine.query_parameters import read_integer, read_json, read_names
from mixpanel_etl.sandbox.engine.responses import ApiError
from mixpanel_etl.sandbox.engine.state import State

PAGE_SIZE = 1000
MAX_SESSIONS = 100
_WINDOW = re.compile(r"(\d{1,5})([hdw])")
_WINDOW_HOURS = {"h": 1, "d": 24, "w": 168}
# The parameters of a session, which must not change.
_QUERY = (
    *("where", "distinct_id", "distinct_ids", "output_properties", "filter_by_cohort", "include_all_users"),
    *("data_group_id", "behaviors", "as_of_timestamp", "page_size"),
)
_LATEST = 4_102_444_800  # 2100-01-01
_NO_PROPERTIES: Mapping[str, Any] = {}


def engage(query: QueryRequest) -> object:
    page = read_integer(query.parameters, "page", minimum=0) or 0
    size = query.count("page_size", PAGE_SIZE, PAGE_SIZE)
    session_id = query.parameters.get("session_id")
    sessions = query.state.api_state(EngageSessions)
    if page and "behaviors" in query.parameters and "as_of_timestamp" not in query.parameters:
        raise ApiError(400, "request for page in uncached query for params")
    if not session_id and page:
        raise ApiError(400, f"page {page} requires the session_id that came with page 0")
    if not session_id:
        session_id = sessions.open(query, list(_results(query)))
    results = sessions.results(query, session_id)
    return {
        "page": page,
        "page_size": size,
        "session_id": session_id,
        "status": "ok",
        "total": len(results),
        "results": _without_deleted(query, results[page * size : (page + 1) * size]),
    }


class _Found(NamedTuple):
    shown: dict[str, Any]
    has_profile: bool


def _without_deleted(query: QueryRequest, page: list[_Found]) -> list[dict[str, Any]]:
    profiles = _profiles(query)
    return [found.shown for found in page if not found.has_profile or found.shown["$distinct_id"] in profiles]


def data_group_id(project_id: int, group_key: str) -> str:
    """The `data_group_id` of a group key: a large signed integer, as a string. Invented, but reproducible."""
    digest = hashlib.blake2b(f"{project_id} {group_key}".encode(), digest_size=8).digest()
    return str(int.from_bytes(digest, "big", signed=True))


class _Session(NamedTuple):
    project_id: int
    query: tuple[str | None, ...]
    results: list[_Found]


class EngageSessions:
    """The results of the last hundred queries."""

    def __init__(self, state: State) -> None:
        self._lock = state.lock
        self._sessions: OrderedDict[str, _Session] = OrderedDict()

    def open(self, query: QueryRequest, results: list[_Found]) -> str:
        """Store results. Returns the id of the session."""
        session_id = f"{int(query.now.timestamp())}-{secrets.token_hex(3).upper()}"
        with self._lock:
            self._sessions[session_id] = _Session(query.project.project_id, _query_of(query), results)
            while len(self._sessions) > MAX_SESSIONS:
                self._sessions.popitem(last=False)
        return session_id

    def results(self, query: QueryRequest, session_id: str) -> list[_Found]:
        """Raises ApiError 400 for an unknown session, and for a session of another query."""
        with self._lock:
            session = self._sessions.get(session_id)
        if session is None or session.project_id != query.project.project_id:
            raise ApiError(400, f"session_id {session_id!r} is unknown or has expired: start again with page 0")
        for name, before, now in zip(_QUERY, session.query, _query_of(query), strict=True):
            if before != now:
                raise ApiError(400, f"{name} must stay as it was on page 0 of the session")
        return session.results


def _query_of(query: QueryRequest) -> tuple[str | None, ...]:
    return tuple(query.parameters.get(name) for name in _QUERY)


def _results(query: QueryRequest) -> Iterator[_Found]:
    """The requested profiles with the requested properties."""
    holds = _Filter(query)
    shown = read_names(query.parameters, "output_properties")
    for distinct_id, profile in _candidates(query):
        properties = profile.properties if profile else _NO_PROPERTIES
        if holds(distinct_id, properties):
            kept = properties if shown is None else {name: properties[name] for name in shown if name in properties}
            yield _Found({"$distinct_id": distinct_id, "$properties": kept}, profile is not None)


def _candidates(query: QueryRequest) -> Iterator[tuple[str, Profile | None]]:
    """Profiles by id; ids without one only in a cohort, unless `include_all_users` is false."""
    profiles = _profiles(query)
    ids: list[str] = list(profiles)
    if "filter_by_cohort" in query.parameters:
        everyone = query.parameters.get("include_all_users", "true").lower() in ("1", "true")
        ids = [member for member in _cohort_members(query) if everyone or member in profiles]
    for name in ("distinct_id", "distinct_ids"):
        if name in query.parameters:
            wanted = [query.parameters[name]] if name == "distinct_id" else read_names(query.parameters, name)
            ids = [distinct_id for distinct_id in ids if distinct_id in set(wanted or ())]
    for distinct_id in ids:
        yield distinct_id, profiles.get(distinct_id)


def _profiles(query: QueryRequest) -> dict[str, Profile]:
    state, project_id = query.state, query.project.project_id
    wanted = query.parameters.get("data_group_id")
    if not wanted:
        return state.profiles.users(project_id)
    keys = dict.fromkeys([*query.project.group_keys, *state.profiles.group_keys(project_id)])
    known = {data_group_id(project_id, key): key for key in keys}
    if wanted not in known:
        names = ", ".join(f"{number} for {key}" for number, key in known.items())
        raise ApiError(400, f"unknown data_group_id {wanted}; the project has {names or 'no groups'}")
    return state.profiles.groups(project_id, known[wanted])


class _CohortFilter(msgspec.Struct):
    id: int


def _cohort_members(query: QueryRequest) -> list[str]:
    if "behaviors" in query.parameters:
        raise ApiError(400, "behaviors and filter_by_cohort are mutually exclusive")
    expected = 'a JSON object such as {"id":12345}'
    cohort_id = read_json(query.parameters, "filter_by_cohort", _CohortFilter, expected).id
    cohort = query.state.api_state(SavedReports).cohorts(query.project).get(cohort_id)
    if cohort is None:
        raise ApiError(400, f"filter_by_cohort: cohort {cohort_id} does not exist")
    return members(query, cohort)


class _Filter:
    """`where`, over a profile and the behaviors of its user."""

    def __init__(self, query: QueryRequest) -> None:
        where = query.expression("where")
        self._holds = predicate(where, query.project.zone) if where else None
        self._behaviors = _behaviors(query)

    def __call__(self, distinct_id: str, properties: Mapping[str, Any]) -> bool:
        if self._holds is None:
            return True
        behaviors = {name: counts.get(distinct_id, 0) for name, counts in self._behaviors.items()}
        return self._holds({"properties": properties, "user": properties, "behaviors": behaviors})


class _Selector(msgspec.Struct):
    event: str
    selector: str | None = None


class _Behavior(msgspec.Struct):
    name: str
    window: str
    event_selectors: list[_Selector]


def _behaviors(query: QueryRequest) -> dict[str, dict[str, int]]:
    """For each behavior, its number by user in its window up to `as_of_timestamp` or now."""
    text = query.parameters.get("behaviors")
    if not text:
        return {}
    try:
        behaviors = msgspec.json.decode(text, type=list[_Behavior])
    except msgspec.DecodeError as error:
        raise ApiError(400, f"behaviors must be a JSON array of name, window and event_selectors: {error}") from None
    as_of = read_integer(query.parameters, "as_of_timestamp", minimum=0, maximum=_LATEST)
    until = query.now if as_of is None else datetime.fromtimestamp(as_of, UTC)
    return {behavior.name: _counts(query, behavior, until) for behavior in behaviors}


def _counts(query: QueryRequest, behavior: _Behavior, until: datetime) -> dict[str, int]:
    window = _WINDOW.fullmatch(behavior.window)
    if window is None:
        wanted = "a number of hours, days or weeks such as 90d"
        raise ApiError(400, f"behaviors: window must be {wanted}, not {behavior.window!r}")
    start = until - timedelta(hours=int(window[1]) * _WINDOW_HOURS[window[2]])
    log = EventLog(query.state, query.project)
    try:
        selectors = [
            (each.event, log.filter(parse(each.selector) if each.selector else None))
            for each in behavior.event_selectors
        ]
    except ExpressionError as error:
        raise ApiError(400, f"error parsing behaviors: {error}") from None
    counts: dict[str, int] = {}
    names = [name for name, _ in selectors]
    for event in log.events(query.stored_ms(start), query.stored_ms(until) + 1, names):
        if event.user is not None and any(event.name == name and holds(event) for name, holds in selectors):
            counts[event.user] = counts.get(event.user, 0) + 1
    return counts
