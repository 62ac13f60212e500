"""The types that leave a warehouse: plain Arrow, whatever the driver made of the warehouse's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

_MOST_DIGITS = 38

Convert = Callable[[pa.Array], pa.Array]


class Column(NamedTuple):
    """The type that a column has for us, and what makes it of the driver's."""

    type: pa.DataType
    convert: Convert | None = None


class Plain:
    """Batches of one schema into batches of plain types.

    UUIDs become texts; PostgreSQL's `numeric(p, s)` becomes a decimal, and without a precision a float; texts that
    are JSON keep Arrow's JSON type.
    """

    def __init__(self, schema: pa.Schema) -> None:
        self._columns = [_column(field) for field in schema]
        self.schema = pa.schema(
            [pa.field(field.name, column.type) for field, column in zip(schema, self._columns, strict=True)]
        )

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The batches, converted."""
        for batch in batches:
            arrays = [
                column.convert(array) if column.convert else array
                for column, array in zip(self._columns, batch.columns, strict=True)
            ]
            yield pa.RecordBatch.from_arrays(arrays, schema=self.schema)


def _column(field: pa.Field) -> Column:
    kind = field.type
    if isinstance(kind, pa.UuidType):
        return Column(pa.string(), _uuids)
    if isinstance(kind, pa.OpaqueType) and kind.type_name == "numeric":
        number = _numeric((field.metadata or {}).get(b"POSTGRESQL:typmod"))
        return Column(number, lambda array: pc.cast(array.storage, number))
    if isinstance(kind, pa.BaseExtensionType) and not isinstance(kind, pa.JsonType):
        return Column(kind.storage_type, lambda array: array.storage)
    return Column(kind)


def _numeric(typmod: bytes | None) -> pa.DataType:
    """The type of a `numeric`, from what PostgreSQL keeps of its declaration."""
    modifier = int(typmod or -1) - 4
    precision, scale = modifier >> 16, modifier & 0x7FF
    if modifier < 0 or not 0 < precision <= _MOST_DIGITS or scale > precision:
        return pa.float64()
    return pa.decimal128(precision, scale)


def _uuids(array: Any) -> pa.Array:
    from uuid import UUID

    plain = [None if value is None else str(UUID(bytes=value)) for value in array.storage.to_pylist()]
    return pa.array(plain, pa.string())
