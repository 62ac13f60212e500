"""What can be said of an event, a profile or a property, and how files and Mixpanel call it: the one list of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from msgspec import UNSET

from mixpanel_etl.client import (
    EntityType,
    PropertyType,
    Schema,
    SchemaEntry,
    SchemaMetadata,
    SchemaProperty,
    VendorMetadata,
)

Form = Literal["string", "strings", "flag", "type"]
KINDS: tuple[str, ...] = get_args(EntityType)
PROPERTY_TYPES: tuple[str, ...] = get_args(PropertyType)


@dataclass(frozen=True)
class Attribute:
    """One thing that a file can say.

    Args:
        form: of its value.
        in_metadata: known to Mixpanel alone (`metadata["com.mixpanel"]`): an upload that leaves it out keeps the old
            value, so that its removal takes a null (mixpanel-api.md#lexicon).
    """

    form: Form
    in_metadata: bool = True


#: By the name that files use, which is also that of the client's field.
OF_ENTITIES: Mapping[str, Attribute] = {
    "description": Attribute("string", in_metadata=False),
    "display_name": Attribute("string"),
    "tags": Attribute("strings"),
    "hidden": Attribute("flag"),
    "dropped": Attribute("flag"),
    "contacts": Attribute("strings"),
    "team_contacts": Attribute("strings"),
    "source": Attribute("string"),
}
OF_PROPERTIES: Mapping[str, Attribute] = {
    "type": Attribute("type", in_metadata=False),
    "description": Attribute("string", in_metadata=False),
    "display_name": Attribute("string"),
    "hidden": Attribute("flag"),
    "dropped": Attribute("flag"),
}

Said = dict[str, Any]


def said_of_entity(schema: Schema) -> Said:
    """What a schema says of its entity, without empty values: empty strings and lists, false, null."""
    return _said(schema, OF_ENTITIES)


def said_of_property(described: SchemaProperty) -> Said:
    """The same of a property."""
    return _said(described, OF_PROPERTIES)


def entry(kind: str, name: str, said: Said, properties: Mapping[str, Said]) -> SchemaEntry:
    """The other way round: a schema that says so."""
    own = _metadata(said, OF_ENTITIES)
    schema = Schema(
        description=said.get("description", UNSET),
        properties={title: _property(of) for title, of in properties.items()},
        metadata=own,
    )
    return SchemaEntry(entity_type=kind, name=name, schema_json=schema)


def same(one: Any, other: Any) -> bool:
    """Whether two values of an attribute mean the same: the order of tags, contacts and types does not matter."""
    if isinstance(one, list) and isinstance(other, list):
        return sorted(one) == sorted(other)
    return bool(one == other)


def _property(said: Said) -> SchemaProperty:
    return SchemaProperty(
        type=said["type"], description=said.get("description", UNSET), metadata=_metadata(said, OF_PROPERTIES)
    )


def _metadata(said: Said, attributes: Mapping[str, Attribute]) -> VendorMetadata | Any:
    own = {name: said[name] for name, attribute in attributes.items() if attribute.in_metadata and name in said}
    return VendorMetadata(mixpanel=SchemaMetadata(**own)) if own else UNSET


def _said(described: Schema | SchemaProperty, attributes: Mapping[str, Attribute]) -> Said:
    own = described.metadata.mixpanel if described.metadata else UNSET
    values = {
        name: getattr(own, name, None) if attribute.in_metadata else getattr(described, name)
        for name, attribute in attributes.items()
    }
    return {name: value for name, value in values.items() if value is not UNSET and value}
