"""Events and what is known of them. Source: mixpanel-api.md#query-retention, #query-events, #lexicon."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import UNSET, UnsetType

from mixpanel_etl.client import Mixpanel, VendorMetadata
from mixpanel_etl.client.query.events import MAX_NAMES
from mixpanel_etl.client.query.parameters import MAX_VALUES
from mixpanel_etl.lake.event_columns import JSON
from mixpanel_etl.pull.listings import BOOLEAN, INTEGER, NUMBER, STRING, STRINGS, Listing
from mixpanel_etl.pull.published import Column

#: Of an event: more than ten, which is what Mixpanel shows when nothing is said.
_MAX_PROPERTIES = MAX_VALUES

_METADATA = (
    Column("display_name", STRING, "What it is called in Mixpanel's reports."),
    Column("tags", STRINGS, "Its tags."),
    Column("hidden", BOOLEAN, "Whether it is hidden from reports."),
    Column("dropped", BOOLEAN, "Whether Mixpanel throws it away at ingestion."),
    Column("contacts", STRINGS, "E-mail addresses of those responsible."),
    Column("team_contacts", STRINGS, "Teams responsible."),
    Column("source", STRING, "Where the definition came from."),
)


def _event_names(mixpanel: Mixpanel) -> Iterator[dict[str, Any]]:
    for name in mixpanel.query.event_names():
        yield {"event": name}


EVENT_NAMES = Listing(
    "event_names",
    "The names of the events of the last 31 days: the 5,000 most common ones.",
    (Column("event", STRING, "Name of an event."),),
    _event_names,
    budget="query",
    limit=MAX_NAMES,
)


def top_properties(events: int) -> Listing:
    """The most frequent properties of the most frequent events: one query per event, and one more."""

    def ask(mixpanel: Mixpanel) -> Iterator[dict[str, Any]]:
        for event in mixpanel.query.event_names(limit=events):
            for name, count in mixpanel.query.top_properties(event, _MAX_PROPERTIES).items():
                yield {"event": event, "property": name, "count": count}

    return Listing(
        "top_properties",
        f"The {_MAX_PROPERTIES:,} most common properties of each of the {events} most common events.",
        (
            Column("event", STRING, "Name of an event."),
            Column("property", STRING, "A property that it has."),
            Column("count", NUMBER, "How many of its events have the property."),
        ),
        ask,
        budget="query",
        impersonal=("count",),
        limit=_MAX_PROPERTIES,
        limited_by="event",
    )


def _schemas(mixpanel: Mixpanel) -> Iterator[dict[str, Any]]:
    for entry in mixpanel.lexicon.list_schemas():
        schema = entry.schema_json
        yield {
            "entity_type": entry.entity_type,
            "name": entry.name,
            "description": _or_none(schema.description),
            "properties": len(schema.properties),
            **_metadata(schema.metadata),
            "more": schema.unknown or None,
        }


LEXICON_SCHEMAS = Listing(
    "lexicon_schemas",
    "The data dictionary: one row for each event, or kind of profile, that has a schema.",
    (
        Column("entity_type", STRING, "`event` or `profile`."),
        Column("name", STRING, "Name of the event; `$user` for user profiles."),
        Column("description", STRING, "What it is."),
        Column("properties", INTEGER, "How many properties are described."),
        *_METADATA,
        Column("more", JSON, "Other keys of its JSON Schema."),
    ),
    _schemas,
    budget="lexicon",
    impersonal=("entity_type", "name", "properties", "hidden", "dropped"),
)


def _properties(mixpanel: Mixpanel) -> Iterator[dict[str, Any]]:
    for entry in mixpanel.lexicon.list_schemas():
        for name, described in entry.schema_json.properties.items():
            yield {
                "entity_type": entry.entity_type,
                "name": entry.name,
                "property": name,
                "types": [described.type] if isinstance(described.type, str) else described.type,
                "description": _or_none(described.description),
                **_metadata(described.metadata),
            }


LEXICON_PROPERTIES = Listing(
    "lexicon_properties",
    "The data dictionary: one row for each property of an event or profile.",
    (
        Column("entity_type", STRING, "`event` or `profile`."),
        Column("name", STRING, "Name of the event; `$user` for user profiles."),
        Column("property", STRING, "Name of the property."),
        Column("types", STRINGS, "Types of its values, as JSON Schema names them."),
        Column("description", STRING, "What it is."),
        *_METADATA,
    ),
    _properties,
    budget="lexicon",
    impersonal=("entity_type", "name", "property", "types", "hidden", "dropped"),
)


def _metadata(described: VendorMetadata | UnsetType) -> dict[str, Any]:
    if not described or not described.mixpanel:
        return {}
    known = described.mixpanel
    return {column.name: _or_none(getattr(known, column.name)) for column in _METADATA}


def _or_none(value: Any) -> Any:
    return None if value is UNSET else value
