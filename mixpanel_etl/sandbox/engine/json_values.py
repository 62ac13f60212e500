"""Values of JSON, as Mixpanel treats them."""

from __future__ import annotations

import json
from typing import Any, TypeGuard

import msgspec


def json_bytes(value: object) -> bytes:
    """A value as JSON. Mixpanel stores halves of surrogate pairs and returns them escaped."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return json.dumps(msgspec.to_builtins(value), separators=(",", ":")).encode()


def as_string(value: Any) -> str:
    """A string unchanged, any other value as JSON."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether a value is a number; in Python, true and false are numbers, too."""
    return isinstance(value, int | float) and not isinstance(value, bool)
