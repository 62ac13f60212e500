"""Lookup tables: listed, and replaced by a CSV. Source: mixpanel-api.md#lookup-tables.

Only the UI creates them, so projects declare them.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mixpanel_etl.sandbox.apis.api_call import ApiCall, app_route
from mixpanel_etl.sandbox.apis.ingestion.payload import uncompressed
from mixpanel_etl.sandbox.engine.authentication import Caller, Kind, authenticate
from mixpanel_etl.sandbox.engine.budgets import INGESTION_TEXT, RateLimit
from mixpanel_etl.sandbox.engine.json_values import is_number
from mixpanel_etl.sandbox.engine.responses import ApiError, import_shape
from mixpanel_etl.sandbox.engine.state import State

REPLACEMENTS = RateLimit("lookup table replacements", 100, timedelta(hours=24), INGESTION_TEXT)
MAX_ROWS = 5_000_000
MAX_FAILED_RECORDS = 10
MAX_RECORD_CHARACTERS = 1_000_000
_INVALID = "Some data points in the request failed validation."

_READERS: tuple[Kind, ...] = ("service_account",)
_WRITERS: tuple[Kind, ...] = ("service_account", "project_secret")

Row = dict[str, Any]


def lookup_table_routes() -> list[Route]:
    return [
        app_route("GET", "/lookup-tables", list_tables, identify=_reader, shape=import_shape, prefix=""),
        app_route("PUT", "/lookup-tables/{table_id}", replace, identify=_writer, shape=_shape, prefix=""),
    ]


class LookupTables:
    """The rows of each table, by project and id."""

    def __init__(self, state: State) -> None:
        self.rows: dict[tuple[int, str], list[Row]] = {
            (project.project_id, table.id): [] for project in state.projects for table in project.tables
        }


class Failure(msgspec.Struct):
    """An invalid row; the header is row 0."""

    index: int
    message: str


def list_tables(call: ApiCall) -> object:
    return {"code": 200, "status": "OK", "results": [table._asdict() for table in call.project.tables]}


def replace(call: ApiCall) -> object:
    """All rows or none. 400 with the first ten invalid rows, 404, 413 and 429 as documented."""
    tables, key = call.state.api_state(LookupTables), (call.project.project_id, call.path["table_id"])
    call.state.budgets.spend(REPLACEMENTS, call.project)
    if key not in tables.rows:
        raise ApiError(404, f"Lookup table with id '{key[1]}' was not found.")
    body = uncompressed(call.body, call.request, call.project.max_lookup_table_bytes)
    if len(body) > call.project.max_lookup_table_bytes:
        raise ApiError(413, f"request exceeds max limit of {call.project.max_lookup_table_bytes} bytes")
    others = sum(
        len(held) for (project_id, name), held in tables.rows.items() if project_id == key[0] and name != key[1]
    )
    tables.rows[key] = _table(body, MAX_ROWS - others)
    return {"code": 200, "status": "OK"}


def _table(body: bytes, max_rows: int) -> list[Row]:
    """The typed rows of a CSV. Raises ApiError for an invalid one."""
    table: list[Row] = []
    failures: list[Failure] = []
    seen: dict[str, int] = {}
    try:
        records = _records(body)
        header = next(records, [])
        if not header or not all(header) or len(set(header)) < len(header):
            raise _invalid([Failure(0, "invalid header: names must be unique and not blank")])
        for index, row in enumerate(records, start=1):
            failure = _failure(index, row, header, seen) if row else None  # a blank line holds no record
            if failure:
                failures.append(failure)
            if len(failures) == MAX_FAILED_RECORDS:
                break
            if row and not failures:
                table.append(_typed_row(header, row))
            if len(table) > max_rows:
                raise ApiError(400, f"lookup tables of a project have at most {MAX_ROWS} rows")
    except (csv.Error, UnicodeDecodeError) as error:
        raise _invalid([Failure(0, f"invalid CSV: {error}")]) from None
    if failures:
        raise _invalid(failures)
    return table


def _records(body: bytes) -> Iterator[list[str]]:
    """The records of limited length, one at a time: 100 MB of commas would be one list."""
    size = 0

    def lines() -> Iterator[str]:
        nonlocal size
        text = io.TextIOWrapper(io.BytesIO(body), "utf-8-sig", newline="")
        while line := text.readline(MAX_RECORD_CHARACTERS + 1):
            size += len(line)
            if size > MAX_RECORD_CHARACTERS:
                raise csv.Error(f"a record is longer than {MAX_RECORD_CHARACTERS:,} characters")
            yield line

    for record in csv.reader(lines(), strict=True):
        size = 0
        yield record


def _failure(index: int, row: list[str], header: list[str], seen: dict[str, int]) -> Failure | None:
    if len(row) != len(header):
        return Failure(index, "invalid row: wrong number of fields")
    if not row[0].strip():
        return Failure(index, "primary key is required and cannot be blank")
    if row[0] in seen:
        return Failure(index, f"invalid row: row indexes {seen[row[0]]} and {index} have the same primary key")
    seen[row[0]] = index
    return None


def _typed_row(header: list[str], row: list[str]) -> Row:
    """The key as a string, other values typed by their form; empty values are left out."""
    values = {name: _typed(text) for name, text in zip(header[1:], row[1:], strict=True) if text != ""}
    return {header[0]: row[0], **values}


def _typed(text: str) -> Any:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        value = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return _timestamp(text) or text
    is_list = isinstance(value, list) and all(isinstance(item, str | int | float) for item in value)
    return value if is_number(value) or is_list else text


def _timestamp(text: str) -> datetime | None:
    """A date and time of RFC 3339."""
    try:
        return msgspec.json.decode(msgspec.json.encode(text), type=datetime)
    except msgspec.ValidationError:
        return None


def _invalid(failures: list[Failure]) -> ApiError:
    records = [msgspec.structs.asdict(failure) for failure in failures[:MAX_FAILED_RECORDS]]
    return ApiError(400, _INVALID, extra={"failed_records": records})


def _shape(request: Request, error: ApiError) -> Response:
    """The family's shape, but the body of a 404 has `"code": 200`, as documented."""
    if error.status == 404:
        error = ApiError(404, error.text, error.headers, {"code": 200, **error.extra})
    return import_shape(request, error)


def _reader(request: Request, state: State, now: datetime) -> Caller:
    return authenticate(request, state.projects, _READERS, now, unknown="Invalid credentials")


def _writer(request: Request, state: State, now: datetime) -> Caller:
    return authenticate(request, state.projects, _WRITERS, now, unknown="Invalid credentials")
