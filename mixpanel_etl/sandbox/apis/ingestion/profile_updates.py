"""Validates and applies one update of a profile. Source: mixpanel-api.md#profile-updates.

The rules are documented, the messages are invented.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime
from typing import Any

from mixpanel_etl.sandbox.apis.ingestion.enrichment import truncated
from mixpanel_etl.sandbox.apis.ingestion.validation import Problem, is_too_deep
from mixpanel_etl.sandbox.engine.json_values import is_number, json_bytes
from mixpanel_etl.sandbox.engine.profiles import Profile

USER_OPERATORS = ("$set", "$set_once", "$add", "$append", "$union", "$remove", "$unset", "$delete")
GROUP_OPERATORS = ("$set", "$set_once", "$union", "$remove", "$unset", "$delete")
MAX_UPDATE_BYTES = 1_048_576
MAX_PROPERTIES = 2000
MAX_NESTED_BYTES = 262_144
_LAST_SEEN = "$last_seen"
_TIME_FORMAT = "%Y-%m-%dT%H:%M:%S"

Update = Mapping[str, Any]
Properties = dict[str, Any]


def user_problem(update: Any) -> Problem | None:
    """The first problem of a user update, or None."""
    return next(_problems(update, ("$distinct_id",), USER_OPERATORS), None)


def group_problem(update: Any, group_keys: Collection[str]) -> Problem | None:
    """The first problem of a group update, or None; `group_keys` are those of the project."""
    problem = next(_problems(update, ("$group_key", "$group_id"), GROUP_OPERATORS), None)
    if problem is None and "$distinct_id" in update:
        return Problem("$distinct_id", "'$distinct_id' is invalid: a group is named by $group_key and $group_id alone")
    if problem is None and update["$group_key"] not in group_keys:
        return Problem("$group_key", f"'$group_key' is invalid: the project has no group key {update['$group_key']!r}")
    return problem


def updated(profile: Profile | None, update: Update, now: datetime) -> Profile | None:
    """The profile after a valid update; None if it is deleted, or not created."""
    if "$delete" in update:
        return None
    before = dict(profile.properties) if profile else {}
    after = dict(before)
    for operator, value in update.items():
        if operator in _OPERATORS:
            _OPERATORS[operator](after, value)
    after = {truncated(name): value for name, value in after.items()}
    if len(after.keys() - {_LAST_SEEN}) > MAX_PROPERTIES:
        return profile
    if profile is None and not after and "$set" not in update:
        return None
    for coordinate in ("$latitude", "$longitude"):
        if coordinate in update:
            after[coordinate] = update[coordinate]
    if not update.get("$ignore_time"):
        after[_LAST_SEEN] = f"{now:{_TIME_FORMAT}}"
    return Profile(after, last_updated=now)


def _problems(update: Any, ids: Collection[str], operators: Collection[str]) -> Iterator[Problem]:
    if not isinstance(update, dict) or is_too_deep(update):
        yield Problem("", "update is invalid: must be an object, not too deeply nested")
        return
    for name in ("$token", *ids):
        value = update.get(name)
        if isinstance(value, bool) or not isinstance(value, str | int | float) or value == "":
            yield Problem(name, f"'{name}' is invalid: must not be missing or empty")
    if len(json_bytes(update)) > MAX_UPDATE_BYTES:
        yield Problem("", "update is invalid: must not be larger than 1 MB")
    for name in USER_OPERATORS:
        if name in update and name not in operators:
            yield Problem(name, f"'{name}' is invalid: groups do not support it")
    present = [name for name in operators if name in update]
    if not present:
        yield Problem("", f"update is invalid: must have one of {', '.join(operators)}")
    for name in present:
        reason = _SHAPES[name](update[name]) if name in _SHAPES else None
        if reason:
            yield Problem(name, f"'{name}' is invalid: {reason}")


def _named_values(value: Any) -> str | None:
    if not isinstance(value, dict):
        return "must be an object"
    for name, member in value.items():
        if isinstance(member, dict | list) and len(json_bytes(member)) > MAX_NESTED_BYTES:
            return f"{name} must not be larger than {MAX_NESTED_BYTES} bytes"
    return None


def _named_numbers(value: Any) -> str | None:
    if not isinstance(value, dict) or not all(is_number(member) for member in value.values()):
        return "must be an object of numbers"
    return None


def _named_lists(value: Any) -> str | None:
    if not isinstance(value, dict) or not value:
        return "must be an object of lists"
    for member in value.values():
        if not isinstance(member, list) or not all(is_number(item) or isinstance(item, str) for item in member):
            return "must be an object of lists of numbers or strings"
    return None


def _names(value: Any) -> str | None:
    is_list = isinstance(value, list) and value and all(isinstance(name, str) for name in value)
    return None if is_list else "must be a list of property names"


_SHAPES: dict[str, Callable[[Any], str | None]] = {
    "$set": _named_values,
    "$set_once": _named_values,
    "$add": _named_numbers,
    "$append": _named_values,
    "$union": _named_lists,
    "$remove": _named_values,
    "$unset": _names,
}


def _set(properties: Properties, values: Properties) -> None:
    properties.update(truncated(values))


def _set_once(properties: Properties, values: Properties) -> None:
    for name, value in truncated(values).items():
        properties.setdefault(name, value)


def _add(properties: Properties, values: Properties) -> None:
    """Non-numeric values are left unchanged."""
    for name, value in values.items():
        before = properties.get(name, 0)
        if is_number(before):
            properties[name] = before + value


def _append(properties: Properties, values: Properties) -> None:
    """Values that are not lists are left unchanged, also in `$union` and `$remove`."""
    for name, value in truncated(values).items():
        before = properties.get(name, [])
        if isinstance(before, list):
            properties[name] = [*before, value]


def _union(properties: Properties, values: Properties) -> None:
    for name, members in truncated(values).items():
        before = properties.get(name, [])
        if isinstance(before, list):
            properties[name] = before + [item for item in _each_once(members) if not _holds(before, item)]


def _remove(properties: Properties, values: Properties) -> None:
    for name, value in truncated(values).items():
        before = properties.get(name)
        if isinstance(before, list):
            properties[name] = [item for item in before if not _holds([value], item)]


def _unset(properties: Properties, names: list[str]) -> None:
    for name in names:
        properties.pop(name, None)


_OPERATORS: dict[str, Callable[[Properties, Any], None]] = {
    "$set": _set,
    "$set_once": _set_once,
    "$add": _add,
    "$append": _append,
    "$union": _union,
    "$remove": _remove,
    "$unset": _unset,
}


def _each_once(items: list[Any]) -> list[Any]:
    return [item for number, item in enumerate(items) if not _holds(items[:number], item)]


def _holds(items: list[Any], wanted: Any) -> bool:
    """Whether a list has a value; unlike in Python, true is not 1."""
    return any(item == wanted and isinstance(item, bool) == isinstance(wanted, bool) for item in items)
