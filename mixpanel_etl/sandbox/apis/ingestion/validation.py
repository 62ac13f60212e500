"""Validation of events by `/import` with `strict=1`. Source: mixpanel-api.md#import-limits.

The messages for `properties.time`, `$insert_id` and invalid UTF-8 are Mixpanel's; the others are invented.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from mixpanel_etl.sandbox.engine.clock import milliseconds
from mixpanel_etl.sandbox.engine.event_line import to_milliseconds
from mixpanel_etl.sandbox.engine.identity import IDENTITY_EVENTS, identity_problem
from mixpanel_etl.sandbox.engine.json_values import is_number

MAX_EVENT_BYTES = 1_048_576
MAX_MEMBERS = 254
MAX_DEPTH = 3
MAX_NESTED_BYTES = 8192
MAX_INSERT_ID_BYTES = 36
FUTURE = timedelta(hours=1)
_TOO_DEEP = f"objects must not be nested deeper than {MAX_DEPTH} levels"
# Lists do not count in the documented depth; this many levels of anything are too deep for recursion.
_MAX_LAYERS = 100
_EARLIEST_MS = 31_536_000_000  # 1971-01-01
_INSERT_ID = re.compile(r"[A-Za-z0-9-]+")
_MEANINGLESS_IDS = frozenset(
    (
        *("00000000-0000-0000-0000-000000000000", "anon", "anonymous", "nil", "none", "null", "n/a", "na"),
        *("undefined", "unknown", "<nil>", "0", "-1", "true", "false", "[]", "{}"),
    )
)


class Problem(NamedTuple):
    """The reason for a rejected record, as in `failed_records`."""

    field: str
    message: str


def problem_of(event: Any, now: datetime) -> Problem | None:
    """The first problem of an event, or None if it is valid."""
    return next((problem for rule in _rules_of(event) for problem in rule(event, now)), None)


def is_storable(event: Any, now: datetime) -> bool:
    """Whether an event can be stored without validation: it has a name and a possible time."""
    return next((False for rule in _rules_of(event)[:2] for _ in rule(event, now)), True)


def is_too_deep(event: Any) -> bool:
    """Whether lists and objects are nested too deeply for recursion."""
    layer = [event]
    for _ in range(_MAX_LAYERS):
        layer = [
            member
            for part in layer
            if isinstance(part, dict | list)
            for member in (part.values() if isinstance(part, dict) else part)
        ]
        if not layer:
            return False
    return True


def _shape(event: Any, _now: datetime) -> Iterator[Problem]:
    if not isinstance(event, dict):
        yield Problem("", "record is invalid: must be an object")
    elif not isinstance(event.get("event"), str) or not event["event"]:
        yield Problem("event", "'event' is invalid: must be a non-empty string")
    elif not isinstance(event.get("properties"), dict):
        yield Problem("properties", "'properties' is invalid: must be an object")
    elif is_too_deep(event):
        yield Problem("properties", f"'properties' is invalid: {_TOO_DEEP}")


def _identity(event: Any, _now: datetime) -> Iterator[Problem]:
    missing = identity_problem(event["event"], event["properties"])
    if missing:
        yield Problem(f"properties.{missing}", f"'properties.{missing}' is invalid: must not be missing or empty")


def _time(event: Any, now: datetime) -> Iterator[Problem]:
    time = event["properties"].get("time")
    if not is_number(time):
        text = "'properties.time' is invalid: must be specified as seconds since epoch"
        yield Problem("properties.time", text)
    elif to_milliseconds(time) < _EARLIEST_MS:
        yield Problem("properties.time", "'properties.time' is invalid: must not be before 1971-01-01")
    elif to_milliseconds(time) > milliseconds(now + FUTURE):
        text = "'properties.time' is invalid: must not be more than one hour in the future"
        yield Problem("properties.time", text)


def _insert_id(event: Any, _now: datetime) -> Iterator[Problem]:
    value = event["properties"].get("$insert_id")
    if not isinstance(value, str) or not value:
        yield Problem("$insert_id", "'$insert_id' is invalid: must not be missing or empty")
    elif not _INSERT_ID.fullmatch(value):
        text = "'$insert_id' is invalid: must only contain alphanumeric or hyphen '-' characters"
        yield Problem("$insert_id", text)
    elif len(value) > MAX_INSERT_ID_BYTES:
        yield Problem("$insert_id", f"'$insert_id' is invalid: must not be longer than {MAX_INSERT_ID_BYTES} bytes")
    elif value.lower() in _MEANINGLESS_IDS:
        yield Problem("$insert_id", "'$insert_id' is invalid: must identify an event")


def _user(event: Any, _now: datetime) -> Iterator[Problem]:
    properties = event["properties"]
    value = properties.get("distinct_id", properties.get("$user_id", properties.get("$device_id")))
    if value is None:
        yield Problem("properties.distinct_id", "'properties.distinct_id' is invalid: must not be missing")
    elif (value if isinstance(value, str) else str(value)).lower() in _MEANINGLESS_IDS:
        yield Problem("properties.distinct_id", "'properties.distinct_id' is invalid: must identify a user")


def _encoding(event: Any, _now: datetime) -> Iterator[Problem]:
    for name, value in event["properties"].items():
        if not _is_utf8(name) or not _is_utf8(value):
            shown = name.encode("utf-8", "replace").decode()
            field = f"properties.{shown}"
            yield Problem(field, f"{field} is invalid: string should be valid utf8")
    if not _is_utf8(event["event"]):
        yield Problem("event", "event is invalid: string should be valid utf8")


def _sizes(event: Any, _now: datetime) -> Iterator[Problem]:
    properties = event["properties"]
    if len(msgspec.json.encode(event)) >= MAX_EVENT_BYTES:
        yield Problem("event", "'event' is invalid: must be smaller than 1 MB")
    if len(properties) > MAX_MEMBERS:
        yield Problem("properties", f"'properties' is invalid: must have at most {MAX_MEMBERS} properties")
    for name, value in properties.items():
        for reason in _nested_problems(value):
            yield Problem(f"properties.{name}", f"'properties.{name}' is invalid: {reason}")


def _nested_problems(value: Any) -> Iterator[str]:
    if not isinstance(value, dict | list):
        return
    if _depth(value) > MAX_DEPTH:
        yield _TOO_DEEP
    for part in _containers(value):
        if len(part) > MAX_MEMBERS:
            kind = "keys" if isinstance(part, dict) else "elements"
            yield f"must have at most {MAX_MEMBERS} {kind}"
    if len(msgspec.json.encode(value)) > MAX_NESTED_BYTES:
        yield f"lists and objects must not be larger than {MAX_NESTED_BYTES} bytes"


def _containers(value: Any) -> Iterator[dict[str, Any] | list[Any]]:
    if isinstance(value, dict | list):
        yield value
        for member in value.values() if isinstance(value, dict) else value:
            yield from _containers(member)


def _depth(value: Any) -> int:
    """Number of nested objects; lists do not count."""
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    return max(map(_depth, value), default=0) if isinstance(value, list) else 0


def _is_utf8(value: Any) -> bool:
    if isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            return False
        return True
    if isinstance(value, dict):
        return all(_is_utf8(part) for member in value.items() for part in member)
    return not isinstance(value, list) or all(map(_is_utf8, value))


Rule = Callable[[Any, datetime], Iterator[Problem]]

# In order; each relies on those before it.
_RULES: tuple[Rule, ...] = (_shape, _time, _insert_id, _user, _encoding, _sizes)
# Identity events need neither a time nor an insert id.
_IDENTITY_RULES: tuple[Rule, ...] = (_shape, _identity, _encoding, _sizes)


def _rules_of(event: Any) -> tuple[Rule, ...]:
    is_identity = isinstance(event, dict) and event.get("event") in IDENTITY_EVENTS
    if not is_identity:
        return _RULES
    properties = event.get("properties")
    has_time = isinstance(properties, dict) and "time" in properties
    return (*_IDENTITY_RULES[:2], _time, *_IDENTITY_RULES[2:]) if has_time else _IDENTITY_RULES
