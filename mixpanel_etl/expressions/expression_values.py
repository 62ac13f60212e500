"""The values of expressions: their types, when they are equal, and how one becomes another.

Source: mixpanel-api.md#expressions.

Values are those of JSON as Python has them, `UNDEFINED` for what is not there, and aware datetimes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from enum import Enum
from typing import Any, Final, TypeGuard

from mixpanel_etl.timestamps import is_milliseconds


class _Undefined(Enum):
    UNDEFINED = "undefined"

    def __repr__(self) -> str:
        return "UNDEFINED"

    __str__ = __repr__


UNDEFINED: Final = _Undefined.UNDEFINED
# None, bool, int, float, str, list, dict, datetime or UNDEFINED: a type of which lists would be invariant.
Value = Any

_DECIMAL = re.compile(r"\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*")
_INTEGER = re.compile(r"[+-]?\d{1,300}")
_EXACT_INTEGERS = 2**53


def is_number(value: Value) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def same(left: Value, right: Value) -> bool:
    """`==`: False across types; lists and objects are equal when all of their members are."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if is_number(left) and is_number(right):
        return left == right
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(same(value, right[name]) for name, value in left.items())
    return type(left) is type(right) and bool(left == right)


def finite(value: float) -> Value:
    """The number, or UNDEFINED when it is too large to be one."""
    return value if isinstance(value, int) or math.isfinite(value) else UNDEFINED


def cast_to_boolean(value: Value) -> Value:
    """The strings "true" and "false" become booleans; empty values, zero and null are false; the rest is undefined."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return value.lower() not in ("false", "")
    if is_number(value):
        return value != 0
    return False if value is None else UNDEFINED


def cast_to_number(value: Value) -> Value:
    """The decimal number that a text spells; 1 and 0 for booleans; seconds since 1970 for a datetime."""
    if isinstance(value, bool):
        return int(value)
    if is_number(value):
        return value
    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        text = value.strip()
        return int(text) if _INTEGER.fullmatch(text) else finite(float(text))
    return UNDEFINED


def cast_to_string(value: Value, zone: tzinfo = UTC) -> Value:
    """The decimal representation of a number, `true` or `false`, a datetime in ISO form; null stays null."""
    if isinstance(value, str) or value is None:
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < _EXACT_INTEGERS else repr(value)
    if isinstance(value, int):
        return str(value) if value.bit_length() < 4096 else UNDEFINED
    if isinstance(value, datetime):
        return f"{value.astimezone(zone):%Y-%m-%dT%H:%M:%S}"
    return UNDEFINED


def cast_to_datetime(value: Value, zone: tzinfo = UTC) -> Value:
    """A timestamp: from an ISO string, in `zone` if it has no offset, or from seconds or milliseconds since 1970."""
    try:
        if isinstance(value, str):
            timestamp = datetime.fromisoformat(value.strip())
            return timestamp if timestamp.tzinfo else timestamp.replace(tzinfo=zone)
        if is_number(value):
            seconds = value / 1000 if is_milliseconds(value) else value
            return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return UNDEFINED
    return value if isinstance(value, datetime) else UNDEFINED
