"""`POST /jql`: queries in JavaScript, run in an embedded engine (quickjs). Specification 5.9; api-facts 3.9.

A script's main() only describes what it wants. The engine is asked for that description, the records are read, and the
engine is given them to transform: it never calls back, has no network, and limits of time and memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from functools import cache
from importlib import import_module
from importlib.resources import files
from typing import Any

import msgspec

from mixpanel_etl.expressions import ExpressionError, Sources, parse, predicate
from mixpanel_etl.sandbox.clock import milliseconds
from mixpanel_etl.sandbox.parameters import read_dates, required
from mixpanel_etl.sandbox.profiles import Profile
from mixpanel_etl.sandbox.projects import Project
from mixpanel_etl.sandbox.query.log import Event, Log
from mixpanel_etl.sandbox.query.question import Question
from mixpanel_etl.sandbox.replies import Refusal

_NOT_IN_PROPERTIES = frozenset({"time", "distinct_id", "$distinct_id"})
_Record = dict[str, Any]


def jql(question: Question) -> object:
    """What the script's main() comes to. Raises Refusal 400 for what goes wrong in it."""
    script = required(question.parameters, "script")
    engine = _Engine(question.project, _parameters(question))
    source = engine.source(script)
    return msgspec.Raw(engine.result(_records(question, source)))


class _Engine:
    """A JavaScript world of its own for one script."""

    def __init__(self, project: Project, parameters: bytes) -> None:
        self._seconds = project.jql_seconds
        engine = _quickjs()
        self._exception: type[Exception] = engine.JSException
        self._context = engine.Context()
        self._context.set_memory_limit(project.jql_megabytes * 1_000_000)
        self._context.set_time_limit(self._seconds)
        self._run(_prelude())
        self._context.set("__params", parameters.decode())
        self._run("var params = JSON.parse(__params)")

    def source(self, script: str) -> _Source:
        """The description of the records that main() asks for."""
        self._run(script)
        try:
            return msgspec.json.decode(self._run("__source()"), type=_Source)
        except msgspec.ValidationError as error:
            raise Refusal(400, f"Events(), People() or join() with wrong arguments: {error}") from None

    def result(self, records: Iterable[_Record]) -> bytes:
        """The records after the transformations, as JSON."""
        text = b"[%b]" % b",".join(map(msgspec.json.encode, records))
        self._context.set("__records", text.decode())
        return str(self._run("__result(__records)")).encode("utf-8", "replace")

    def _run(self, code: str) -> Any:
        try:
            return self._context.eval(code)
        except self._exception as error:
            text = str(error).partition("\n")[0]
            if text == "InternalError: interrupted":
                text = f"the script took longer than {self._seconds:g} seconds"
            raise Refusal(400, f"Uncaught exception {text}") from error


def _quickjs() -> Any:
    try:
        return import_module("quickjs")
    except ImportError as error:
        raise Refusal(501, "this sandbox has no JavaScript: pip install 'mixpanel_etl[jql]'") from error


@cache
def _prelude() -> str:
    return files(__package__).joinpath("jql_prelude.js").read_text("utf-8")


def _parameters(question: Question) -> bytes:
    text = question.parameters.get("params") or "{}"
    try:
        return bytes(msgspec.json.decode(text, type=msgspec.Raw))
    except msgspec.DecodeError:
        raise Refusal(400, f"params must be JSON, not {text[:80]!r}") from None


class _Selector(msgspec.Struct):
    event: str | None = None
    selector: str | None = None
    label: str | None = None


class _Source(msgspec.Struct):
    """What Events(), People() or join() were called with."""

    kind: str
    from_date: str | None = None
    to_date: str | None = None
    event_selectors: list[_Selector] | None = None
    user_selectors: list[_Selector] | None = None
    events: _Source | None = None
    people: _Source | None = None
    type: str = "full"
    selectors: list[_Selector] | None = None


def _records(question: Question, source: _Source) -> Iterator[_Record]:
    if source.kind == "events":
        return (record for record, _ in _events(question, source))
    if source.kind == "people":
        return (record for record, _ in _people(question, source).values())
    return _joined(question, source)


def _events(question: Question, source: _Source) -> Iterator[tuple[_Record, Sources]]:
    """The event records, in order of time, and what expressions refer to."""
    buckets = question.buckets(*_dates(question, source), "all")
    project, selectors = question.project, source.event_selectors
    chosen = _matcher(selectors, project)
    names = None
    if selectors is not None and all(selector.event is not None for selector in selectors):
        names = [selector.event or "" for selector in selectors]
    for event in Log(question.state, project).events(buckets.starts[0], buckets.end, names, ordered=True):
        selector = chosen(event.name, event.sources)
        if selector is not None:
            label = {} if selector.label is None else {"label": selector.label}
            yield {**_event_record(event, project), **label}, event.sources


def _people(question: Question, source: _Source) -> dict[str, tuple[_Record, Mapping[str, Any]]]:
    """The user records and properties, by distinct_id."""
    chosen = _matcher(source.user_selectors, question.project)
    profiles = question.state.profiles.users(question.project.project_id)
    return {
        distinct_id: (_user_record(distinct_id, profile, question.project), profile.properties)
        for distinct_id, profile in profiles.items()
        if chosen(None, {"user": profile.properties, "properties": profile.properties}) is not None
    }


def _joined(question: Question, source: _Source) -> Iterator[_Record]:
    """Events with their users: all of both in a full join, all events in a left one, all users in a right one."""
    if source.type not in ("full", "left", "right", "inner"):
        raise Refusal(400, f"join() type must be one of full, left, right, inner, not {source.type!r}")
    assert source.events and source.people  # noqa: S101, PT018 - join() has seen to it
    people = _people(question, source.people)
    chosen = _matcher(source.selectors, question.project)
    seen = set()
    for event, sources in _events(question, source.events):
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
    """The first selector that a record satisfies; any record satisfies none at all."""
    if selectors is None:
        anything = _Selector()
        return lambda _name, _sources: anything
    try:
        conditions = [
            (each, predicate(parse(each.selector), project.stored_zone) if each.selector else None)
            for each in selectors
        ]
    except ExpressionError as error:
        raise Refusal(400, f"error parsing selector: {error}") from None

    def first(name: str | None, sources: Sources) -> _Selector | None:
        for selector, holds in conditions:
            if selector.event in (None, name) and (holds is None or holds(sources)):
                return selector
        return None

    return first


def _dates(question: Question, source: _Source) -> tuple[date, date]:
    """Of Events(); a Date of JavaScript arrives with its time."""
    given = {"from_date": source.from_date, "to_date": source.to_date}
    first, last = read_dates({name: text[:10] for name, text in given.items() if text})
    question.check_history(first)
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


def _offset_ms(moment: datetime, project: Project) -> int:
    offset = moment.astimezone(project.zone).utcoffset()
    assert offset is not None  # noqa: S101 - a ZoneInfo always has one
    return int(offset.total_seconds()) * 1000


def _without_none(record: _Record) -> _Record:
    return {name: value for name, value in record.items() if value is not None}
