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

MAX_BYTES = 100_000_000


def as_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """CSV by RFC 4180 with a header. The first column is the key: never empty, and unique.

    Numbers stay numbers, True and False become booleans, None an empty cell, lists JSON, datetimes RFC 3339.

    Raises:
        InvalidRequest: names the wrong column or row.
    """
    _check_columns(columns)
    content = io.BytesIO()
    out = io.TextIOWrapper(content, "utf-8", newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(columns)
    keys: dict[str, int] = {}
    for number, row in enumerate(rows):
        cells = [_cell(value, number, column) for column, value in zip(columns, row, strict=False)]
        if len(row) != len(columns):
            raise _rejected(number, f"has {len(row)} values for {len(columns)} columns")
        key = cells[0]
        if not key.strip():
            raise _rejected(number, f"has no {columns[0]!r}, which is the key")
        if key in keys:
            raise _rejected(number, f"has the key of rows[{keys[key]}]")
        keys[key] = number
        writer.writerow(cells)
        _check_size(content)  # on the way, so that no more than the limit is held
    out.flush()
    _check_size(content)
    return content.getvalue()


def _check_size(content: io.BytesIO) -> None:
    if content.tell() > MAX_BYTES:
        raise InvalidRequest(f"more than {MAX_BYTES:,} bytes of CSV, which is the limit", advice="Drop columns.")


def _check_columns(columns: Sequence[str]) -> None:
    if isinstance(columns, str) or not columns or not all(isinstance(name, str) and name.strip() for name in columns):
        raise InvalidRequest(f"columns is {described(columns)}", advice="Give a list of names, the key first.")
    twice = next((name for name in columns if list(columns).count(name) > 1), None)
    if twice is not None:
        raise InvalidRequest(f"columns has {twice!r} twice", advice="Rename one of them.")


def _cell(value: Any, number: int, column: str) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise _rejected(number, f"has a time without a zone in {column!r}")
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, int | float | date | Decimal):
        return format(value, "f") if isinstance(value, Decimal) else str(value)
    if isinstance(value, list | tuple):
        return msgspec.json.encode(value).decode()
    raise _rejected(number, f"has a {type(value).__name__} in {column!r}, which a lookup table can't hold")


def _rejected(number: int, reason: str) -> InvalidRequest:
    return InvalidRequest(
        f"rows[{number}] {reason}",
        advice="Correct the row: a table is replaced as a whole or not at all.",
    )
