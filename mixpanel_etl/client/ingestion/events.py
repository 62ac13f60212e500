"""Events to send, and what Mixpanel demands of them. Source: mixpanel-api.md#import-limits."""

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

MOST_EVENTS = 2000
MOST_BYTES = 1_048_575  # of one event
MOST_MEMBERS = 254  # "fewer than 255" on one page, "up to 255" on another
MOST_LEVELS = 3
MOST_NESTED_BYTES = 8192
MOST_TEXT_BYTES = 255
EARLIEST = datetime(1971, 1, 1, tzinfo=UTC)
AHEAD = timedelta(hours=1)
INSERT_ID = re.compile(r"[A-Za-z0-9-]{1,36}")
# Ids that Mixpanel refuses. Whether in any case is not documented: nobody is called `NULL` either.
NOBODY = RESERVED_IDS
RESERVED = frozenset(("time", "distinct_id", "$insert_id", "ip", "token"))


@dataclass(frozen=True, slots=True)
class Event:
    """An event to send.

    Args:
        event: its name.
        time: when it happened (aware). Sent in milliseconds, always, so that a copy is recognised as one.
        distinct_id: whose it is; "" for nobody's. May be None when the properties have `$user_id` or `$device_id`.
        insert_id: what tells it from others, up to 36 letters, digits and hyphens. Two events with the same name,
            user and insert id on one day can become one (mixpanel-api.md#deduplication).
        properties: what else is known. Dates and times become texts.
        ip: whose address places it on the map; "0" for none, without which it would be ours.
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
    events: Sequence[Event], *, endpoint: str, now: datetime, token: str | None = None, oldest: datetime | None = None
) -> list[bytes]:
    """Each event as JSON, when all of them can be sent.

    Args:
        events: at most 2,000.
        endpoint: for errors.
        now: what counts as future.
        token: goes into each event's properties; without it, every event needs an `insert_id`.
        oldest: what is older is refused, because Mixpanel would drop it without a word.

    Raises:
        InvalidRequest: names the event at fault, and why it would be refused.
    """
    if not events:
        raise InvalidRequest("no events", endpoint=endpoint, advice="Give at least one.")
    if len(events) > MOST_EVENTS:
        raise InvalidRequest(
            f"{len(events):,} events, the limit of one request is {MOST_EVENTS:,}",
            endpoint=endpoint,
            advice=f"Send the rest, from events[{MOST_EVENTS}] on, in further requests.",
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
        raise InvalidRequest(f"events[{index}]: {reason}", endpoint=endpoint, advice="Correct it, or leave it out.")
    return sent


def _check(event: Event, now: datetime, oldest: datetime | None, *, needs_insert_id: bool) -> None:
    if not isinstance(event.event, str) or not event.event:
        raise _Fault("event is no name")
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
    if time > now + AHEAD:
        raise _Fault(f"time is {time}, more than an hour in the future")
    if oldest is not None and time < oldest:
        raise _Fault(f"time is {time}: what is older than 5 days is dropped by /track; use import_")


def _check_insert_id(insert_id: str | None) -> None:
    if insert_id is None:
        raise _Fault("insert_id is missing: give one that is the same each time, such as a hash of the row")
    if not isinstance(insert_id, str) or not INSERT_ID.fullmatch(insert_id):
        raise _Fault(f"insert_id is {described(insert_id)}: up to 36 letters, digits and hyphens are allowed")
    if insert_id.lower() in NOBODY:
        raise _Fault(f"insert_id is {insert_id!r}, which Mixpanel takes for none")


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
            raise _Fault(f"{name} is {described(value)}: give a text")
        if value.lower() in NOBODY:
            raise _Fault(f"{name} is {value!r}, which Mixpanel takes for nobody")


def _check_properties(properties: Mapping[str, Any]) -> None:
    taken = RESERVED & properties.keys()
    if taken:
        raise _Fault(f"properties have {min(taken)!r}, which is a field of its own")
    for name, value in properties.items():
        if isinstance(value, dict | list | tuple):
            check_nested(name, value)
        elif isinstance(value, float) and not math.isfinite(value):
            raise _Fault(f"properties[{name!r}] is {value}, which JSON does not have")


def check_nested(name: str, value: Any) -> None:
    """Whether Mixpanel takes a list or an object as a property's value.

    Raises:
        ValueError: says why not.
    """
    for part, level in _parts(value, 0):
        if isinstance(part, dict | list | tuple) and len(part) > MOST_MEMBERS:
            kind = "keys" if isinstance(part, dict) else "elements"
            raise _Fault(f"properties[{name!r}] has {len(part)} {kind}, at most {MOST_MEMBERS} are allowed")
        if level > MOST_LEVELS:
            raise _Fault(f"properties[{name!r}] nests objects deeper than {MOST_LEVELS} levels")
        if isinstance(part, float) and not math.isfinite(part):
            raise _Fault(f"properties[{name!r}] holds {part}, which JSON does not have")
    size = len(msgspec.json.encode(value))
    if size > MOST_NESTED_BYTES:
        raise _Fault(
            f"properties[{name!r}] has {size} bytes, at most {MOST_NESTED_BYTES} are allowed in a list or object"
        )


def _parts(value: Any, level: int) -> Iterator[tuple[Any, int]]:
    """Everything inside a value, with the number of objects around it and itself. Lists are no level."""
    level += isinstance(value, dict)
    yield value, level
    if level > MOST_LEVELS:
        return
    if isinstance(value, dict | list | tuple):
        for member in value.values() if isinstance(value, dict) else value:
            yield from _parts(member, level)


def _encode(event: Event, token: str | None) -> bytes:
    properties = {
        **event.properties,
        # Whole milliseconds without a float in between, which would be off by one for some.
        "time": (event.time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1),
        "ip": event.ip,
        **({"token": str(token)} if token is not None else {}),
        **({"$insert_id": event.insert_id} if event.insert_id is not None else {}),
        **({"distinct_id": event.distinct_id} if event.distinct_id is not None else {}),
    }
    if len(properties) > MOST_MEMBERS:
        added = len(properties) - len(event.properties)
        raise _Fault(f"{len(event.properties)} properties and {added} that are added, {MOST_MEMBERS} are allowed")
    content = msgspec.json.encode({"event": event.event, "properties": properties})
    if len(content) > MOST_BYTES:
        raise _Fault(f"{len(content):,} bytes, an event must be smaller than 1 MB")
    return content


def warn_of_truncation(events: Sequence[Event]) -> None:
    """Log that Mixpanel will cut texts, once for all of them: it does so without a word."""
    cut = [(index, name) for index, event in enumerate(events) for name in _long(event.properties)]
    if cut:
        index, name = cut[0]
        log.warning(
            "%d texts are longer than %d bytes, which Mixpanel may cut; the first is %r of events[%d]",
            len(cut),
            MOST_TEXT_BYTES,
            name,
            index,
        )


def _long(properties: Mapping[str, Any]) -> Iterator[str]:
    for name, value in properties.items():
        if len(name) > MOST_TEXT_BYTES or (
            isinstance(value, str) and len(value) * 4 > MOST_TEXT_BYTES and len(value.encode()) > MOST_TEXT_BYTES
        ):
            yield name
