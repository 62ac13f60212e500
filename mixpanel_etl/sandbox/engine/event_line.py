"""One line of an export, split so that `time` can be shown in seconds or milliseconds and all else is unchanged.

`{"event":"Login","properties":{"time":` 1704067200 `,"distinct_id":"u1"}}` is kept as the bytes before the value, the
value in milliseconds, and the bytes after it, so that an export returns the loaded line byte for byte.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from mixpanel_etl.errors import MixpanelEtlError
from mixpanel_etl.sandbox.engine.json_values import as_string

# Above this a number is milliseconds: 1e11 seconds is the year 5138, 1e11 milliseconds is 1973.
_MILLISECONDS_FROM = 100_000_000_000
_LATEST_MS = 253_402_300_800_000  # the year 10000


class EventLine(NamedTuple):
    """A stored event. `time_ms` as exported (UTC, or project time as if it were epoch), ids as strings."""

    event: str
    time_ms: int
    distinct_id: str | None
    insert_id: str | None
    processing_ms: int | None
    head: bytes
    tail: bytes


class EventLineError(MixpanelEtlError, ValueError):
    """A line that is not an exported event."""


def parse_event_line(line: bytes) -> EventLine:
    """The parts of an exported line. Raises EventLineError if it is not JSON or has no event, properties or time."""
    try:
        line.decode("utf-8")  # msgspec does not check what it leaves undecoded
        outer = _decode_line(line)
        keys = _decode_keys(outer.properties)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise EventLineError(f"{error}: {line[:80]!r}") from error
    time_ms = to_milliseconds(keys.time)
    if abs(time_ms) >= _LATEST_MS:
        raise EventLineError(f"time {keys.time} is outside the years that a date can have: {line[:80]!r}")
    start, end = _time_span(line, bytes(outer.properties))
    return EventLine(
        outer.event,
        time_ms,
        _id(keys.distinct_id),
        _id(keys.insert_id),
        _integer(keys.mp_processing_time_ms),
        line[:start],
        line[end:],
    )


def properties_text(line: bytes) -> str:
    """The JSON of the `properties` of a line, unchanged."""
    return bytes(_decode_line(line).properties).decode("utf-8")


def with_properties(line: bytes, changed: Mapping[str, object], defaults: Mapping[str, object] | None = None) -> bytes:
    """The line with changed properties, and with `defaults` for missing ones. All else is unchanged."""
    event = _decode_raw(line)
    for name, value in (defaults or {}).items():
        event.properties.setdefault(name, _raw(value))
    event.properties.update({name: _raw(value) for name, value in changed.items()})
    return msgspec.json.encode(event)


def to_milliseconds(time: float) -> int:
    """Seconds or milliseconds since epoch (distinguished by magnitude) as milliseconds."""
    return int(time) if abs(time) >= _MILLISECONDS_FROM else round(time * 1000)


class _Line(msgspec.Struct):
    event: str
    properties: msgspec.Raw


class _Keys(msgspec.Struct, rename={"insert_id": "$insert_id"}):
    time: int | float
    distinct_id: object = None
    insert_id: object = None
    mp_processing_time_ms: object = None


class _RawLine(msgspec.Struct):
    event: str
    properties: dict[str, msgspec.Raw]


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


_decode_raw = msgspec.json.Decoder(_RawLine).decode
_decode_line = msgspec.json.Decoder(_Line).decode
_decode_keys = msgspec.json.Decoder(_Keys).decode
_number = rb"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?"
_time_value = re.compile(_number)


def _time_span(line: bytes, properties: bytes) -> tuple[int, int]:
    # A quote inside a JSON string is escaped, so `"time":` after a brace or comma is a key, of any depth.
    key = line.find(b'"time":')
    if key > 0 and line[key - 1] in b"{," and line.find(b'"time"', key + 7) < 0:
        value = _time_value.match(line, key + 7)
        if value:
            return value.span()
    start = line.index(properties)
    first, last = _top_level_span(properties.decode("utf-8"))
    return start + first, start + last


def _top_level_span(text: str) -> tuple[int, int]:
    """The byte span of the value of the object's own `time` (the last one counts), for lines with several."""
    position, span = _skip_space(text, 1), (0, 0)
    while text[position] != "}":
        key, position = _decoder.raw_decode(text, position)
        start = _skip_space(text, _skip_space(text, position) + 1)
        _, end = _decoder.raw_decode(text, start)
        span = (start, end) if key == "time" else span
        position = _skip_space(text, end)
        if text[position] == ",":
            position = _skip_space(text, position + 1)
    return len(text[: span[0]].encode()), len(text[: span[1]].encode())


_decoder = json.JSONDecoder()


def _skip_space(text: str, position: int) -> int:
    while text[position] in " \t\r\n":
        position += 1
    return position


def _integer(value: object) -> int | None:
    return value if type(value) is int and abs(value) < 2**63 else None


def _id(value: object) -> str | None:
    return None if value is None else as_string(value)
