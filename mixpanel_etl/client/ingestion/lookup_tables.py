"""Rows of a lookup table as the CSV that replaces it. Source: mixpanel-api.md#lookup-tables."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec

from mixpanel_etl.client.errors import InvalidRequest
from mixpanel_etl.quoting import described

MOST_BYTES = 100_000_000


def as_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]], endpoint: str) -> bytes:
    """CSV by RFC 4180, the header first. The first column is the key: never empty, never twice.

    Numbers stay numbers, True and False become booleans, None an empty cell, a list JSON, a datetime RFC 3339.

    Raises:
        InvalidRequest: names the column or the row at fault.
    """
    _check_columns(columns, endpoint)
    content = io.BytesIO()
    out = io.TextIOWrapper(content, "utf-8", newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(columns)
    keys: dict[str, int] = {}
    for number, row in enumerate(rows):
        cells = [_cell(value, number, column, endpoint) for column, value in zip(columns, row, strict=False)]
        if len(row) != len(columns):
            raise _refused(number, f"has {len(row)} values for {len(columns)} columns", endpoint)
        key = cells[0]
        if not key.strip():
            raise _refused(number, f"has no {columns[0]!r}, which is the key", endpoint)
        if key in keys:
            raise _refused(number, f"has the key of rows[{keys[key]}]", endpoint)
        keys[key] = number
        writer.writerow(cells)
        _check_size(content, endpoint)  # on the way, so that no more than the limit is held
    out.flush()
    _check_size(content, endpoint)
    return content.getvalue()


def _check_size(content: io.BytesIO, endpoint: str) -> None:
    if content.tell() > MOST_BYTES:
        raise InvalidRequest(
            f"more than {MOST_BYTES:,} bytes of CSV, which is the limit", endpoint=endpoint, advice="Drop columns."
        )


def _check_columns(columns: Sequence[str], endpoint: str) -> None:
    if isinstance(columns, str) or not columns or not all(isinstance(name, str) and name.strip() for name in columns):
        raise InvalidRequest(
            f"columns is {described(columns)}", endpoint=endpoint, advice="Give a list of names, the key first."
        )
    twice = next((name for name in columns if list(columns).count(name) > 1), None)
    if twice is not None:
        raise InvalidRequest(f"columns has {twice!r} twice", endpoint=endpoint, advice="Rename one of them.")


def _cell(value: Any, number: int, column: str, endpoint: str) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise _refused(number, f"has a time without a zone in {column!r}", endpoint)
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, int | float | date | Decimal):
        return format(value, "f") if isinstance(value, Decimal) else str(value)
    if isinstance(value, list | tuple):
        return msgspec.json.encode(value).decode()
    raise _refused(number, f"has a {type(value).__name__} in {column!r}, which no lookup table can hold", endpoint)


def _refused(number: int, reason: str, endpoint: str) -> InvalidRequest:
    return InvalidRequest(
        f"rows[{number}] {reason}",
        endpoint=endpoint,
        advice="Correct the row: a table is replaced whole or not at all.",
    )
