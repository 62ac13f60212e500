"""Events of the lake as rows with typed columns, a batch at a time.

Values are decoded to be typed, but written as they came: what has no column, or does not fit in it, keeps its bytes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from mixpanel_etl.lake.event_columns import MAX_EXACT, as_int64
from mixpanel_etl.pull.typed.seen_types import Seen, type_of
from mixpanel_etl.pull.typed.typed_columns import CORE_PROPERTIES, TypedColumn, typed_schema

_decode = msgspec.json.Decoder(dict[str, Any]).decode
_decode_raw = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
#: What they raise for JSON that Python reads and msgspec does not: halves of surrogate pairs, numbers without end.
_NEEDS_CARE = (msgspec.DecodeError, UnicodeError, RecursionError)
_UNFIT = object()


#: Python's types that make an array of an Arrow type at once.
_PLAIN: dict[pa.DataType, set[type]] = {
    pa.string(): {str, type(None)},
    pa.int64(): {int, type(None)},
    pa.float64(): {float, int, type(None)},
    pa.bool_(): {bool, type(None)},
}


class Typing:
    """Types the events of one name.

    Args:
        columns: of the properties.
        seen: is told of every value.
    """

    def __init__(self, columns: Sequence[TypedColumn], seen: Seen) -> None:
        self._columns = columns
        self._seen = seen
        self.schema = typed_schema(columns)

    def batch(self, events: pa.RecordBatch) -> pa.RecordBatch:
        """Events with the columns of `EventsTable` in the schema of their typed table."""
        rows = self._rows(events)
        arrays = [self._array(column, rows) for column in self._columns]
        others = [rows.rest(number) for number in range(len(rows.values))]
        self._note_others(rows)
        core = [events.column(name) for name in self.schema.names[: -1 - len(arrays)]]
        return pa.record_batch([*core, *arrays, pa.array(others, pa.string())], schema=self.schema)

    def look(self, events: pa.RecordBatch) -> None:
        """Tell `seen` of events without making columns of them."""
        self._note_others(self._rows(events))

    def _rows(self, events: pa.RecordBatch) -> _Rows:
        rows = _Rows(events.column("properties").to_pylist())
        self._seen.rows += len(rows.values)
        return rows

    def _array(self, column: TypedColumn, rows: _Rows) -> pa.Array:
        values = [row.pop(column.source, None) for row in rows.values]
        self._seen.note(column.source, [value for value in values if value is not None])
        array = _at_once(column, values)
        return self._one_by_one(column, values, rows) if array is None else array

    def _one_by_one(self, column: TypedColumn, values: Sequence[Any], rows: _Rows) -> pa.Array:
        fit = _fit(column)
        fitted: list[Any] = []
        for number, value in enumerate(values):
            made = None if value is None else fit(value, partial(rows.raw, number, column.source))
            if made is _UNFIT:
                self._seen.unfit[column.source] += 1
                rows.values[number][column.source] = value
            fitted.append(None if made is _UNFIT else made)
        return pa.array(fitted, column.field.type)

    def _note_others(self, rows: _Rows) -> None:
        own = {column.source for column in self._columns}
        others: dict[str, list[Any]] = {}
        for row in rows.values:
            for name, value in row.items():
                others.setdefault(name, []).append(value)
        for name, values in others.items():
            if name not in own:  # the values that do not fit in their column are counted already
                self._seen.note(name, values)


class _Rows:
    """The properties of some events: decoded, and as they were."""

    def __init__(self, strings: Sequence[str]) -> None:
        self._strings = strings
        self._raws: dict[int, dict[str, Any]] = {}  # bytes, or msgspec's view of them
        self._whole: set[int] = set()
        self.values: list[dict[str, Any]] = [self._read(number) for number in range(len(strings))]

    def raw(self, number: int, name: str) -> str:
        """A value's own text."""
        return bytes(self._raws_of(number)[name]).decode()

    def rest(self, number: int) -> str | None:
        """The JSON object of what no column took; None when nothing is left."""
        if number in self._whole:
            return self._strings[number]
        names = self.values[number]
        if not names:
            return None
        raws = self._raws_of(number)
        return (b"{" + b",".join([_quoted(name) + raws[name] for name in names]) + b"}").decode()

    def _raws_of(self, number: int) -> dict[str, Any]:
        if number not in self._raws:
            self._raws[number] = _decode_raw(self._strings[number])
        return self._raws[number]

    def _read(self, number: int) -> dict[str, Any]:
        text = self._strings[number]
        try:
            row = _decode(text)
        except _NEEDS_CARE:
            row = self._read_carefully(number)
        for name in CORE_PROPERTIES:
            row.pop(name, None)
        return row

    def _read_carefully(self, number: int) -> dict[str, Any]:
        text = self._strings[number]
        try:
            raws = self._raws[number] = _decode_raw(text)
            return {name: json.loads(bytes(raw)) for name, raw in raws.items()}
        except (*_NEEDS_CARE, ValueError):
            pass
        try:
            # Halves of surrogate pairs: what is written again has the same value, and escapes them again.
            row: dict[str, Any] = json.loads(text)
            "".join(row).encode()
            self._raws[number] = {name: json.dumps(value, allow_nan=False).encode() for name, value in row.items()}
        except (UnicodeError, ValueError, RecursionError):
            # A name that no text can hold: the event has its properties in JSON alone.
            self._whole.add(number)
            return {}
        return row


def _at_once(column: TypedColumn, values: Sequence[Any]) -> pa.Array | None:
    """The column, if all values fit in it as they are."""
    if column.arrow not in _PLAIN or not set(map(type, values)) <= _PLAIN[column.arrow]:
        return None
    try:
        array = pa.array(values, column.arrow)
    except (pa.ArrowInvalid, UnicodeError, OverflowError):  # too large a number, half of a surrogate pair
        return None
    is_finite = column.arrow != pa.float64() or pc.all(pc.is_finite(array), min_count=0).as_py()
    return array if is_finite else None


@lru_cache(10_000)
def _quoted(name: str) -> bytes:
    return msgspec.json.encode(name) + b":"


Fit = Callable[[Any, Callable[[], str]], Any]


def _fit(column: TypedColumn) -> Fit:
    """What makes one value ready for a column, given it and its own text; `_UNFIT` if it does not fit."""
    kinds = column.types
    if column.arrow == pa.int64():
        return lambda value, _: _integer(value)
    if column.arrow == pa.float64():
        return lambda value, _: _number(value)
    if column.arrow == pa.bool_():
        return lambda value, _: value if value is True or value is False else _UNFIT
    if column.arrow == pa.string():
        return lambda value, raw: _text(value, raw, kinds)
    return lambda value, raw: raw() if type_of(value) in kinds else _UNFIT


def _integer(value: Any) -> Any:
    whole = as_int64(value)
    return _UNFIT if whole is None else whole


def _number(value: Any) -> Any:
    if type(value) is float:
        return value if math.isfinite(value) else _UNFIT
    return float(value) if type(value) is int and abs(value) <= MAX_EXACT else _UNFIT


def _text(value: Any, raw: Callable[[], str], kinds: frozenset[str]) -> Any:
    if not isinstance(value, str):
        kind = type_of(value)
        return raw() if kind in kinds or (kind == "integer" and "number" in kinds) else _UNFIT
    try:
        value.encode()
    except UnicodeError:  # half of a surrogate pair
        return _UNFIT
    return value if "string" in kinds else _UNFIT
