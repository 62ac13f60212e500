"""The rows of a source, be it a file or the result of a query: one that can't be read spoils no other."""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from mixpanel_etl.gdpr.data_subject_requests import COLUMNS, Row, Unreadable, column_of, numbered

SUFFIXES = (".csv", ".json", ".jsonl", ".ndjson")
_LINES = (".jsonl", ".ndjson")
_REQUIRED = ("request_id", "kind", "requested_at")
_NOT_UTF8 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)  # UTF-32-LE begins like UTF-16-LE
# A string, be it closed or not, or a sign that structures JSON.
_MARK = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\Z)|[\[\]{},]', re.DOTALL)


def read_file(name: str, content: bytes) -> list[Row]:
    """The rows of a CSV file, a JSON list, or JSON lines, by the suffix in any case.

    Raises:
        ValueError: it is none of these, or not complete, so that nothing of it can be taken.
    """
    if not content.strip():
        raise ValueError("it is empty")
    text = _decoded(content)
    suffix = name.lower()
    if suffix.endswith(".csv"):
        return _csv(text)
    rows = list(_lines(text)) if suffix.endswith(_LINES) else list(_list(text))
    if rows and all(isinstance(row, Unreadable) for row in rows):
        raise ValueError(f"nothing in it is a request: the first row {rows[0].reason}")  # type: ignore[union-attr]
    return rows


def rows_of(table: pa.Table) -> list[Row]:
    """The rows of a query's result. A value that Python has no type for, as a date after 9999, is kept as `Foreign`."""
    columns = [_values(column) for column in table.columns]
    return [numbered(table.column_names, values) for values in zip(*columns, strict=True)]


class Foreign:
    """A value for which Python has no type. `cells` rejects it."""


def _values(column: pa.ChunkedArray) -> list[Any]:
    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
        column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
    try:
        found: list[Any] = column.to_pylist()
    except (ValueError, OverflowError, pa.ArrowException):
        return [_value(scalar) for scalar in column]
    return found


def _value(scalar: pa.Scalar) -> Any:
    try:
        return scalar.as_py()
    except (ValueError, OverflowError, pa.ArrowException):
        return Foreign()


def _decoded(content: bytes) -> str:
    """The text. Bytes that are not UTF-8 stay in their cells, as half characters."""
    if content.startswith(_NOT_UTF8):
        raise ValueError("it is not UTF-8 (but UTF-16 or UTF-32): save it as UTF-8")
    return content.removeprefix(codecs.BOM_UTF8).decode("utf-8", "surrogateescape")


def _csv(text: str) -> list[Row]:
    if not text.endswith("\n"):
        raise ValueError("its last line has no line break: is it still being written? Otherwise end it with one")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header, *lines = [line for line in reader if line]
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num} is not CSV: {error}") from None
    if missing := set(_REQUIRED) - set(map(column_of, header)):
        other = next((sign for sign in (";", "\t", "|") if len(header) == 1 and sign in header[0]), "")
        hint = f" (separated by commas, not by {other!r})" if other else ""
        raise ValueError(
            f"it lacks {', '.join(sorted(missing))} in its first line; the columns are {', '.join(COLUMNS)}{hint}"
        )
    return [numbered(header, line) for line in lines]


def _lines(text: str) -> Iterator[Row]:
    """The objects of JSON lines."""
    lines = text.split("\n")
    for number, line in enumerate(lines, 1):
        if line.strip():
            row = _object(line)
            if isinstance(row, Unreadable) and number == len(lines):
                raise ValueError("its last line is not JSON and has no line break: is it still being written?")
            yield row


def _list(text: str) -> Iterator[Row]:
    """The objects of a JSON list, each read alone; or the only one."""
    whole = text.strip()
    if not whole.startswith("["):
        row = _object(whole)
        if isinstance(row, Unreadable):
            raise ValueError(f"it is not a JSON list: it {row.reason}")  # never what stands there
        yield row
        return
    depth, start, end = 0, 1, None
    for mark in _MARK.finditer(whole):
        sign = mark.group()
        if sign in "[{":
            depth += 1
        elif sign in "]}":
            depth -= 1
        if (depth == 1 and sign == ",") or depth == 0:
            item = whole[start : mark.start()]
            if item.strip() or sign == ",":
                yield _object(item)
            start = mark.end()
        if depth == 0:
            end = mark.end()
            break
    if end != len(whole):
        raise ValueError("it is not JSON: its list has no end, or something follows it. Is it still being written?")


def _object(text: str) -> Row:
    try:
        found = json.loads(text, object_pairs_hook=_of_pairs)
    except json.JSONDecodeError as error:
        return Unreadable(f"is not JSON: {error.msg}", text)
    except (ValueError, RecursionError):
        return Unreadable("is not readable JSON: it is nested too deeply, or a number has too many digits", text)
    return (
        found if isinstance(found, dict) else Unreadable("is something beside objects: write a list of requests", text)
    )


def _of_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return numbered((name for name, _ in pairs), (value for _, value in pairs))
