"""`POST /jql`: queries in JavaScript, run by quickjs in a process of their own. Source: mixpanel-api.md#query-jql.

A script's main() only describes its records. The process returns that description, gets the records, and transforms
them. It never calls back, has no network, and is killed after its maximum time.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from threading import Timer
from typing import Any

import msgspec

from mixpanel_etl.expressions import ExpressionError, Sources, parse, predicate
from mixpanel_etl.sandbox.apis.query.query_request import QueryRequest
from mixpanel_etl.sandbox.engine.clock import milliseconds
from mixpanel_etl.sandbox.engine.event_log import Event, EventLog
from mixpanel_etl.sandbox.engine.profiles import Profile
from mixpanel_etl.sandbox.engine.projects import Project
from mixpanel_etl.sandbox.engine.query_parameters import read_dates, required
from mixpanel_etl.sandbox.engine.responses import ApiError

_WORKER = Path(__file__).with_name("jql_worker.py")
_NOT_IN_PROPERTIES = frozenset({"time", "distinct_id", "$distinct_id"})
_Record = dict[str, Any]


def jql(query: QueryRequest) -> object:
    """The result of the script's main(). Raises ApiError 400 for errors in it."""
    script = required(query.parameters, "script")
    parameters = _parameters(query)
    with _Engine(query.project) as engine:
        source = engine.source(script, parameters)
        return msgspec.Raw(engine.result(_records(query, source)))


class _Engine:
    """A process with a JavaScript engine for one script. Use it as a context manager."""

    def __init__(self, project: Project) -> None:
        if find_spec("quickjs") is None:
            raise ApiError(501, "the sandbox has no JavaScript engine: pip install 'mixpanel_etl[jql]'")
        self._project = project
        self._left = project.jql_seconds
        command = [sys.executable, "-I", str(_WORKER)]
        self._process = Popen(command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env={})  # noqa: S603 - our own

    def __enter__(self) -> _Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def source(self, script: str, parameters: bytes) -> _Source:
        """The description of the records of main()."""
        wanted = {
            "before": [_prelude()],
            "parameters": parameters.decode(),
            "script": script,
            "seconds": self._project.jql_seconds,
            "megabytes": self._project.jql_megabytes,
        }
        text = self._call(msgspec.json.encode(wanted))
        try:
            return msgspec.json.decode(text, type=_Source)
        except msgspec.MsgspecError as error:
            raise ApiError(400, f"Events(), People() or join() with wrong arguments: {error}") from None

    def result(self, records: Iterable[_Record]) -> bytes:
        """The records after the transformations, as JSON."""
        text = self._call(b"[%b]" % b",".join(map(msgspec.json.encode, records)))
        try:
            msgspec.json.decode(text, type=msgspec.Raw)
        except msgspec.DecodeError:
            raise ApiError(400, "Uncaught exception the result is not JSON") from None
        return text.encode()

    def _call(self, line: bytes) -> str:
        """The answer of the process within the remaining time."""
        assert self._process.stdin and self._process.stdout  # noqa: S101, PT018 - both are pipes
        started, answer = time.monotonic(), b""
        with _killed_after(self._left, self._process), suppress(BrokenPipeError):
            self._process.stdin.write(line + b"\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        self._left -= time.monotonic() - started
        if not answer.endswith(b"\n"):
            seconds = f"{self._project.jql_seconds:g} seconds"
            ended = f"took longer than {seconds}" if self._left <= 0 else "broke the JavaScript engine"
            raise ApiError(400, f"Uncaught exception the script {ended}")
        reply = msgspec.json.decode(answer, type=dict[str, str])
        if "error" in reply:
            raise ApiError(400, f"Uncaught exception {reply['error']}")
        return reply["result"]


@contextmanager
def _killed_after(seconds: float, process: Popen[bytes]) -> Iterator[None]:
    timer = Timer(max(0.0, seconds), process.kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@cache
def _prelude() -> str:
    return files(__package__).joinpath("jql_prelude.js").read_text("utf-8")


def _parameters(query: QueryRequest) -> bytes:
    text = query.parameters.get("params") or "{}"
    try:
        return bytes(msgspec.json.decode(text, type=msgspec.Raw))
    except msgspec.DecodeError:
        raise ApiError(400, f"params must be JSON, not {text[:80]!r}") from None


class _Selector(msgspec.Struct):
    event: str | None = None
    selector: str | None = None
    label: str | None = None


class _Source(msgspec.Struct):
    """The arguments of Events(), People() or join()."""

    kind: str
    from_date: str | None = None
    to_date: str | None = None
    event_selectors: list[_Selector] | None = None
    user_selectors: list[_Selector] | None = None
    events: _Source | None = None
    people: _Source | None = None
    type: str = "full"
    selectors: list[_Selector] | None = None


def _records(query: QueryRequest, source: _Source) -> Iterator[_Record]:
    if source.kind == "events":
        return (record for record, _ in _events(query, source))
    if source.kind == "people":
        return (record for record, _ in _people(query, source).values())
    return _joined(query, source)


def _events(query: QueryRequest, source: _Source) -> Iterator[tuple[_Record, Sources]]:
    """The event records, ordered by time, and the objects that expressions refer to."""
    buckets = query.buckets(*_dates(query, source), "all")
    project, selectors = query.project, source.event_selectors
    chosen = _matcher(selectors, project)
    names = None
    if selectors is not None and all(selector.event is not None for selector in selectors):
        names = [selector.event or "" for selector in selectors]
    for event in EventLog(query.state, project).events(buckets.starts[0], buckets.end, names, ordered=True):
        selector = chosen(event.name, event.sources)
        if selector is not None:
            label = {} if selector.label is None else {"label": selector.label}
            yield {**_event_record(event, project), **label}, event.sources


def _people(query: QueryRequest, source: _Source) -> dict[str, tuple[_Record, Mapping[str, Any]]]:
    """The user records and properties, by distinct_id."""
    chosen = _matcher(source.user_selectors, query.project)
    profiles = query.state.profiles.users(query.project.project_id)
    return {
        distinct_id: (_user_record(distinct_id, profile, query.project), profile.properties)
        for distinct_id, profile in profiles.items()
        if chosen(None, {"user": profile.properties, "properties": profile.properties}) is not None
    }


def _joined(query: QueryRequest, source: _Source) -> Iterator[_Record]:
    """Events with their users: all of both in a full join, all events in a left one, all users in a right one."""
    if source.type not in ("full", "left", "right", "inner"):
        raise ApiError(400, f"join() type must be one of full, left, right, inner, not {source.type!r}")
    assert source.events and source.people  # noqa: S101, PT018 - join() checks it
    people = _people(query, source.people)
    chosen = _matcher(source.selectors, query.project)
    seen = set()
    for event, sources in _events(query, source.events):
        distinct_id = event.get("distinct_id")
        user, properties = people.get(distinct_id or "", (None, {}))
        seen.add(distinct_id)
        if user is None and source.type in ("right", "inner"):
            continue
        if chosen(event["name"], {**sources, "user": properties}) is not None:
            yield _without_none({"distinct_id": distinct_id, "event": event, "user": user})
    if source.type in ("full", "right"):
        for distinct_id, (user, properties) in people.items():
            if distinct_id not in seen and chosen(None, {"user": properties}) is not None:
                yield {"distinct_id": distinct_id, "user": user}


def _matcher(selectors: list[_Selector] | None, project: Project) -> Callable[[str | None, Sources], _Selector | None]:
    """A function to the first selector that a record satisfies; without selectors, all records match."""
    if selectors is None:
        anything = _Selector()
        return lambda _name, _sources: anything
    try:
        conditions = [
            (each, predicate(parse(each.selector), project.stored_zone) if each.selector else None)
            for each in selectors
        ]
    except ExpressionError as error:
        raise ApiError(400, f"error parsing selector: {error}") from None

    def first(name: str | None, sources: Sources) -> _Selector | None:
        for selector, holds in conditions:
            if selector.event in (None, name) and (holds is None or holds(sources)):
                return selector
        return None

    return first


def _dates(query: QueryRequest, source: _Source) -> tuple[date, date]:
    """The dates of Events(); a Date of JavaScript has a time."""
    given = {"from_date": source.from_date, "to_date": source.to_date}
    first, last = read_dates({name: text[:10] for name, text in given.items() if text})
    query.check_history(first)
    return first, last


def _event_record(event: Event, project: Project) -> _Record:
    properties = {
        name: value
        for name, value in event.properties.items()
        if name not in _NOT_IN_PROPERTIES and not isinstance(value, datetime)
    }
    stored = datetime.fromtimestamp(event.time_ms / 1000, UTC)
    time = event.time_ms if project.created_before_2023 else event.time_ms + _offset_ms(stored, project)
    record = {"name": event.name, "distinct_id": event.user, "time": time, "sampling_factor": 1.0}
    return {**_without_none(record), "properties": properties}


def _user_record(distinct_id: str, profile: Profile, project: Project) -> _Record:
    time = milliseconds(profile.last_updated) + _offset_ms(profile.last_updated, project)
    return {"distinct_id": distinct_id, "time": time, "last_seen": time, "properties": dict(profile.properties)}


def _offset_ms(timestamp: datetime, project: Project) -> int:
    offset = timestamp.astimezone(project.zone).utcoffset()
    assert offset is not None  # noqa: S101 - a ZoneInfo always has one
    return int(offset.total_seconds()) * 1000


def _without_none(record: _Record) -> _Record:
    return {name: value for name, value in record.items() if value is not None}
