"""The types that leave a warehouse: plain Arrow, regardless of the driver's representation.

Every value is exactly what the warehouse has, or the query is rejected with what to cast: what a driver makes another
value of (PostgreSQL's `money` times 100, DuckDB's UHUGEINT modulo 2**128) can't be told apart afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from mixpanel_etl.warehouse.driver_errors import WarehouseError

_MAX_DIGITS = 38

Convert = Callable[[pa.Array], pa.Array]


class NumberType(pa.ExtensionType):  # type: ignore[misc] # pyarrow has no types
    """A number of any size as its text, with all its digits: PostgreSQL's `numeric` without a precision."""

    def __init__(self) -> None:
        super().__init__(pa.string(), "mixpanel_etl.number")

    def __arrow_ext_serialize__(self) -> bytes:
        return b""

    @classmethod
    def __arrow_ext_deserialize__(cls, storage_type: pa.DataType, serialized: bytes) -> NumberType:
        return cls()


class Column(NamedTuple):
    """The type that a column has for us, and what makes it of the driver's."""

    type: pa.DataType
    convert: Convert | None = None


class Plain:
    """Batches of one schema into batches of plain types.

    UUIDs become strings; PostgreSQL's `numeric(p, s)` becomes a decimal, and without a precision a `NumberType`; within
    lists and structs both are strings. Strings that are JSON keep Arrow's JSON type. A `real` is the decimal number
    that the warehouse shows.

    Raises:
        WarehouseError: a column has a type that the driver does not hand out as it is; names it and what to cast.
    """

    def __init__(self, schema: pa.Schema) -> None:
        for field in schema:
            _check(field.name, field.type, (field.metadata or {}).get(b"POSTGRESQL:type", b"").decode())
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


def _check(name: str, kind: pa.DataType, declared: str) -> None:
    if "money" in declared.split("_"):
        raise WarehouseError(f"column {name!r} is money, which the driver multiplies by 100: cast it to numeric(12, 2)")
    if isinstance(kind, pa.OpaqueType) and kind.type_name != "numeric":
        raise WarehouseError(f"column {name!r} is {kind.type_name}, which the driver does not decode: cast it to text")
    if isinstance(kind, pa.BaseExtensionType):
        return
    for number in range(kind.num_fields if pa.types.is_nested(kind) else 0):
        field = kind.field(number)
        _check(name, field.type, (field.metadata or {}).get(b"POSTGRESQL:type", b"").decode())


def check_declared(name: str, declared: str) -> None:
    """Check what DuckDB calls a column's type, of which its driver changes some without a trace in Arrow's schema.

    Raises:
        WarehouseError: names the column and what to cast.
    """
    for kind in ("UHUGEINT", "TIME WITH TIME ZONE"):
        if kind in declared:
            raise WarehouseError(f"column {name!r} is {kind}, which the driver changes: cast it to text")


def _column(field: pa.Field) -> Column:  # noqa: PLR0911 - one for each kind of type
    kind, metadata = field.type, field.metadata or {}
    if isinstance(kind, pa.UuidType):
        return Column(pa.string(), _uuids)
    if isinstance(kind, pa.OpaqueType):
        number = _numeric(metadata.get(b"POSTGRESQL:typmod"))
        return Column(number, _exact if isinstance(number, NumberType) else partial(_decimals, field.name, number))
    if metadata.get(b"POSTGRESQL:type") == b"oid":  # unsigned, and the driver takes it for signed
        return Column(pa.int64(), lambda array: array.view(pa.uint32()).cast(pa.int64()))
    if isinstance(kind, pa.BaseExtensionType) and not isinstance(kind, pa.JsonType):
        return Column(kind.storage_type, lambda array: array.storage)
    if pa.types.is_float32(kind):
        return Column(pa.float64(), lambda array: pc.cast(pc.cast(array, pa.string()), pa.float64()))
    if pa.types.is_nested(kind) and _has_extensions(kind):
        plain = _storage(kind)
        return Column(plain, lambda array: pa.array(_texts(array.to_pylist()), plain))
    return Column(kind)


def _numeric(typmod: bytes | None) -> pa.DataType:
    """The type of a `numeric`, from what PostgreSQL keeps of its declaration."""
    modifier = int(typmod or -1) - 4
    precision, scale = modifier >> 16, modifier & 0x7FF
    if modifier < 0 or not 0 < precision <= _MAX_DIGITS or scale > precision:
        return NumberType()
    return pa.decimal128(precision, scale)


def _decimals(name: str, kind: pa.Decimal128Type, array: Any) -> pa.Array:
    if pc.any(pc.match_substring_regex(array.storage, "(?i)nan|inf"), min_count=0).as_py():
        raise WarehouseError(
            f"column {name!r} is numeric({kind.precision}, {kind.scale}) and holds NaN or infinity: "
            "cast it to numeric or to double precision"
        )
    return pc.cast(array.storage, kind)


def _exact(array: Any) -> pa.Array:
    """Numbers as strings: the same number is the same string, regardless of its scale."""
    text = array.storage
    has_fraction = pc.match_substring(text, ".")
    short = pc.utf8_rtrim(pc.utf8_rtrim(text, characters="0"), characters=".")
    return pa.ExtensionArray.from_storage(NumberType(), pc.if_else(has_fraction, short, text))


def _uuids(array: Any) -> pa.Array:
    from uuid import UUID

    plain = [None if value is None else str(UUID(bytes=value)) for value in array.storage.to_pylist()]
    return pa.array(plain, pa.string())


def _has_extensions(kind: pa.DataType) -> bool:
    if isinstance(kind, pa.BaseExtensionType):
        return True
    if not pa.types.is_nested(kind):
        return False
    return any(_has_extensions(kind.field(number).type) for number in range(kind.num_fields))


def _storage(kind: pa.DataType) -> pa.DataType:
    """The type without extension types in it; those are strings."""
    if isinstance(kind, pa.BaseExtensionType):
        return pa.string()
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(field.name, _storage(field.type)) for field in kind])
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return pa.list_(pa.field("item", _storage(kind.value_type)))
    return kind


def _texts(value: Any) -> Any:
    from uuid import UUID

    if isinstance(value, list):
        return [_texts(member) for member in value]
    if isinstance(value, dict):
        return {name: _texts(member) for name, member in value.items()}
    return str(value) if isinstance(value, UUID) else value
