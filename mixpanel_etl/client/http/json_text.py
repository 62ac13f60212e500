"""JSON as Mixpanel sends it, which is not always JSON as the standard has it."""

from __future__ import annotations

import json
from typing import Any

import msgspec


def decode_json(body: bytes) -> Any:
    r"""A decoded JSON document; a string may hold half of a surrogate pair.

    Mixpanel's JavaScript library cuts strings at 255 UTF-16 units, and so halves an emoji (`"nice \ud83d"`). msgspec
    rejects such a string, Python's own decoder keeps it.

    Raises:
        ValueError: the body is not JSON.
    """
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        if b"\\u" not in body:
            raise
    return json.loads(body, parse_constant=_no_constant)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
