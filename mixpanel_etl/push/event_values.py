"""Values of rows as polars expressions of what is sent of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa

from mixpanel_etl.client.ingestion.events import INSERT_ID, MAX_STRING_BYTES, check_nested
from mixpanel_etl.lake.event_columns import replace_surrogate_escapes
from mixpanel_etl.reserved_ids import RESERVED_IDS

if TYPE_CHECKING:
    import polars as pl

#: Reason of the rejection of a reserved id.
PLACEHOLDER = "{} is a placeholder id that Mixpanel ignores"
#: What is removed from both ends of every id of a query.
WHITESPACE = "".join(char for char in map(chr, range(0x3001)) if char.isspace())
TRIMMED = "spaces around the id are removed"
CUT = "longer than 255 bytes, Mixpanel cuts it"
NOT_FINITE = "NaN or infinity, sent as null"
HALVED = "half of a surrogate pair, sent as U+FFFD"
_PER_MILLISECOND = {"s": 0.001, "ms": 1, "us": 1_000, "ns": 1_000_000}


def frame_of(batch: pa.RecordBatch) -> pl.DataFrame:
    """Rows for polars, which does not know Arrow's extension types."""
    import polars as pl

    arrays = [column.storage if isinstance(column, pa.ExtensionArray) else column for column in batch.columns]
    frame = pl.from_arrow(pa.RecordBatch.from_arrays(arrays, batch.schema.names))
    assert isinstance(frame, pl.DataFrame)  # noqa: S101 - a record batch becomes a frame
    return frame


def is_id(kind: pa.DataType) -> bool:
    """Whether a column of this type can hold ids: strings and integers."""
    return is_text(kind) or bool(pa.types.is_integer(kind))


def is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):  # as an ENUM is
        return is_text(kind.value_type)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def milliseconds(name: str, kind: pl.DataType, *, unit: str | None, zone: str | None) -> pl.Expr:
    """The times of a column since 1970, in UTC.

    Args:
        name: of the column.
        kind: its type: timestamps, dates or numbers.
        unit: of numbers.
        zone: of timestamps without one, and of dates; UTC by default.
    """
    import polars as pl

    column = pl.col(name)
    if kind.is_integer() or kind.is_float():
        return (column / _PER_MILLISECOND[unit or "ms"]).round().cast(pl.Int64, strict=False)
    if isinstance(kind, pl.Datetime) and kind.time_zone:
        return column.dt.timestamp("ms")
    # A local time that exists twice is the first one; a row with one that does not exist is rejected.
    local = column.cast(pl.Datetime("us")).dt.replace_time_zone(
        zone or "UTC", ambiguous="earliest", non_existent="null"
    )
    return local.dt.timestamp("ms")


def insert_ids(rows: pl.DataFrame, key: Sequence[str]) -> pl.Series:
    """What tells each row from others: the key itself where it can be, else its hash."""
    import polars as pl

    strings = rows.select(pl.col(name).cast(pl.String) for name in key)
    if len(key) == 1:
        alone = strings.to_series()
        usable = alone.str.contains(f"^{INSERT_ID.pattern}$") & ~alone.str.to_lowercase().is_in(list(RESERVED_IDS))
        usable = usable.fill_null(True)
        if usable.all():
            return alone.alias("$insert_id")
        values = [text if good else _hash(text) for text, good in zip(alone, usable, strict=True)]
        return pl.Series("$insert_id", values, pl.String)
    joined = strings.select(pl.struct(pl.all()).struct.json_encode()).to_series()
    return pl.Series("$insert_id", [_hash(text) for text in joined], pl.String)


def _hash(text: str) -> str:
    return blake2b(text.encode(), digest_size=16).hexdigest()


def as_json(column: str, kind: pl.DataType) -> pl.Expr:
    """A column as polars writes it into JSON as Mixpanel reads it: dates as strings, decimals as numbers."""
    import polars as pl

    value = pl.col(column)
    if isinstance(kind, pl.Decimal):
        return value.cast(pl.Int64, strict=False) if kind.scale == 0 else value.cast(pl.Float64)
    if isinstance(kind, pl.Datetime):
        if kind.time_zone:
            return value.dt.convert_time_zone("UTC").dt.to_string("%Y-%m-%dT%H:%M:%S%.fZ")
        return value.dt.to_string("%Y-%m-%dT%H:%M:%S%.f")
    if isinstance(kind, pl.Date | pl.Time | pl.Categorical | pl.Enum):
        return value.cast(pl.String)
    return value


def json_text(column: str, kind: pl.DataType, *, is_number: bool) -> pl.Expr:
    """A column whose values go into JSON as they are: strings that are JSON, and exact numbers.

    Args:
        column: its name.
        kind: its type: strings or decimals.
        is_number: NaN and infinity are null; a fraction ends with its last digit that counts.
    """
    import polars as pl

    value = pl.col(column).cast(pl.String)
    if not is_number:
        # An event is one line; half of a surrogate pair is not a character, and Mixpanel takes no such string.
        return value.str.replace_all(r"[\r\n]", " ").map_elements(replace_surrogate_escapes, pl.String)
    value = pl.when(value.str.contains("[a-zA-Z]")).then(None).otherwise(value)
    if isinstance(kind, pl.Decimal) and kind.scale == 0:
        return value
    short = value.str.strip_chars_end("0").str.strip_chars_end(".")
    return pl.when(value.str.contains(".", literal=True)).then(short).otherwise(value)


def untrimmed(values: pl.Series) -> pl.Series:
    """Which ids have spaces around them."""
    import polars as pl

    strings = values.cast(pl.String)
    return (strings != strings.str.strip_chars(WHITESPACE)).fill_null(False)


def altered(values: pl.Series, *, is_json: bool = False) -> dict[str, pl.Series]:
    """How values of properties change on their way, and which ones.

    Args:
        values: a column.
        is_json: they are JSON.
    """
    import polars as pl

    if values.dtype.is_float():
        return {NOT_FINITE: (~values.is_finite()).fill_null(False)}
    if values.dtype != pl.String:
        return {}
    if is_json:
        halved = [value is not None and replace_surrogate_escapes(value) != value for value in values]
        return {HALVED: pl.Series(halved, dtype=pl.Boolean)}
    return {CUT: (values.str.len_bytes() > MAX_STRING_BYTES).fill_null(False)}


def altered_number(values: pl.Series) -> dict[str, pl.Series]:
    """The same for exact numbers, which are strings."""
    return {NOT_FINITE: values.str.contains("[a-zA-Z]").fill_null(False)}


def without_nulls(text: pl.Expr, names: set[str]) -> pl.Expr:
    """Without the nulls of an event that has objects, in which they stay."""
    import polars as pl

    def without(line: str) -> str:
        members = msgspec.json.decode(line + "}", type=dict[str, msgspec.Raw])
        kept = {name: value for name, value in members.items() if name not in names or bytes(value) != b"null"}
        return msgspec.json.encode(kept).decode()[:-1]

    return text.map_elements(without, pl.String)


def nested_faults(values: pl.Series) -> Iterator[str | None]:
    """Why Mixpanel would not take a list or an object, for each row."""
    import polars as pl

    for value in values:
        try:
            parsed = msgspec.json.decode(replace_surrogate_escapes(value)) if isinstance(value, str) else value
            check_nested(values.name, parsed.to_list() if isinstance(parsed, pl.Series) else parsed)
        except msgspec.DecodeError as error:
            yield f"no JSON: {error}"
        except (ValueError, TypeError) as error:
            yield str(error)
        else:
            yield None


def first_fault(faults: Iterator[tuple[str, pl.Expr, pl.Expr]]) -> tuple[pl.Expr, pl.Expr]:
    """The field and the reason of the first check that fails, for each row."""
    import polars as pl

    fields, messages = [], []
    for name, wrong, why in faults:
        fields.append(pl.when(wrong).then(pl.lit(name)))
        messages.append(pl.when(wrong).then(why))
    return pl.coalesce(fields).alias("field"), pl.coalesce(messages).alias("message")
