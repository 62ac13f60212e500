"""The values of a column of any type as the strings in which ids are looked for, and the column with some replaced."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc

from mixpanel_etl.lake.person_columns import as_id, names_a_person

if TYPE_CHECKING:
    import polars as pl

_BYTES = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary, pa.types.is_binary_view)
_HARMLESS = (pa.types.is_boolean, pa.types.is_temporal, pa.types.is_null)
_TEXTS = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
_NUMBERS = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
#: Numbers up to this are ids only in columns that hold ids.
_SMALL = 10**9


class Replace(Protocol):
    """What becomes of a value, given as text."""

    def __call__(self, text: str, name: str, *, quoted: bool) -> str:
        """The text itself when it stays.

        Args:
            text: the value.
            name: of the member of a nested value that it is; else empty.
            quoted: whether it is a string; else it is a number.
        """


def is_number(kind: pa.DataType) -> bool:
    """Whether the values of a column are numbers."""
    if pa.types.is_dictionary(kind):
        return is_number(kind.value_type)
    return _is(kind, _NUMBERS)


def as_text(name: str, column: pa.ChunkedArray) -> pl.Series | None:
    """A column as strings, nested values as JSON objects with its name; None when it cannot hold an id.

    Raises:
        TypeError: a column of a type of which that is not known.
    """
    import polars as pl

    kind = column.type
    if isinstance(kind, pa.BaseExtensionType) and not isinstance(kind, pa.UuidType):
        return as_text(name, _storage(column))
    if pa.types.is_dictionary(kind):
        return as_text(name, column.cast(kind.value_type))
    if _is(kind, _TEXTS):
        return pl.Series(pl.from_arrow(column), dtype=pl.String)
    if _is(kind, _HARMLESS) or (_is(kind, _NUMBERS) and not names_a_person(name) and _are_small(column)):
        return None
    written = _written(name, kind)
    return pl.Series([None if value is None else written(value) for value in column.to_pylist()], dtype=pl.String)


def _written(name: str, kind: pa.DataType) -> Callable[[Any], str]:
    """How values of a type are written as strings."""
    if isinstance(kind, pa.UuidType):
        return str
    if pa.types.is_nested(kind):
        return lambda value: json.dumps({name: _plain(value)}, ensure_ascii=False, default=str)
    if _is(kind, _NUMBERS):
        return _number
    if _is(kind, _BYTES):
        return _decoded
    raise TypeError(f"column {name!r} is of type {kind}, in which ids cannot be looked for")


def replaced(column: pa.ChunkedArray, rows: Collection[int], change: Replace) -> pa.ChunkedArray:
    """The column with other values in some of its rows; null where its type cannot hold the new one.

    Raises:
        pa.ArrowException: the values cannot be written back.
    """
    kind = column.type
    plain = _storage(column) if isinstance(kind, pa.BaseExtensionType) else column
    values, changed = plain.to_pylist(), False
    for row in rows:
        before = values[row]
        values[row] = _replaced(before, "", change)
        changed = changed or values[row] is not before
    if not changed:
        return column
    made = pa.array(values, plain.type)
    return pa.ExtensionArray.from_storage(kind, made) if plain is not column else made


def _replaced(value: Any, name: str, change: Replace) -> Any:
    """The value itself, the very object, when nothing of it changes."""
    if isinstance(value, dict):
        made: Any = {key: _replaced(inner, key, change) for key, inner in value.items()}
        return made if any(made[key] is not inner for key, inner in value.items()) else value
    if isinstance(value, list):
        made = [_replaced(inner, name, change) for inner in value]
    elif isinstance(value, tuple):  # of a map
        made = (_replaced(value[0], "", change), _replaced(value[1], str(value[0]), change))
    else:
        return _replaced_leaf(value, name, change)
    return made if any(one is not other for one, other in zip(made, value, strict=True)) else value


def _replaced_leaf(value: Any, name: str, change: Replace) -> Any:
    quoted = isinstance(value, str | bytes | UUID)
    if not quoted and (isinstance(value, bool) or not isinstance(value, int | float | Decimal)):
        return value
    before = _decoded(value) if isinstance(value, bytes) else str(value) if quoted else _number(value)
    text = change(before, name, quoted=quoted)
    if text == before:
        return value
    if isinstance(value, str):
        return text
    return text.encode() if isinstance(value, bytes) and not _is_uuid(value) else None


def _storage(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pa.chunked_array([chunk.storage for chunk in column.chunks], column.type.storage_type)


def _is(kind: pa.DataType, kinds: Collection[Callable[[pa.DataType], bool]]) -> bool:
    return any(is_kind(kind) for is_kind in kinds)


def _are_small(column: pa.ChunkedArray) -> bool:
    """Whether all numbers are too small for ids in a column that need not hold any."""
    extremes = pc.min_max(column.cast(pa.float64()) if pa.types.is_decimal(column.type) else column).as_py()
    return all(value is None or abs(value) < _SMALL for value in extremes.values())


def _number(value: float | Decimal) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return as_id(str(value))


def _decoded(value: bytes) -> str:
    """Bytes as text; sixteen bytes that are not ASCII are a UUID."""
    return str(UUID(bytes=value)) if _is_uuid(value) else value.decode(errors="replace")


def _is_uuid(value: bytes) -> bool:
    return len(value) == 16 and not value.isascii()


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, tuple):
        return {str(_plain(value[0])): _plain(value[1])}
    return _decoded(value) if isinstance(value, bytes) else value
