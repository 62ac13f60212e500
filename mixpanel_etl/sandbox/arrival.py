"""What becomes of an accepted event on its way into the store. api-facts 1.3, 2.3, 4.1-4.3.

Strings are cut, credentials and addresses dropped, Mixpanel's own properties added, ids completed, times of legacy
projects shifted into project time, and hot shards rewritten.
"""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from mixpanel_etl.sandbox.clock import milliseconds
from mixpanel_etl.sandbox.projects import Project
from mixpanel_etl.sandbox.records import to_milliseconds
from mixpanel_etl.sandbox.store import Store

MAX_TEXT_CHARACTERS = 255
_ENDPOINT = "api.mixpanel.com"
_NEVER_STORED = ("token", "ip", "time", "distinct_id")
_DAY_MS = 86_400_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Event = dict[str, Any]


def store_events(store: Store, project: Project, events: Sequence[Event], now: datetime, *, imported: bool) -> None:
    """Keep events that have passed validation; those with `$ignore` vanish."""
    arrived = [_arrived(_as_utf8(event), project, now, imported) for event in events if not _is_ignored(event)]
    _rewrite_hot_shards(store, project, arrived)
    store.add(project.project_id, [msgspec.json.encode(event) for event in arrived])


def _as_utf8(event: Event) -> Event:
    """The event; what is not UTF-8 in it, which only lenient requests can bring this far, as question marks."""
    try:
        msgspec.json.encode(event)
    except UnicodeEncodeError:
        clean: Event = json.loads(json.dumps(event, ensure_ascii=False).encode("utf-8", "replace"))
        return clean
    return event


def _is_ignored(event: Event) -> bool:
    ignore = event["properties"].get("$ignore")
    return ignore is True or (isinstance(ignore, str) and ignore != "")


def _arrived(event: Event, project: Project, now: datetime, imported: bool) -> Event:
    sent = event["properties"]
    properties: Event = {"time": _stored_time(sent.get("time"), project, now), "distinct_id": _distinct_id(sent)}
    properties.update(_cut({name: value for name, value in sent.items() if name not in _NEVER_STORED}))
    # One of its own for each copy: an event sent without an id never counts as a duplicate of another.
    properties.setdefault("$insert_id", uuid.uuid4().hex)
    if imported:
        properties["$import"] = True
    properties["$mp_api_endpoint"] = _ENDPOINT
    properties["$mp_api_timestamp_ms"] = properties["mp_processing_time_ms"] = milliseconds(now)
    properties["$mp_event_size"] = len(msgspec.json.encode(event))
    return {"event": _cut(event["event"]), "properties": properties}


def _stored_time(sent: float | None, project: Project, now: datetime) -> int:
    """Milliseconds as exported. A time in the future, or none, becomes now."""
    time_ms = milliseconds(now) if sent is None else min(to_milliseconds(sent), milliseconds(now))
    if not project.created_before_2023:
        return time_ms
    local = (_EPOCH + timedelta(milliseconds=time_ms)).astimezone(project.zone)
    return milliseconds(local.replace(tzinfo=UTC))


def _distinct_id(sent: Event) -> str:
    """The id that was sent, or the one of Simplified ID Merge: the user's, else the device's, else none ("")."""
    for name, prefix in (("distinct_id", ""), ("$user_id", ""), ("$device_id", "$device:")):
        value = sent.get(name)
        if value is not None:
            return prefix + (value if isinstance(value, str) else msgspec.json.encode(value).decode())
    return ""


def _cut(value: Any) -> Any:
    """Texts and names longer than 255 characters lose the rest, without a word."""
    if isinstance(value, str):
        return value[:MAX_TEXT_CHARACTERS]
    if isinstance(value, dict):
        return {_cut(name): _cut(member) for name, member in value.items()}
    return [_cut(member) for member in value] if isinstance(value, list) else value


def _rewrite_hot_shards(store: Store, project: Project, events: list[Event]) -> None:
    """Take what exceeds the events of one user on one day away from that user."""
    threshold = project.hot_shard_threshold
    if store.count(project.project_id) + len(events) <= threshold:
        return
    shards = [(event["properties"]["distinct_id"], event["properties"]["time"] // _DAY_MS) for event in events]
    seen = Counter(store.shard_sizes(project.project_id, shards))
    for event, shard in zip(events, shards, strict=True):
        seen[shard] += 1
        if seen[shard] > threshold and shard[0]:
            properties = event["properties"]
            properties["mp_original_event_name"], properties["mp_original_distinct_id"] = event["event"], shard[0]
            event["event"], properties["distinct_id"] = "$hotshard_events", ""
