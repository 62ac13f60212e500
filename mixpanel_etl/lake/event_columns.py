"""The columns of the events table: the core ones, and the properties promoted to typed columns beside them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, cast

import pyarrow as pa

from mixpanel_etl.lake.errors import ConfigurationError

TIMESTAMP = pa.timestamp("ms", tz="UTC")
#: Declares a column that holds JSON. Files have it as a plain string (see `stored_field`).
JSON = pa.json_(pa.string())
_KIND = "mixpanel_etl.kind"
#: Up to here different integers are different doubles.
MAX_EXACT = 2**53

#: Column -> property of the export that fills it. Names are those of Mixpanel's own JSON pipelines (design 4).
ID_PROPERTIES = {
    "distinct_id": "distinct_id",
    "insert_id": "$insert_id",
    "device_id": "$device_id",
    "user_id": "$user_id",
}


def stored_field(
    name: str, kind: pa.DataType, *, nullable: bool = True, metadata: Mapping[str, str] | None = None
) -> pa.Field:
    """A column as files have it.

    JSON becomes a plain string, because Parquet's JSON type makes Polars before 1.30 panic and comes as bytes or as an
    extension type in others; that it is JSON stands in the field's metadata.
    """
    if kind == JSON:
        return pa.field(name, pa.string(), nullable, {**(metadata or {}), _KIND: "json"})
    return pa.field(name, kind, nullable, metadata)


def is_json(field: pa.Field) -> bool:
    """Whether a column of a file holds JSON; files of older versions have Parquet's JSON type."""
    return isinstance(field.type, pa.JsonType) or (field.metadata or {}).get(_KIND.encode()) == b"json"


CORE_SCHEMA = pa.schema(
    [
        pa.field("event_name", pa.string()),
        pa.field("time", TIMESTAMP, nullable=False),
        *(pa.field(name, pa.string()) for name in ID_PROPERTIES),
        pa.field("processing_time", TIMESTAMP),
        stored_field("properties", JSON, nullable=False),
        pa.field("properties_as_sent", pa.string()),
    ]
)
#: Properties that fill these columns.
_CORE_PROPERTIES = {"time", *ID_PROPERTIES.values(), "mp_processing_time_ms"}
#: What the columns hold, for catalogues.
DESCRIPTIONS = {
    "event_name": "Name of the event.",
    "time": "When it happened.",
    "distinct_id": "Who did it, as Mixpanel resolved the identity when it was exported.",
    "insert_id": "Mixpanel's key for deduplication; rows without one are never taken for copies.",
    "device_id": "The device, before or without a known user.",
    "user_id": "The known user.",
    "processing_time": "When Mixpanel processed it: the watermark for late arrivals.",
    "properties": "All properties as Mixpanel sent them, byte for byte (JSON); see `properties_as_sent`.",
    "properties_as_sent": "What Mixpanel sent, where no JSON reader takes it (half of a surrogate pair): there, "
    "`properties` has U+FFFD instead. Null for all other rows.",
}
#: What makes two rows copies of one event; Mixpanel's raw export does not deduplicate (mixpanel-api.md#deduplication).
DEDUP_KEY = ("event_name", "time", "distinct_id", "insert_id")

ColumnType = Literal["string", "integer", "number", "boolean", "timestamp"]


@dataclass(frozen=True)
class PromotedColumn:
    """A property that gets a typed column of its own, beside its place in `properties`.

    A value that does not fit becomes null there: `string` takes strings only, `integer` integers of up to 64 bits,
    `number` numbers that a double can hold, `boolean` true and false, `timestamp` ISO 8601 strings (without an offset:
    UTC).

    Attributes:
        source: the property's name in Mixpanel, as `$city`.
        type: one of string, integer, number, boolean, timestamp.
        name: name of the column; by default the property's in Mixpanel's schematized form (`$city` -> `mp_city`).

    Raises:
        ConfigurationError: unknown type, or an empty name.
    """

    source: str
    type: ColumnType
    name: str = ""

    def __post_init__(self) -> None:
        if self.type not in _TYPES:
            raise ConfigurationError(
                f"column {self.source!r}: unknown type {self.type!r}; use one of {', '.join(_TYPES)}"
            )
        if not self.name:
            object.__setattr__(self, "name", column_name(self.source))

    @property
    def description(self) -> str:
        """What the column holds, for catalogues."""
        return f"Property {self.source}, where it is a {self.type}."

    @property
    def field(self) -> pa.Field:
        return pa.field(self.name, _TYPES[self.type][0], metadata={"mixpanel.property": self.source})

    def array(self, values: Sequence[Any]) -> pa.Array:
        """The decoded JSON values (None where the property is missing) as a column."""
        arrow_type, fit = _TYPES[self.type]
        return pa.array([fit(value) for value in values], arrow_type)


def column_name(property_name: str) -> str:
    """The column name that Mixpanel's schematized pipelines give a property (mixpanel-api.md#pipeline-columns).

    Raises:
        ConfigurationError: nothing is left of the name.
    """
    name = re.sub(r"[^0-9a-z]+", "_", re.sub(r"^\$", "mp_", property_name.lower())).strip("_")[:128]
    if not name:
        raise ConfigurationError(f"property {property_name!r} makes no column name; give it one with `name`")
    return name


def event_schema(promoted: Sequence[PromotedColumn] = ()) -> pa.Schema:
    """The schema of every file of an events table.

    Raises:
        ConfigurationError: see `with_promoted`.
    """
    return with_promoted(CORE_SCHEMA, promoted, _CORE_PROPERTIES)


def in_core_schema(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Rows of a file, also of one that an older version wrote, with the columns that all events have today."""
    columns = [
        batch.column(field.name).cast(field.type)
        if field.name in batch.schema.names
        else pa.nulls(len(batch), field.type)
        for field in CORE_SCHEMA
    ]
    return pa.record_batch(columns, schema=CORE_SCHEMA)


def with_promoted(schema: pa.Schema, promoted: Sequence[PromotedColumn], filled: Collection[str]) -> pa.Schema:
    """A schema with the promoted columns after its own.

    Args:
        schema: of a table whose partitions are called `date`.
        promoted: the further columns.
        filled: properties that fill columns of the schema.

    Raises:
        ConfigurationError: two columns have one name (most databases do not tell upper from lower case), or a property
            has a column of its own already.
    """
    taken = {"date", *schema.names}  # `date`: the column that readers make of the folder's name
    for column in promoted:
        if column.source in filled:
            raise ConfigurationError(f"property {column.source!r} fills a column of its own already; do not promote it")
        if column.name.lower() in taken:
            raise ConfigurationError(
                f"column {column.name!r} (property {column.source!r}) exists already; give it another `name`"
            )
        taken.add(column.name.lower())
        schema = schema.append(column.field)
    return schema


def _string(value: Any) -> str | None:
    if not isinstance(value, str):
        return None
    return value if value.isascii() else replace_half_surrogates(value)


def replace_half_surrogates(text: str) -> str:
    """The text with halves of surrogate pairs, which UTF-8 cannot hold, replaced by U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


# Every escape is read, so that an escaped backslash begins none; whole pairs stay.
_ESCAPE = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\."
)


def readable_json(value: Any) -> str:
    """A decoded value as compact JSON that every reader takes: halves of surrogate pairs are replaced by U+FFFD."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text if text.isascii() else replace_half_surrogates(text)


def replace_surrogate_escapes(json_text: str) -> str:
    r"""A JSON text in which escapes of half a surrogate pair (`\ud83d`) are `\ufffd`: most readers reject them."""
    return _ESCAPE.sub(lambda escape: r"\ufffd" if escape[1] else escape[0], json_text)


def as_int64(value: Any) -> int | None:
    """An integer that fits 64 bits; None for everything else.

    A float counts as an integer up to 2**53: beyond, decoding may have changed it (`9007199254740993.0`).
    """
    if isinstance(value, float) and value.is_integer() and abs(value) < MAX_EXACT:
        value = int(value)
    fits = isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63
    return value if fits else None


def as_float64(value: Any) -> float | None:
    """A number that a double can hold; None for everything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _boolean(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _timestamp(value: Any) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        timestamp = datetime.fromisoformat(value)
        return timestamp.astimezone(UTC) if timestamp.tzinfo else timestamp.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


_TYPES: dict[str, tuple[pa.DataType, Callable[[Any], Any]]] = {
    "string": (pa.string(), _string),
    "integer": (pa.int64(), as_int64),
    "number": (pa.float64(), as_float64),
    "boolean": (pa.bool_(), _boolean),
    "timestamp": (TIMESTAMP, _timestamp),
}


def promoted_type(arrow_type: pa.DataType) -> ColumnType:
    """The `type` of a promoted column whose files hold this Arrow type; wider ones count as strings."""
    for name, (known, _) in _TYPES.items():
        if known == arrow_type:
            return cast("ColumnType", name)
    return "string"
