"""The bytes of an export as Arrow batches of events.

Two readings of one line: a fast one for what Mixpanel documents (msgspec, two microseconds an event), and a careful one
for everything else that is JSON: objects where ids should be, halves of surrogate pairs, numbers without end. Lines are
read by the block; when one of them needs care, its block is read line by line. The careful reading is also what names a
line that cannot be read.
"""

from __future__ import annotations

import gc
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mixpanel_etl.lake.errors import ExportError, MalformedLine, TerminatedEarly
from mixpanel_etl.lake.event_columns import (
    ID_PROPERTIES,
    PromotedColumn,
    replace_half_surrogates,
    replace_surrogate_escapes,
)
from mixpanel_etl.lake.export_window import MS_PER_DAY, day_of
from mixpanel_etl.lake.malformed_lines import MalformedLines
from mixpanel_etl.quoting import redacted
from mixpanel_etl.timestamps import MILLISECONDS_FROM, is_milliseconds

#: Bytes of decompressed lines that are decoded at once: some thousand events.
BLOCK_BYTES = 2 << 20
#: The end of the year 9999: what is later, or before 1970, belongs to no day.
_LAST_MS = 253_402_300_799_999
#: What the fast reading raises for a line that needs care.
_SURROGATE_ESCAPE = r"\\u[dD][89a-fA-F]"
_NEEDS_CARE = (msgspec.DecodeError, RecursionError, UnicodeError, OverflowError, pa.ArrowException)


class _Line(msgspec.Struct, gc=False):
    event: str
    properties: msgspec.Raw


class _Row(NamedTuple):
    """One event read by itself; `values` are the fields of `_PropertyStruct`, in their order."""

    event: str | None
    properties: Any  # bytes, or msgspec's view of them
    values: tuple[Any, ...]


def stored_schema(promoted: Sequence[PromotedColumn]) -> pa.Schema:
    """The schema of `decode`: exported times (int64 ms) as they came, and the day they belong to (days since 1970).

    The day is named as the lake's partitions are, so that no promoted column can have its name.
    """
    return pa.schema(
        [
            pa.field("date", pa.int32()),
            pa.field("event_name", pa.string()),
            pa.field("time", pa.int64()),
            *(pa.field(name, pa.string()) for name in ID_PROPERTIES),
            pa.field("processing_time", pa.int64()),
            pa.field("properties", pa.string()),
            pa.field("properties_as_sent", pa.string()),
            *(column.field for column in promoted),
        ]
    )


def decode(
    blocks: Iterable[bytes], promoted: Sequence[PromotedColumn] = (), malformed: MalformedLines | None = None
) -> Iterator[pa.RecordBatch]:
    r"""Decode an export, in batches of some thousand events.

    Args:
        blocks: of whole lines, see `whole_lines`.
        promoted: properties that get a column of their own.
        malformed: takes malformed lines and events outside its window; without it, the first such line is an error.

    Yields:
        Batches in `stored_schema`; `properties` holds the bytes of the line, unchanged. Where these have half a
        surrogate pair, it has U+FFFD instead, and `properties_as_sent` has the bytes.

    Raises:
        TerminatedEarly: a line says so, or the last line is cut.
        MalformedLine: a line is not JSON, or has no time by which to place it.
    """
    decoder = _Decoder(promoted, malformed)
    for block in blocks:
        batch = decoder.block(block)
        if batch.num_rows:
            yield batch


def whole_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    r"""The same bytes in blocks of about `BLOCK_BYTES` that end with a line; only the last may lack its line end.

    Lines end at the byte `\n` only: values may hold U+2028.
    """
    parts: list[bytes] = []
    size = 0
    for chunk in chunks:
        rest = chunk
        if size + len(chunk) >= BLOCK_BYTES and (cut := chunk.rfind(b"\n") + 1):
            yield b"".join([*parts, chunk[:cut]])
            parts, size, rest = [], 0, chunk[cut:]
        parts.append(rest)
        size += len(rest)
    if size:
        yield b"".join(parts)


class _Decoder:
    def __init__(self, promoted: Sequence[PromotedColumn], malformed: MalformedLines | None) -> None:
        self._promoted = promoted
        self._malformed = malformed
        self._schema = stored_schema(promoted)
        self._extra = list(dict.fromkeys(column.source for column in promoted))
        self._properties = ["time", *ID_PROPERTIES.values(), "mp_processing_time_ms", *self._extra]
        types: list[Any] = [
            int | None,
            *[str | int | None] * len(ID_PROPERTIES),
            int | None,
            *[Any] * len(self._extra),
        ]
        names = [f"_{n}" for n in range(len(types))]
        struct = msgspec.defstruct(
            "_PropertyStruct",
            [(name, kind, None) for name, kind in zip(names, types, strict=True)],
            rename=dict(zip(names, self._properties, strict=True)),
            gc=False,
        )
        self._line_decoder = msgspec.json.Decoder(_Line)
        self._decode_properties = msgspec.json.Decoder(struct).decode
        self._lines_before = 0

    def block(self, block: bytes) -> pa.RecordBatch:
        try:
            batch = self._fast(block)
        except _NEEDS_CARE:
            return self._line_by_line(block)
        self._lines_before += batch.num_rows
        return batch

    def _fast(self, block: bytes) -> pa.RecordBatch:
        with _no_garbage_collection():
            lines = self._line_decoder.decode_lines(block)
            if len(lines) != block.count(b"\n") + (not block.endswith(b"\n")):
                raise msgspec.DecodeError("an event over several lines, or several in one")
            raws = [line.properties for line in lines]
            rows = map(msgspec.structs.astuple, map(self._decode_properties, raws))
            batch = self._batch([line.event for line in lines], list(zip(*rows, strict=True)), raws)
        if self._malformed is not None and batch.num_rows:
            self._pass(self._malformed, batch.column("date").to_numpy())
        return batch

    @staticmethod
    def _pass(malformed: MalformedLines, days: np.ndarray[tuple[int], np.dtype[np.int32]]) -> None:
        if not (malformed.is_inside(days.min()) and malformed.is_inside(days.max())):
            raise OverflowError("an event of a day that was not asked for: the careful reading names its line")
        malformed.passed(int(days[0]), int(days[-1]), len(days), ordered=bool((days[1:] >= days[:-1]).all()))

    def _batch(self, events: list[str | None], values: list[tuple[Any, ...]], raws: Sequence[Any]) -> pa.RecordBatch:
        found = dict(zip(self._properties, values or [()] * len(self._properties), strict=True))
        times = pa.array(found["time"], pa.int64())
        if times.null_count or not pc.all(_datable(times), min_count=0).as_py():
            raise OverflowError("an event that belongs to no day: the careful reading names its line")
        exported = pc.if_else(pc.less(times, MILLISECONDS_FROM), pc.multiply(times, 1000), times)
        processing = pa.array(found["mp_processing_time_ms"], pa.int64())
        columns = [
            pc.divide(exported, MS_PER_DAY).cast(pa.int32()),
            pa.array(events, pa.string()),
            exported,
            *(_strings(found[source]) for source in ID_PROPERTIES.values()),
            pc.if_else(_datable(processing), processing, None),
            *_readable(raws),
            *(column.array(found[column.source]) for column in self._promoted),
        ]
        return pa.record_batch(columns, schema=self._schema)

    def _line_by_line(self, block: bytes) -> pa.RecordBatch:
        lines = [line for line in block.split(b"\n") if line.strip()]
        last = 0 if block.endswith(b"\n") else self._lines_before + len(lines)
        read = (self._row(line, number, number == last) for number, line in enumerate(lines, self._lines_before + 1))
        rows = [row for row in read if row]
        self._lines_before += len(lines)
        values = list(zip(*(row.values for row in rows), strict=True))
        return self._batch([row.event for row in rows], values, [row.properties for row in rows])

    def _row(self, line: bytes, number: int, is_last: bool) -> _Row | None:
        """The event of a line; None for a line that is set aside."""
        try:
            row = self._fast_row(line) or self._careful_row(line, number, is_last)
        except MalformedLine as error:
            if self._malformed is None:
                raise
            self._malformed.note(error, line)
            return None
        if self._malformed is None:
            return row
        time = row.values[0]
        day = _milliseconds(time) // MS_PER_DAY
        if self._malformed.is_inside(day):
            self._malformed.passed(day, day)
            return row
        reason = f"is an event of {day_of(day)}, which was not asked for"
        self._malformed.note(MalformedLine(number, reason, excerpt(line)), line, stray=day)
        return None

    def _fast_row(self, line: bytes) -> _Row | None:
        try:
            line.decode()
            found = self._line_decoder.decode(line)
            properties = self._decode_properties(found.properties)
        except _NEEDS_CARE:
            return None
        time, *_, processing = (values := msgspec.structs.astuple(properties))[: len(ID_PROPERTIES) + 2]
        fits = _time(time) is not None and processing == _truncated_int64(processing)
        return _Row(found.event, found.properties, values) if fits else None

    def _careful_row(self, line: bytes, number: int, is_last: bool) -> _Row:
        try:
            record = json.loads(line.decode(), parse_int=_bounded_int, parse_constant=_reject)
        except (ValueError, RecursionError) as error:
            if is_last and line.lstrip().startswith(b"{"):
                raise TerminatedEarly(f"the export ended early, at line {number}: {excerpt(line)}") from None
            raise _unreadable(line, number, f"is not JSON ({type(error).__name__})") from None
        properties = record.get("properties") if isinstance(record, dict) else None
        if not isinstance(properties, dict):
            said = record.get("error") if isinstance(record, dict) and "event" not in record else None
            if isinstance(said, str) and "terminated early" not in said:
                raise ExportError(f"Mixpanel answered with an error instead of events: {redacted(said)}")
            raise _unreadable(line, number, "is not an event with properties")
        if (time := _time(properties.get("time"))) is None:
            raise MalformedLine(number, "has no usable `time`, so its day is unknown", excerpt(line))
        raw = _value_bytes(line, "properties")
        ids = (_text(properties.get(source), raw, source) for source in ID_PROPERTIES.values())
        processing = _truncated_int64(properties.get("mp_processing_time_ms"))
        values = (time, *ids, processing, *map(properties.get, self._extra))
        return _Row(_text(record.get("event"), line, "event"), raw, values)


def _unreadable(line: bytes, number: int, reason: str) -> ExportError:
    # Mixpanel's own words for it, on a line of their own or after the beginning of an event
    # (mixpanel-api.md#export-truncation).
    if b"terminated early" in line[:200] + line[-200:]:
        return TerminatedEarly(f"the export ended early, as its line {number} says")
    return MalformedLine(number, reason, excerpt(line))


def _datable(milliseconds: pa.Array) -> pa.Array:
    return pc.and_(pc.greater_equal(milliseconds, 0), pc.less_equal(milliseconds, _LAST_MS))


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    # Thousands of new tuples make the collector run again and again; none of them is garbage yet.
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _strings(column: Sequence[str | int | None]) -> pa.Array:
    try:
        return pa.array(column, pa.string())
    except pa.ArrowTypeError:  # numbers among them
        return pa.array([str(value) if isinstance(value, int) else value for value in column], pa.string())


def _readable(raws: Sequence[Any]) -> tuple[pa.Array, pa.Array]:
    """JSON objects as every reader takes them, and as they were sent where that is something else."""
    objects = _joined(raws)
    escapes = pc.match_substring_regex(objects, _SURROGATE_ESCAPE)
    if not pc.any(escapes, min_count=0).as_py():
        return objects, pa.nulls(len(objects), pa.string())
    found = objects.to_pylist()
    whole = [replace_surrogate_escapes(text) for text in found]
    as_sent = [text if text != other else None for text, other in zip(found, whole, strict=True)]
    return pa.array(whole, pa.string()), pa.array(as_sent, pa.string())


def _joined(raws: Sequence[Any]) -> pa.Array:
    """Byte strings as one Arrow string array, without a Python object for each; fails on what is not UTF-8."""
    offsets = pa.array(list(accumulate(map(len, raws), initial=0)), pa.int32())
    array = pa.Array.from_buffers(pa.string(), len(raws), [None, offsets.buffers()[1], pa.py_buffer(b"".join(raws))])
    array.validate(full=True)
    return array


def _time(value: Any) -> int | None:
    """An exported time (seconds or milliseconds), if it belongs to a day; of seconds the fraction is kept."""
    if isinstance(value, float) and MILLISECONDS_FROM / 1000 <= value < MILLISECONDS_FROM:
        value = round(value * 1000)
    number = _truncated_int64(value)
    return number if number is not None and 0 <= number <= _LAST_MS else None


def _milliseconds(time: int) -> int:
    return time if is_milliseconds(time) else time * 1000


def _truncated_int64(value: Any) -> int | None:
    """A number without its fraction, if 64 bits hold it."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 2**63:
        return None
    return int(value)


def _text(value: Any, json_object: bytes, key: str) -> str | None:
    """An id or name as a string: what is not a string keeps its JSON form, to the last digit."""
    if isinstance(value, str):
        return replace_half_surrogates(value)
    if value is None or type(value) is int:
        return value if value is None else str(value)
    return _value_bytes(json_object, key).decode()


def _bounded_int(digits: str) -> int | float:
    # int() rejects thousands of digits, and nothing here can hold more than 64 bits.
    return int(digits) if len(digits) < 30 else float(digits)


def _reject(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[][{}:,]', re.DOTALL)


def _value_bytes(line: bytes, wanted: str) -> bytes:
    """The bytes of a key's value in a JSON object that is known to be valid; of equal keys the last one counts."""
    found = key = b""
    depth = start = 0
    for token in _TOKEN.finditer(line):
        text = token.group()
        if text in b"}],":
            if depth == 1 and start and json.loads(key) == wanted:
                found = line[start : token.start()].strip()
            if depth == 1:
                start = 0
            depth -= text != b","
        elif text in b"{[":
            depth += 1
        elif depth == 1 and text == b":":
            start = start or token.end()
        elif depth == 1 and not start:
            key = text
    return found


# Also the beginning of a page of HTML; no quotes, no braces, no digits to speak of.
_PLAIN_TEXT = re.compile(r"\s*[A-Za-z<][^\"{}\[\]]*\Z")
_EXCERPT_TOKEN = re.compile(
    r"""("[^"\\]*(?:\\.[^"\\]*)*")(\s*:)?|([][{}:,]|<html>|<!doctype\ html>)|[-+.\w]+(?=[\s,}\]])|\s+""",
    re.DOTALL | re.IGNORECASE,
)


def excerpt(line: bytes) -> str:
    """The beginning of a line with its values hidden: names of properties help to find it, values are personal data.

    It ends where the line stops to be JSON, because names and values cannot be told apart from there on. Plain words
    are what a server has to say, or the second line of a text: those of Mixpanel's own messages are shown.
    """
    text = line.decode(errors="replace")
    if _PLAIN_TEXT.match(text):
        return redacted(text)[:200]
    shown, end = "", 0
    while len(shown) < 200 and (token := _EXCERPT_TOKEN.match(text, end)):
        string, colon, mark = token.groups()
        shown += f"{string}:" if colon else mark or ("" if token[0].isspace() else "…")
        end = token.end()
    return shown[:200] + ("…" if end < len(text) or len(shown) > 200 else "")
