"""What the Lexicon declares of events."""

from __future__ import annotations

from mixpanel_etl.client import Schema
from mixpanel_etl.pull.typed.typed_columns import Types


def declared_types(schema: Schema) -> dict[str, Types]:
    """The types of each property that a schema describes."""
    return {
        name: frozenset([described.type] if isinstance(described.type, str) else described.type)
        for name, described in schema.properties.items()
    }


def declared_descriptions(schema: Schema) -> dict[str, str]:
    """What a schema says of its properties."""
    return {name: described.description for name, described in schema.properties.items() if described.description}
