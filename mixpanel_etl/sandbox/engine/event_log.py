"""The stored events as queries see them: without duplicates, with their users' profiles.

Source: mixpanel-api.md#deduplication.

Of the copies of an event (same name, distinct_id, time, `$insert_id`) only the most recent counts. Rows without
`$insert_id` all count.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import msgspec

from mixpanel_etl.expressions import Expression, Sources, Value, evaluator, predicate
from mixpanel_etl.sandbox.engine.projects import Project
from mixpanel_etl.sandbox.engine.state import State

_NOTHING: Mapping[str, Any] = {}
_ROWS = """
SELECT event, time_ms, distinct_id, {text}
FROM events
WHERE seq IN (
    SELECT seq
    FROM events
    WHERE project_id = ? AND time_ms >= ? AND time_ms < ?
        AND (?::VARCHAR[] IS NULL OR list_contains(?, event))
        AND (?::VARCHAR[] IS NULL OR list_contains(?, distinct_id))
    QUALIFY insert_id IS NULL OR row_number() OVER (
        PARTITION BY event, distinct_id, time_ms, insert_id
        ORDER BY processing_ms DESC NULLS LAST, seq DESC
    ) = 1
)
{order}"""

_COPIES = """
SELECT event, time_ms, distinct_id, head, tail
FROM events
WHERE project_id = ? AND time_ms >= ? AND time_ms < ? AND (?::VARCHAR[] IS NULL OR list_contains(?, event))"""


@dataclass(slots=True)
class Event:
    """One event. `time_ms` as stored; `user` may be None; `sources` are the objects that expressions refer to."""

    name: str
    time_ms: int
    user: str | None
    sources: Sources = field(default_factory=dict)

    @property
    def properties(self) -> Mapping[str, Any]:
        """As exported, with `time` in seconds, and `$time` as a datetime."""
        return self.sources["properties"]


class EventLog:
    """The events of one project."""

    def __init__(self, state: State, project: Project) -> None:
        self._state, self._project = state, project

    def events(
        self,
        start_ms: int,
        end_ms: int,
        names: Sequence[str] | None = None,
        *,
        users: Sequence[str] | None = None,
        detail: bool = True,
        ordered: bool = False,
    ) -> Iterator[Event]:
        """The events of a span of stored time (its end excluded).

        `names` and `users` filter them; `detail=False` leaves out their `sources`, which are the slow part; `ordered`
        sorts them by time, and by arrival within a millisecond.
        """
        text = "line(head, time_ms, tail)" if detail else "NULL"
        sql = _ROWS.format(text=text, order="ORDER BY time_ms, seq" if ordered else "")
        parameters = [self._project.project_id, start_ms, end_ms, names, names, users, users]
        for name, time_ms, distinct_id, line in self._state.store.rows(sql, parameters):
            sources = self._sources(name, time_ms, distinct_id, line) if detail else {}
            yield Event(name, time_ms, distinct_id or None, sources)

    def copies(
        self, start_ms: int, end_ms: int, names: Sequence[str] | None = None
    ) -> Iterator[tuple[Event, bytes, bytes]]:
        """Every ingested copy, in order of arrival, with its line before and after the value of `time`."""
        parameters = [self._project.project_id, start_ms, end_ms, names, names]
        for name, time_ms, distinct_id, head, tail in self._state.store.rows(_COPIES, parameters):
            line = b"%b%d%b" % (head, time_ms, tail)
            yield Event(name, time_ms, distinct_id or None, self._sources(name, time_ms, distinct_id, line)), head, tail

    def filter(self, expression: Expression | None) -> Callable[[Event], bool]:
        """A predicate of events; without an expression it is always true."""
        if expression is None:
            return lambda _event: True
        holds = predicate(expression, self._project.stored_zone)
        return lambda event: holds(event.sources)

    def value(self, expression: Expression) -> Callable[[Event], Value]:
        """A function from an event to the value of an expression."""
        value_of = evaluator(expression, self._project.stored_zone)
        return lambda event: value_of(event.sources)

    def _sources(self, name: str, time_ms: int, distinct_id: str | None, line: bytes) -> Sources:
        properties = _properties(line)
        properties["time"] = time_ms // 1000
        if distinct_id is not None:
            properties.setdefault("$distinct_id", distinct_id)
        timestamp = datetime.fromtimestamp(time_ms / 1000, UTC)
        properties.setdefault("$time", timestamp)
        profile = self._profiles.get(distinct_id or "")
        user = profile.properties if profile else _NOTHING
        return {"properties": properties, "user": user, "event": {"$time": timestamp, "name": name}}

    @cached_property
    def _profiles(self) -> Mapping[str, Any]:
        return self._state.profiles.users(self._project.project_id)


class _Event(msgspec.Struct):
    properties: dict[str, Any]


class _Parts(msgspec.Struct):
    properties: dict[str, msgspec.Raw]


_decode_event = msgspec.json.Decoder(_Event).decode
_decode_parts = msgspec.json.Decoder(_Parts).decode


def _properties(line: bytes) -> dict[str, Any]:
    """The properties of a stored line; a value that is nested too deeply is its JSON."""
    try:
        return _decode_event(line).properties
    except (msgspec.DecodeError, RecursionError):  # a number out of range is the other reason
        return {name: _value(bytes(text)) for name, text in _decode_parts(line).properties.items()}


def _value(text: bytes) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        return text.decode()
