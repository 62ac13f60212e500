"""Lexicon schemas: the project's data dictionary. Source: mixpanel-api.md#lexicon."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, get_args

import msgspec
from msgspec import UNSET, UnsetType

from mixpanel_etl.client.errors import InvalidRequest
from mixpanel_etl.client.operations import parameters
from mixpanel_etl.client.operations.api import JSON, Api, Operations
from mixpanel_etl.client.operations.replies import Reply, results, typed

operation = Operations("app", "lexicon", prefix="/projects/{project_id}/schemas", budgets=("lexicon",))

EntityType = Literal["event", "profile"]
PropertyType = Literal["array", "boolean", "integer", "null", "number", "object", "string"]

MAX_ITEMS = 4000  # events and properties, a minute


class SchemaMetadata(Reply, frozen=True, kw_only=True):
    """Mixpanel's settings of an entity or a property.

    In an upload, fields that are left out keep their value in Mixpanel, and None removes the value. (The rest of a
    schema is replaced as a whole.)

    Args:
        dropped: whether Mixpanel discards the event or the property permanently at ingestion.
    """

    source: str | UnsetType | None = msgspec.field(name="$source", default=UNSET)
    display_name: str | UnsetType | None = msgspec.field(name="displayName", default=UNSET)
    tags: list[str] | UnsetType | None = UNSET
    hidden: bool | UnsetType | None = UNSET
    dropped: bool | UnsetType | None = UNSET
    contacts: list[str] | UnsetType | None = UNSET
    team_contacts: list[str] | UnsetType | None = msgspec.field(name="teamContacts", default=UNSET)


class VendorMetadata(Reply, frozen=True, kw_only=True):
    """Metadata by vendor."""

    returns_unknown: ClassVar[bool] = True

    mixpanel: SchemaMetadata | UnsetType = msgspec.field(name="com.mixpanel", default=UNSET)


class SchemaProperty(Reply, frozen=True, kw_only=True):
    """A property of an event or a profile; `type` is one of `PropertyType`, or several."""

    type: str | list[str]
    description: str | UnsetType | None = UNSET
    metadata: VendorMetadata | UnsetType = UNSET


class Schema(Reply, frozen=True, kw_only=True):
    """Description and properties of an event, or of profiles."""

    # Mixpanel allows other keys of JSON Schema here, and nowhere else (mixpanel-api.md#lexicon).
    returns_unknown: ClassVar[bool] = True

    description: str | UnsetType | None = UNSET
    properties: dict[str, SchemaProperty] = msgspec.field(default_factory=dict)
    metadata: VendorMetadata | UnsetType = UNSET


class SchemaEntry(Reply, frozen=True, kw_only=True):
    """A schema with its entity. The schema of user profiles has the name `$user`."""

    entity_type: str = msgspec.field(name="entityType")
    name: str
    schema_json: Schema = msgspec.field(name="schemaJson")


class CreatedSchemas(Reply, frozen=True, kw_only=True):
    """Number of schemas that an upload added, and that `truncate` deleted."""

    added: int
    deleted: int = 0


class Lexicon(Api):
    """Reads and writes the data dictionary. Five requests a minute for the whole organization.

    It contains only what has a schema: for all events of the project, see `query.event_names`. Every method raises
    `InvalidRequest` when a parameter can't work, and one of the kinds in `client.errors` if Mixpanel rejects
    the request.
    """

    @operation("GET")
    def list_schemas(self) -> list[SchemaEntry]:
        """All schemas."""
        return self._result(list[SchemaEntry])

    @operation("POST", "", "4,000 events and properties", sends=JSON, idempotent=True)
    def create_schemas(self, entries: Sequence[SchemaEntry], *, truncate: bool = False) -> CreatedSchemas:
        """Create or replace schemas.

        Args:
            entries: up to 4,000 events and properties together.
            truncate: delete the ENTIRE dictionary first; up to 3,000 schemas.
        """
        items = 0
        for position, entry in enumerate(entries):
            _check_type(entry.entity_type)
            parameters.string(f"entries[{position}].name", entry.name)
            _check_properties(entry.entity_type, entry.name, entry.schema_json)
            items += _items(entry.schema_json)
            _check_items(items, f"entries[{position}], {entry.name!r}")
        if not entries:
            raise InvalidRequest("no entries", advice="Give at least one; to delete, delete_schemas.")
        body = {"entries": list(entries), "truncate": truncate}
        return self._result(CreatedSchemas, json=body, cost={"items": items})

    @operation("DELETE", "", "3,000 deletions, counted by Mixpanel")
    def delete_schemas(self) -> int:
        """Delete ALL schemas, at most 3,000 in one request; returns their number."""
        return self._delete()

    @operation("GET", "/{entity_type}")
    def list_schemas_of_type(self, entity_type: EntityType) -> list[SchemaEntry]:
        """The schemas of events, or of profiles."""
        return self._result(list[SchemaEntry], path={"entity_type": _check_type(entity_type)})

    @operation("DELETE", "/{entity_type}")
    def delete_schemas_of_type(self, entity_type: EntityType) -> int:
        """Delete all schemas of events, or of profiles; returns their number."""
        return self._delete(path={"entity_type": _check_type(entity_type)})

    @operation("GET", "/{entity_type}/{name}")
    def get_schema(self, entity_type: EntityType, name: str) -> Schema:
        """One schema."""
        return self._result(Schema, path=_path(entity_type, name))

    @operation("POST", "/{entity_type}/{name}", "4,000 properties", sends=JSON, idempotent=True)
    def create_schema(self, entity_type: EntityType, name: str, schema: Schema) -> None:
        """Create or replace one schema."""
        path = _path(entity_type, name)
        _check_properties(entity_type, name, schema)
        _check_items(_items(schema), repr(name))
        self._done(path=path, json=schema, cost={"items": _items(schema)})

    @operation("DELETE", "/{entity_type}/{name}")
    def delete_schema(self, entity_type: EntityType, name: str) -> int:
        """Delete one schema; returns 1, or 0 if it did not exist."""
        return self._delete(path=_path(entity_type, name))

    def _delete(self, **parts: Any) -> int:
        reply = results(self._json(**parts))
        return typed(reply.get("delete_count") if isinstance(reply, dict) else reply, int)


def _path(entity_type: EntityType, name: str) -> dict[str, str]:
    return {"entity_type": _check_type(entity_type), "name": parameters.string("name", name)}


def _check_type(entity_type: str) -> str:
    return parameters.choice("entity_type", entity_type, get_args(EntityType))


def _check_properties(entity_type: str, name: str, schema: Schema) -> None:
    for title, prop in schema.properties.items():
        for kind in [prop.type] if isinstance(prop.type, str) else prop.type:
            parameters.choice(f"type of {name!r}, property {title!r},", kind, get_args(PropertyType))
    if entity_type == "profile" and schema.metadata and schema.metadata.mixpanel and schema.metadata.mixpanel.dropped:
        raise InvalidRequest(f"{name!r} is dropped", advice="Only events can be dropped.")


def _items(schema: Schema) -> int:
    return 1 + len(schema.properties)


def _check_items(items: int, where: str) -> None:
    if items > MAX_ITEMS:
        raise InvalidRequest(
            f"more than {MAX_ITEMS:,} events and properties, the limit of a minute, from {where} on",
            advice="Send the rest in further requests.",
        )
