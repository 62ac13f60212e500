"""Lexicon schemas: the project's data dictionary. Source: mixpanel-api.md#lexicon."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, get_args

import msgspec
from msgspec import UNSET, UnsetType

from mixpanel_etl.client.errors import InvalidRequest
from mixpanel_etl.client.operations import parameters
from mixpanel_etl.client.operations.api import Group
from mixpanel_etl.client.operations.replies import Reply, plain, results, typed

EntityType = Literal["event", "profile"]
PropertyType = Literal["array", "boolean", "integer", "null", "number", "object", "string"]

MOST_ITEMS = 4000  # events and properties, a minute


class Metadata(Reply, frozen=True, kw_only=True):
    """What only Mixpanel knows of an entity or a property.

    When it is sent, what is left out stays as it is in Mixpanel, and None removes it. The other way round for the
    rest of a schema, which an upload replaces.

    Args:
        dropped: of an event or its property: lose it at ingestion, for ever.
    """

    source: str | UnsetType | None = msgspec.field(name="$source", default=UNSET)
    display_name: str | UnsetType | None = msgspec.field(name="displayName", default=UNSET)
    tags: list[str] | UnsetType | None = UNSET
    hidden: bool | UnsetType | None = UNSET
    dropped: bool | UnsetType | None = UNSET
    contacts: list[str] | UnsetType | None = UNSET
    team_contacts: list[str] | UnsetType | None = msgspec.field(name="teamContacts", default=UNSET)


class AllMetadata(Reply, frozen=True, kw_only=True):
    """Metadata by whose it is."""

    returns_unknown: ClassVar[bool] = True

    mixpanel: Metadata | UnsetType = msgspec.field(name="com.mixpanel", default=UNSET)


class Property(Reply, frozen=True, kw_only=True):
    """A property of an event or a profile; `type` is one of `PropertyType`, or several."""

    type: str | list[str]
    description: str | UnsetType | None = UNSET
    metadata: AllMetadata | UnsetType = UNSET


class Schema(Reply, frozen=True, kw_only=True):
    """What is known of an event, or of profiles."""

    # Mixpanel allows other keys of JSON Schema here, and nowhere else (mixpanel-api.md#lexicon).
    returns_unknown: ClassVar[bool] = True

    description: str | UnsetType | None = UNSET
    properties: dict[str, Property] = msgspec.field(default_factory=dict)
    metadata: AllMetadata | UnsetType = UNSET


class SchemaEntry(Reply, frozen=True, kw_only=True):
    """A schema and what it is of. The schema of user profiles has the name `$user`."""

    entity_type: str = msgspec.field(name="entityType")
    name: str
    schema_json: Schema = msgspec.field(name="schemaJson")


class Created(Reply, frozen=True, kw_only=True):
    """How many schemas an upload brought, and how many `truncate` took away."""

    added: int
    deleted: int = 0


class Lexicon(Group):
    """Reads and writes the data dictionary. Five requests a minute for the whole organization.

    Only what has a schema is in it: for the events that exist, see `query.event_names`. Every method raises
    `InvalidRequest` when a parameter can't work, and one of the kinds in `client.errors` when Mixpanel refuses.
    """

    group = "lexicon"

    def list_schemas(self) -> list[SchemaEntry]:
        """All schemas."""
        reply = results(self._call("list_schemas"))
        return plain(reply, list[SchemaEntry], endpoint=self._endpoint("list_schemas"))

    def create_schemas(self, entries: Sequence[SchemaEntry], *, truncate: bool = False) -> Created:
        """Create or replace schemas.

        Args:
            entries: up to 4,000 events and properties together.
            truncate: delete the ENTIRE dictionary first; up to 3,000 schemas.
        """
        endpoint = self._endpoint("create_schemas")
        items = 0
        for position, entry in enumerate(entries):
            _check_type(entry.entity_type, endpoint)
            parameters.text(f"entries[{position}].name", entry.name, endpoint)
            _check_properties(entry.entity_type, entry.name, entry.schema_json, endpoint)
            items += _items(entry.schema_json)
            _check_items(items, f"entries[{position}], {entry.name!r}", endpoint)
        if not entries:
            raise InvalidRequest(
                "no entries", endpoint=endpoint, advice="Give at least one; to delete, delete_schemas."
            )
        reply = self._call(
            "create_schemas", json={"entries": list(entries), "truncate": truncate}, cost={"items": items}
        )
        return typed(Created, results(reply), endpoint=endpoint)

    def delete_schemas(self) -> int:
        """Delete ALL schemas: how many. At most 3,000 in one request."""
        return self._delete("delete_schemas", {})

    def list_schemas_of_type(self, entity_type: EntityType) -> list[SchemaEntry]:
        """The schemas of events, or of profiles."""
        endpoint = self._endpoint("list_schemas_of_type")
        reply = self._call("list_schemas_of_type", path={"entity_type": _check_type(entity_type, endpoint)})
        return plain(results(reply), list[SchemaEntry], endpoint=endpoint)

    def delete_schemas_of_type(self, entity_type: EntityType) -> int:
        """Delete all schemas of events, or of profiles: how many."""
        kind = _check_type(entity_type, self._endpoint("delete_schemas_of_type"))
        return self._delete("delete_schemas_of_type", {"entity_type": kind})

    def get_schema(self, entity_type: EntityType, name: str) -> Schema:
        """One schema."""
        endpoint = self._endpoint("get_schema")
        reply = self._call("get_schema", path=_entity(entity_type, name, endpoint))
        return typed(Schema, results(reply), endpoint=endpoint)

    def create_schema(self, entity_type: EntityType, name: str, schema: Schema) -> None:
        """Create or replace one schema."""
        endpoint = self._endpoint("create_schema")
        path = _entity(entity_type, name, endpoint)
        _check_properties(entity_type, name, schema, endpoint)
        _check_items(_items(schema), repr(name), endpoint)
        self._do("create_schema", path=path, json=schema, cost={"items": _items(schema)})

    def delete_schema(self, entity_type: EntityType, name: str) -> int:
        """Delete one schema: 1, or 0 when there was none."""
        return self._delete("delete_schema", _entity(entity_type, name, self._endpoint("delete_schema")))

    def _delete(self, name: str, path: dict[str, str]) -> int:
        reply: Any = results(self._call(name, path=path))
        return plain(
            reply.get("delete_count") if isinstance(reply, dict) else reply, int, endpoint=self._endpoint(name)
        )


def _entity(entity_type: EntityType, name: str, endpoint: str) -> dict[str, str]:
    return {"entity_type": _check_type(entity_type, endpoint), "name": parameters.text("name", name, endpoint)}


def _check_type(entity_type: str, endpoint: str) -> str:
    return parameters.choice("entity_type", entity_type, get_args(EntityType), endpoint)


def _check_properties(entity_type: str, name: str, schema: Schema, endpoint: str) -> None:
    for title, prop in schema.properties.items():
        for kind in [prop.type] if isinstance(prop.type, str) else prop.type:
            parameters.choice(f"type of {name!r}, property {title!r},", kind, get_args(PropertyType), endpoint)
    if entity_type == "profile" and schema.metadata and schema.metadata.mixpanel and schema.metadata.mixpanel.dropped:
        raise InvalidRequest(f"{name!r} is dropped", endpoint=endpoint, advice="Only events can be dropped.")


def _items(schema: Schema) -> int:
    return 1 + len(schema.properties)


def _check_items(items: int, where: str, endpoint: str) -> None:
    if items > MOST_ITEMS:
        raise InvalidRequest(
            f"more than {MOST_ITEMS:,} events and properties, the limit of a minute, from {where} on",
            endpoint=endpoint,
            advice="Send the rest in further requests.",
        )
