"""Events to send, and the limits that they must keep. Source: mixpanel-api.md#import-limits."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from mixpanel_etl.client.errors import InvalidRequest
from mixpanel_etl.quoting import described
from mixpanel_etl.reserved_ids import RESERVED_IDS

log = logging.getLogger("mixpanel_etl")

MAX_EVENTS = 2000
MAX_BYTES = 1_048_575  # of one event
MAX_MEMBERS = 254  # "fewer than 255" on one page, "up to 255" on another
MAX_LEVELS = 3
MAX_NESTED_BYTES = 8192
MAX_STRING_BYTES = 255
EARLIEST = datetime(1971, 1, 1, tzinfo=UTC)
MAX_AHEAD = timedelta(hours=1)
INSERT_ID = re.compile(r"[A-Za-z0-9-]{1,36}")
RESERVED_PROPERTIES = frozenset(("time", "distinct_id", "$insert_id", "ip", "token"))


@dataclass(frozen=True, slots=True)
class Event:
    """An event to send.

    Args:
        event: name of the event.
        time: time of the event (aware). Always sent in milliseconds, so that Mixpanel recognizes copies.
        distinct_id: id of the user; "" for no user. May be None if the properties have `$user_id` or `$device_id`.
        insert_id: id of the event, up to 36 letters, digits and hyphens. Two events with the same name, user and
            insert id on one day can become one (mixpanel-api.md#deduplication).
        properties: other properties. Dates and times are sent as strings.
        ip: IP address that gives the location; "0" for no location. Without it, Mixpanel takes the sender's address.
    """

    event: str
    time: datetime
    distinct_id: str | None = None
    insert_id: str | None = None
    properties: Mapping[str, Any] = field(default_factory=dict)
    ip: str = "0"


class _Fault(ValueError):
    """What is wrong with one event."""


def encoded(
    events: Sequence[Event], now: datetime, token: str | None = None, oldest: datetime | None = None
) -> list[bytes]:
    """Each event as JSON, when all of them can be sent.

    Args:
        events: events, at most 2,000.
        now: current time, for the check of times in the future.
        token: project token, added to the properties; without it, every event needs an `insert_id`.
        oldest: minimum time. Mixpanel would drop older events silently.

    Raises:
        InvalidRequest: names the wrong event, and the reason.
    """
    if not events:
        raise InvalidRequest("no events", advice="Give at least one.")
    if len(events) > MAX_EVENTS:
        raise InvalidRequest(
            f"{len(events):,} events, the limit of one request is {MAX_EVENTS:,}",
            advice=f"Send the rest, from events[{MAX_EVENTS}] on, in further requests.",
        )
    sent = []
    for index, event in enumerate(events):
        try:
            _check(event, now, oldest, needs_insert_id=token is None)
            sent.append(_encode(event, token))
        except (_Fault, TypeError, UnicodeEncodeError, RecursionError) as error:
            reason = str(error)
        else:
            continue
        raise InvalidRequest(f"events[{index}]: {reason}", advice="Correct it, or leave it out.")
    return sent


def _check(event: Event, now: datetime, oldest: datetime | None, *, needs_insert_id: bool) -> None:
    if not isinstance(event.event, str) or not event.event:
        raise _Fault("event must be a name")
    _check_time(event.time, now, oldest)
    if event.insert_id is not None or needs_insert_id:
        _check_insert_id(event.insert_id)
    _check_user(event)
    _check_properties(event.properties)


def _check_time(time: datetime, now: datetime, oldest: datetime | None) -> None:
    if not isinstance(time, datetime) or time.tzinfo is None:
        raise _Fault(f"time is {described(time)}: give a datetime with a time zone")
    if time < EARLIEST:
        raise _Fault(f"time is {time}, before {EARLIEST:%Y-%m-%d}")
    if time > now + MAX_AHEAD:
        raise _Fault(f"time is {time}, more than an hour in the future")
    if oldest is not None and time < oldest:
        raise _Fault(f"time is {time}: what is older than 5 days is dropped by /track; use import_")


def _check_insert_id(insert_id: str | None) -> None:
    if insert_id is None:
        raise _Fault("insert_id is missing: give one that is the same each time, such as a hash of the row")
    if not isinstance(insert_id, str) or not INSERT_ID.fullmatch(insert_id):
        raise _Fault(f"insert_id is {described(insert_id)}: up to 36 letters, digits and hyphens are allowed")
    if insert_id.lower() in RESERVED_IDS:
        raise _Fault(f"insert_id is {insert_id!r}, a placeholder that Mixpanel ignores")


def _check_user(event: Event) -> None:
    given = {
        name: value
        for name, value in (
            ("distinct_id", event.distinct_id),
            ("$user_id", event.properties.get("$user_id")),
            ("$device_id", event.properties.get("$device_id")),
        )
        if value is not None
    }
    if not given:
        raise _Fault("distinct_id is missing, and the properties have neither $user_id nor $device_id")
    for name, value in given.items():
        if not isinstance(value, str):
            raise _Fault(f"{name} is {described(value)}: give a string")
        if value.lower() in RESERVED_IDS:
            raise _Fault(f"{name} is {value!r}, a placeholder id that Mixpanel ignores")


def _check_properties(properties: Mapping[str, Any]) -> None:
    reserved = RESERVED_PROPERTIES & properties.keys()
    if reserved:
        raise _Fault(f"properties have {min(reserved)!r}, which is a separate field")
    for name, value in properties.items():
        if isinstance(value, dict | list | tuple):
            check_nested(name, value)
        elif isinstance(value, float) and not math.isfinite(value):
            raise _Fault(f"properties[{name!r}] is {value}, which JSON does not have")


def check_nested(name: str, value: Any) -> None:
    """Check that Mixpanel accepts a list or an object as the value of a property.

    Raises:
        ValueError: it does not; says why.
    """
    for part, level in _parts(value, 0):
        if isinstance(part, dict | list | tuple) and len(part) > MAX_MEMBERS:
            kind = "keys" if isinstance(part, dict) else "elements"
            raise _Fault(f"properties[{name!r}] has {len(part)} {kind}, at most {MAX_MEMBERS} are allowed")
        if level > MAX_LEVELS:
            raise _Fault(f"properties[{name!r}] nests objects deeper than {MAX_LEVELS} levels")
        if isinstance(part, float) and not math.isfinite(part):
            raise _Fault(f"properties[{name!r}] holds {part}, which JSON does not have")
    size = len(msgspec.json.encode(value))
    if size > MAX_NESTED_BYTES:
        raise _Fault(
            f"properties[{name!r}] has {size} bytes, at most {MAX_NESTED_BYTES} are allowed in a list or object"
        )


def _parts(value: Any, level: int) -> Iterator[tuple[Any, int]]:
    """Everything inside a value, with the number of objects around it and itself. Lists don't count as a level."""
    level += isinstance(value, dict)
    yield value, level
    if level > MAX_LEVELS:
        return
    if isinstance(value, dict | list | tuple):
        for member in value.values() if isinstance(value, dict) else value:
            yield from _parts(member, level)


def _encode(event: Event, token: str | None) -> bytes:
    properties = {
        **event.properties,
        # Integer milliseconds without a float in between, which would be off by one for some.
        "time": (event.time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1),
        "ip": event.ip,
        **({"token": str(token)} if token is not None else {}),
        **({"$insert_id": event.insert_id} if event.insert_id is not None else {}),
        **({"distinct_id": event.distinct_id} if event.distinct_id is not None else {}),
    }
    if len(properties) > MAX_MEMBERS:
        added = len(properties) - len(event.properties)
        raise _Fault(f"{len(event.properties)} properties and {added} added ones, at most {MAX_MEMBERS} are allowed")
    content = msgspec.json.encode({"event": event.event, "properties": properties})
    if len(content) > MAX_BYTES:
        raise _Fault(f"{len(content):,} bytes, an event must be smaller than 1 MB")
    return content


def warn_of_truncation(events: Sequence[Event]) -> None:
    """Log once that Mixpanel will cut long strings, which it does silently."""
    cut = [(index, name) for index, event in enumerate(events) for name in _long(event.properties)]
    if cut:
        index, name = cut[0]
        log.warning(
            "%d strings are longer than %d bytes, and Mixpanel may cut them; the first is %r of events[%d]",
            len(cut),
            MAX_STRING_BYTES,
            name,
            index,
        )


def _long(properties: Mapping[str, Any]) -> Iterator[str]:
    for name, value in properties.items():
        if len(name) > MAX_STRING_BYTES or (
            isinstance(value, str) and len(value) * 4 > MAX_STRING_BYTES and len(value.encode()) > MAX_STRING_BYTES
        ):
            yield name
