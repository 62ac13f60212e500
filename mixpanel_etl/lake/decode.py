"""The bytes of an export as Arrow batches of events.

Two readings of one line: a fast one for what Mixpanel documents (msgspec, two microseconds an event), and a careful one
for everything else that is JSON: numbers where ids should be, halves of surrogate pairs, numbers without end. The
careful one reads a whole block when one of its lines needs it, and is also what names a line that cannot be read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from mixpanel_etl.lake.columns import ID_PROPERTIES, PromotedColumn, whole_characters
from mixpanel_etl.lake.errors import MalformedLine, TerminatedEarly
from mixpanel_etl.lake.window import MS_PER_DAY

#: Bytes of decompressed lines that are decoded at once: some thousand events.
BLOCK_BYTES = 1 << 20
#: Below this a `time` is in seconds, above in milliseconds: the year 5138, or the 3rd of March 1973 (api-facts C4).
_SECONDS_BELOW = 100_000_000_000


class _Line(msgspec.Struct, gc=False):
    event: str
    properties: msgspec.Raw


class _Row(NamedTuple):
    """One event, as the careful reading finds it; `values` are the columns of `_PropertyStruct`, in its order."""

    event: str | None
    properties: bytes
    values: tuple[Any, ...]


def stored_schema(promoted: Sequence[PromotedColumn]) -> pa.Schema:
    """The schema of `decode`: exported times (int64 ms) as they came, and the day they belong to (days since 1970)."""
    return pa.schema(
        [
            pa.field("day", pa.int32()),
            pa.field("event_name", pa.string()),
            pa.field("time", pa.int64()),
            *(pa.field(name, pa.string()) for name in ID_PROPERTIES),
            pa.field("processing_time", pa.int64()),
            pa.field("properties", pa.string()),
            *(column.field for column in promoted),
        ]
    )


def decode(chunks: Iterable[bytes], promoted: Sequence[PromotedColumn] = ()) -> Iterator[pa.RecordBatch]:
    r"""Decode an export, in batches of some thousand events.

    Args:
        chunks: the decompressed JSON lines, cut anywhere. Lines end at the byte `\n` only: values may hold U+2028.
        promoted: properties that get a column of their own.

    Yields:
        Batches in `stored_schema`; `properties` holds the bytes of the line, unchanged.

    Raises:
        TerminatedEarly: a line says so, or the last line is cut.
        MalformedLine: a line is not JSON, or has no time by which to place it.
    """
    decoder = _Decoder(promoted)
    for block in _whole_lines(chunks):
        batch = decoder.block(block)
        if batch.num_rows:
            yield batch


def _whole_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Blocks of about `BLOCK_BYTES` that end with a line; only the last may lack its line end."""
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
    def __init__(self, promoted: Sequence[PromotedColumn]) -> None:
        self._promoted = promoted
        self._schema = stored_schema(promoted)
        self._properties = [
            "time",
            *ID_PROPERTIES.values(),
            "mp_processing_time_ms",
            *(c.source for c in promoted),
        ]
        types: list[Any] = [
            int | None,
            *[str | None] * len(ID_PROPERTIES),
            int | None,
            *[Any] * len(promoted),
        ]
        names = [f"_{n}" for n in range(len(types))]
        struct = msgspec.defstruct(
            "_PropertyStruct",
            [(name, kind, None) for name, kind in zip(names, types, strict=True)],
            rename=dict(zip(names, self._properties, strict=True)),
            gc=False,
        )
        self._decode_lines = msgspec.json.Decoder(_Line).decode_lines
        self._decode_properties = msgspec.json.Decoder(struct).decode
        self._lines_before = 0

    def block(self, block: bytes) -> pa.RecordBatch:
        try:
            batch = self._fast(block)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, OverflowError, pa.ArrowException):
            batch = self._careful(block)
        self._lines_before += batch.num_rows
        return batch

    def _fast(self, block: bytes) -> pa.RecordBatch:
        lines = self._decode_lines(block)
        raws = [line.properties for line in lines]
        rows = map(msgspec.structs.astuple, map(self._decode_properties, raws))
        return self._batch([line.event for line in lines], list(zip(*rows, strict=True)), raws)

    def _batch(self, events: list[str | None], values: list[tuple[Any, ...]], raws: Sequence[Any]) -> pa.RecordBatch:
        times, *ids, processing = (values or [()] * len(self._properties))[
            : len(self._properties) - len(self._promoted)
        ]
        exported = _milliseconds(pa.array(times, pa.int64()))
        if exported.null_count:
            raise OverflowError("an event without a time: the careful reading names its line")
        columns = [
            pc.divide(exported, MS_PER_DAY).cast(pa.int32()),
            pa.array(events, pa.string()),
            exported,
            *(pa.array(column, pa.string()) for column in ids),
            pa.array(processing, pa.int64()),
            _joined(raws),
            *(c.array(column) for c, column in zip(self._promoted, values[len(ids) + 2 :], strict=True)),
        ]
        return pa.record_batch(columns, schema=self._schema)

    def _careful(self, block: bytes) -> pa.RecordBatch:
        lines = [line for line in block.split(b"\n") if line.strip()]
        last = 0 if block.endswith(b"\n") else self._lines_before + len(lines)
        rows = [self._row(line, number, number == last) for number, line in enumerate(lines, self._lines_before + 1)]
        values = list(zip(*(row.values for row in rows), strict=True))
        return self._batch([row.event for row in rows], values, [row.properties for row in rows])

    def _row(self, line: bytes, number: int, is_last: bool) -> _Row:
        try:
            record = json.loads(line.decode(), parse_int=_bounded_int, parse_constant=_reject)
        except (ValueError, RecursionError) as error:
            if is_last or b"terminated early" in line[:200]:
                raise TerminatedEarly(f"the export ended early, at line {number}: {excerpt(line)}") from None
            raise MalformedLine(number, f"is not JSON ({type(error).__name__})", excerpt(line)) from None
        properties = record.get("properties") if isinstance(record, dict) else None
        if not isinstance(properties, dict):
            raise MalformedLine(number, "is no event with properties", excerpt(line))
        time, *others = (properties.get(name) for name in self._properties)
        if (exported := _whole_number(time)) is None or abs(exported) >= 2**62:
            raise MalformedLine(number, "has no usable `time` and so belongs to no day", excerpt(line))
        ids, processing, promoted = others[: len(ID_PROPERTIES)], *_split(others[len(ID_PROPERTIES) :])
        values = (exported, *map(_text, ids), _whole_number(processing), *promoted)
        return _Row(_text(record.get("event")), _value_bytes(line, "properties"), values)


def _split(values: list[Any]) -> tuple[Any, list[Any]]:
    return values[0], values[1:]


def _milliseconds(times: pa.Array) -> pa.Array:
    seconds = pc.less(pc.abs_checked(times), _SECONDS_BELOW)
    return pc.if_else(seconds, pc.multiply(times, 1000), times)


def _joined(raws: Sequence[Any]) -> pa.Array:
    """Byte strings as one Arrow string array, without a Python object for each; fails on what is not UTF-8."""
    offsets = pa.array(list(accumulate(map(len, raws), initial=0)), pa.int32())
    array = pa.Array.from_buffers(pa.string(), len(raws), [None, offsets.buffers()[1], pa.py_buffer(b"".join(raws))])
    array.validate(full=True)
    return array


def _whole_number(value: Any) -> int | None:
    """A time as an integer: a fraction of a second becomes milliseconds."""
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        if not abs(value) < 2**62:
            return None
        return int(value) if value.is_integer() or abs(value) >= _SECONDS_BELOW else round(value * 1000)
    return value if isinstance(value, int) and abs(value) < 2**63 else None


def _text(value: Any) -> str | None:
    """An id or name as text: what is not a string keeps its JSON form."""
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return whole_characters(text)


def _bounded_int(digits: str) -> int | float:
    # int() refuses thousands of digits, and nothing here can hold more than 64 bits.
    return int(digits) if len(digits) < 30 else float(digits)


def _reject(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[][{}:,]', re.DOTALL)


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


def excerpt(line: bytes) -> str:
    """The beginning of a line with its values hidden: names of properties help to find it, values are personal data."""
    text = line[:2000].decode(errors="replace")
    text = re.sub(r'"(?:[^"\\]|\\.)*"(\s*:)?', lambda found: found[0] if found[1] else '"…"', text)
    text = re.sub(r'"[^"]*$', '"…', text)
    text = re.sub(r"(?<=[:\[,\s])-?\d[\d.eE+-]*", "…", text)
    return text[:200] + ("…" if len(text) > 200 else "")
