"""The columns of typed events: which Arrow type a property gets, and what it is called."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pyarrow as pa

from mixpanel_etl.lake import DESCRIPTIONS, ConfigurationError, Table
from mixpanel_etl.lake.column_record import Columns, columns_of_schema, settle_columns
from mixpanel_etl.lake.event_columns import CORE_SCHEMA, ID_PROPERTIES, JSON, column_name, stored_field

#: JSON's types of a property, as the Lexicon calls them; `integer` is a `number` without a fraction.
Types = frozenset[str]
#: The column of everything that has no column, or does not fit in its own.
OTHER = "other_properties"
#: Properties that fill the columns which all events have.
CORE_PROPERTIES = ("time", *ID_PROPERTIES.values(), "mp_processing_time_ms")
_CORE = [field for field in CORE_SCHEMA if field.name not in ("event_name", "properties", "properties_as_sent")]
_STRING, _INTEGER, _NUMBER, _BOOLEAN = pa.string(), pa.int64(), pa.float64(), pa.bool_()


@dataclass(frozen=True)
class TypedColumn:
    """The column of a property.

    Attributes:
        source: the property's name in Mixpanel.
        types: that its values may have; at least one besides `null`.
        name: of the column.
        description: what the Lexicon says of it.
    """

    source: str
    types: Types
    name: str
    description: str = ""

    @property
    def arrow(self) -> pa.DataType:
        """Numbers and booleans as such, arrays and objects as JSON; several of these as text."""
        types = self.types - {"null"}
        if types <= {"array", "object"}:
            return JSON
        if types == {"integer"}:
            return _INTEGER
        if types <= {"integer", "number"}:
            return _NUMBER
        return _BOOLEAN if types == {"boolean"} else _STRING

    @property
    def field(self) -> pa.Field:
        return stored_field(self.name, self.arrow, metadata={"mixpanel.property": self.source})


def columns_of(
    types: Mapping[str, Types],
    described: Mapping[str, str] | None = None,
    known: Mapping[str, str] | None = None,
) -> list[TypedColumn]:
    """The columns of some properties, in the order of the properties' names.

    They have the names that Mixpanel's schematized pipelines give (`$city` -> `mp_city`); of two that would have the
    same one the second gets a mark of its own. A property that is only ever null has none, and those that fill the
    columns of all events have no second one.

    Args:
        types: of each property.
        described: what is said of them.
        known: property by column, of columns that the table has already: they keep their properties.
    """
    names = {source: name for name, source in (known or {}).items()}
    taken = {"date", OTHER, *(field.name for field in _CORE), *(known or {})}
    found = []
    for source in sorted(types):
        if source in CORE_PROPERTIES or not types[source] - {"null"}:
            continue
        name = names.get(source) or _name(source, taken)
        taken.add(name)
        found.append(TypedColumn(source, types[source], name, (described or {}).get(source, "")))
    return found


def settled_columns(
    table: Table, types: Mapping[str, Types], described: Mapping[str, str] | None = None
) -> list[TypedColumn]:
    """The columns of some properties in a table that may have files: a column never changes its property.

    What is decided is remembered with the table before anything is published, for all processes and for good.

    Args:
        table: the typed table.
        types: see `columns_of`.
        described: see `columns_of`.
    """
    found: list[TypedColumn] = []

    def choose(known: Columns) -> Columns:
        sources = {name: column.property for name, column in known.items() if column.property is not None}
        found[:] = columns_of(types, described, sources)
        return columns_of_schema(typed_schema(found))

    settle_columns(table.storage, table.name, choose)
    return found


def typed_schema(columns: Iterable[TypedColumn]) -> pa.Schema:
    """The schema of a file of typed events."""
    return pa.schema([*_CORE, *(column.field for column in columns), stored_field(OTHER, JSON)])


def descriptions(columns: Iterable[TypedColumn]) -> dict[str, str]:
    """What the columns hold, for catalogues."""
    own = {column.name: column.description or f"Property {column.source}." for column in columns}
    return DESCRIPTIONS | own | {OTHER: "Properties without a column, and values that do not fit in theirs (JSON)."}


def _name(source: str, taken: set[str]) -> str:
    mark = hashlib.blake2b(source.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
    try:
        name = column_name(source)
    except ConfigurationError:  # nothing is left of a name in another script
        return f"property_{mark}"
    return f"{name}_{mark}" if name in taken else name
