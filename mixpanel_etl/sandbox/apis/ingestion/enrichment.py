"""Stores accepted events, with the changes that Mixpanel makes to them.

Source: mixpanel-api.md#project-time, #export-records, #import, #track, #hot-shards.

Strings are truncated, credentials and addresses removed, Mixpanel's own properties added, ids completed, times of
legacy projects converted to project time, and hot shards rewritten.
"""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from mixpanel_etl.sandbox.apis.lexicon import Lexicon
from mixpanel_etl.sandbox.engine.clock import milliseconds
from mixpanel_etl.sandbox.engine.event_line import to_milliseconds
from mixpanel_etl.sandbox.engine.event_store import EventStore
from mixpanel_etl.sandbox.engine.identity import is_ignored
from mixpanel_etl.sandbox.engine.projects import Project
from mixpanel_etl.sandbox.engine.state import State

MAX_STRING_CHARACTERS = 255
_ENDPOINT = "api.mixpanel.com"
_NEVER_STORED = ("token", "ip", "time", "distinct_id")
_DAY_MS = 86_400_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Event = dict[str, Any]


def store_events(state: State, project: Project, events: Sequence[Event], now: datetime, *, imported: bool) -> None:
    """Store valid events; discard those with `$ignore`, and events and properties that Lexicon drops."""
    with state.lock:
        kept = [_as_utf8(event) for event in events if _is_kept(state, project, event)]
        identities, lexicon = state.identities, state.api_state(Lexicon)
        # First the identities of all events: a link also applies to the events before it.
        rejections = [identities.learn(project, event["event"], event["properties"]) for event in kept]
        identities.rewrite(project.project_id)
        enriched = []
        for event, rejection in zip(kept, rejections, strict=True):
            dropped = lexicon.dropped_properties(project.project_id, event["event"])
            stored = _enriched(project, event, dropped, now, imported)
            stored["properties"].update(identities.identify(project, event["event"], event["properties"]), **rejection)
            enriched.append(stored)
        _rewrite_hot_shards(state.store, project, enriched)
        state.store.add(project.project_id, [msgspec.json.encode(event) for event in enriched])


def _is_kept(state: State, project: Project, event: Event) -> bool:
    ignore = event["properties"].get("$ignore")
    if ignore is True or (isinstance(ignore, str) and ignore != ""):
        return False
    if is_ignored(project, event["event"]):
        return False
    return not state.api_state(Lexicon).is_dropped(project.project_id, event["event"])


def _as_utf8(event: Event) -> Event:
    """The event with question marks for invalid UTF-8, which only requests without validation can have."""
    try:
        msgspec.json.encode(event)
    except UnicodeEncodeError:
        clean: Event = json.loads(json.dumps(event, ensure_ascii=False).encode("utf-8", "replace"))
        return clean
    return event


def _enriched(project: Project, event: Event, dropped: set[str], now: datetime, imported: bool) -> Event:
    sent = event["properties"]
    left_out = {*_NEVER_STORED, *dropped}
    properties: Event = {"time": _stored_time(sent.get("time"), project, now), "distinct_id": ""}
    properties.update(truncated({name: value for name, value in sent.items() if name not in left_out}))
    # Unique for each copy: an event that was sent without an id is never a duplicate.
    properties.setdefault("$insert_id", uuid.uuid4().hex)
    if imported:
        properties["$import"] = True
    properties["$mp_api_endpoint"] = _ENDPOINT
    properties["$mp_api_timestamp_ms"] = properties["mp_processing_time_ms"] = milliseconds(now)
    properties["$mp_event_size"] = len(msgspec.json.encode(event))
    return {"event": truncated(event["event"]), "properties": properties}


def _stored_time(sent: float | None, project: Project, now: datetime) -> int:
    """Milliseconds as exported. A missing or future time becomes now."""
    time_ms = milliseconds(now) if sent is None else min(to_milliseconds(sent), milliseconds(now))
    if not project.created_before_2023:
        return time_ms
    local = (_EPOCH + timedelta(milliseconds=time_ms)).astimezone(project.zone)
    return milliseconds(local.replace(tzinfo=UTC))


def truncated(value: Any) -> Any:
    """The value with all strings and names cut to 255 characters."""
    if isinstance(value, str):
        return value[:MAX_STRING_CHARACTERS]
    if isinstance(value, dict):
        return {truncated(name): truncated(member) for name, member in value.items()}
    return [truncated(member) for member in value] if isinstance(value, list) else value


def _rewrite_hot_shards(store: EventStore, project: Project, events: list[Event]) -> None:
    """Rewrite the events above the threshold of one user on one day."""
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
