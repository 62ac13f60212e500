"""Rows whose dates and times no JSON, Python or Polars has: `infinity`, years before 1 and after 9999, 24:00:00.

They are one rejected row each. Left in, the first of them would end the push in the middle of a conversion.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

#: Column that says of a row which value it has that cannot be sent; null in all others.
BEYOND = "$beyond"
_FIRST_DAY, _LAST_DAY = -719_162, 2_932_896  # 0001-01-01 and 9999-12-31
_PER_DAY = {"s": 86_400, "ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}
_MAX_INT64 = 2**63 - 1


def screened(rows: pa.RecordBatchReader) -> pa.RecordBatchReader:
    """The rows with the column `$beyond`; a value that it names is null. Unchanged when no column can have one."""
    columns = [field.name for field in rows.schema if _has_times(field.type)]
    if not columns:
        return rows
    schema = rows.schema.append(pa.field(BEYOND, pa.string()))
    return pa.RecordBatchReader.from_batches(schema, _screened(rows, columns, schema))


def _screened(rows: pa.RecordBatchReader, columns: list[str], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for batch in rows:
        arrays = dict(zip(batch.schema.names, batch.columns, strict=True))
        reasons = pa.nulls(batch.num_rows, pa.string())
        for name in columns:
            beyond = _beyond(arrays[name])
            if pc.any(beyond).as_py():
                reason = f"column {name!r} is infinity, or outside the years 1 to 9999: JSON has no such time"
                reasons = pc.if_else(pc.and_(beyond, reasons.is_null()), reason, reasons)
                arrays[name] = _without(arrays[name], beyond)
        yield pa.RecordBatch.from_arrays([*arrays.values(), reasons], schema=schema)


def _without(array: pa.Array, beyond: pa.BooleanArray) -> pa.Array:
    places = pc.if_else(beyond, None, pa.array(range(len(array)), pa.int64()))
    return array.take(places)


def _beyond(array: pa.Array) -> pa.BooleanArray:
    kind = array.type
    if pa.types.is_nested(kind):
        return pa.array([_fails(value) for value in array])
    if pa.types.is_time(kind):
        most = _PER_DAY[kind.unit] - 1
        return _outside(array.cast(pa.int32() if kind.bit_width == 32 else pa.int64()), 0, most)
    if pa.types.is_date32(kind):
        return _outside(array.cast(pa.int32()), _FIRST_DAY, _LAST_DAY)
    unit = "ms" if pa.types.is_date64(kind) else kind.unit
    first, last = _FIRST_DAY * _PER_DAY[unit], (_LAST_DAY + 1) * _PER_DAY[unit] - 1
    if unit == "ns":  # has no years that far, and infinity is its largest number
        first, last = 1 - _MAX_INT64, _MAX_INT64 - 1
    return _outside(array.cast(pa.int64()), first, last)


def _outside(numbers: pa.Array, first: int, last: int) -> pa.BooleanArray:
    kind = numbers.type
    outside = pc.or_(pc.less(numbers, pa.scalar(first, kind)), pc.greater(numbers, pa.scalar(last, kind)))
    return pc.fill_null(outside, False)


def _fails(value: pa.Scalar) -> bool:
    try:
        value.as_py()
    except (OverflowError, ValueError):
        return True
    return False


def _has_times(kind: pa.DataType) -> bool:
    if pa.types.is_nested(kind):
        return any(_has_times(kind.field(number).type) for number in range(kind.num_fields))
    return bool(pa.types.is_temporal(kind) and not pa.types.is_duration(kind) and not pa.types.is_interval(kind))
