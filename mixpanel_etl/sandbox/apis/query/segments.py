"""The segments of a breakdown by `on`: their names in a reply, and which of them are shown."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from mixpanel_etl.expressions import UNDEFINED, Value, cast_to_string
from mixpanel_etl.sandbox.engine.json_values import json_bytes

#: Name of the segment of all.
OVERALL = "$overall"
_T = TypeVar("_T")


def segment_name(value: Value) -> str:
    """The name of a value of `on` in a reply: strings unchanged, lists and objects as JSON."""
    if value is UNDEFINED or value is None:
        return "undefined" if value is UNDEFINED else "null"
    text = cast_to_string(value)
    return text if isinstance(text, str) else json_bytes(value).decode()


def most_common(ranked: Iterable[tuple[float, _T]], limit: int) -> list[_T]:
    """The `limit` items with the highest numbers, highest first; equal ones in the order of their names."""
    return [item for _, item in sorted(ranked, key=lambda pair: (-pair[0], str(pair[1])))[:limit]]
