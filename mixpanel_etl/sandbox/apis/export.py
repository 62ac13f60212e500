"""`GET /export`: raw events, as lines of JSON. Source: mixpanel-api.md#export."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from itertools import chain, islice
from tempfile import SpooledTemporaryFile

from isal import isal_zlib
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from mixpanel_etl.expressions import EvaluationError, Expression
from mixpanel_etl.sandbox.apis.api_call import request_route
from mixpanel_etl.sandbox.engine.authentication import Kind, authenticate
from mixpanel_etl.sandbox.engine.budgets import Release
from mixpanel_etl.sandbox.engine.event_log import EventLog
from mixpanel_etl.sandbox.engine.event_store import Days
from mixpanel_etl.sandbox.engine.fault_effects import change_store, faulty_lines
from mixpanel_etl.sandbox.engine.projects import Project
from mixpanel_etl.sandbox.engine.query_parameters import (
    read_dates,
    read_expression,
    read_flag,
    read_integer,
    read_names,
)
from mixpanel_etl.sandbox.engine.responses import ApiError, export_shape
from mixpanel_etl.sandbox.engine.state import State

MAX_DAYS = 100
MAX_LIMIT = 100_000
GZIP_ABOVE_BYTES = 1400
_SPOOL_BYTES = 32_000_000
_CHUNK_BYTES = 1_000_000
_ACCEPTS: tuple[Kind, ...] = ("service_account", "project_secret")


def export_routes() -> list[Route]:
    return [request_route("GET", "/export", export, export_shape, prefix="/api/2.0")]


async def export(request: Request) -> Response:
    state = State.of(request)
    now = state.clock.now()
    project = authenticate(request, state.projects, _ACCEPTS, now, unknown="Unable to authenticate request").project
    release = state.budgets.enter(project, "export")
    try:
        lines = await run_in_threadpool(_lines, state, project, request, project.today(now))
    except BaseException:
        release()
        raise
    return _LineStream(lines, release, request)


def _lines(state: State, project: Project, request: Request, today: date) -> Iterator[bytes]:
    parameters, fault = request.query_params, request.state.fault
    days = _days(*read_dates(parameters), today)
    where = read_expression(parameters, "where")
    events = read_names(parameters, "event")
    limit = read_integer(parameters, "limit", minimum=1, maximum=MAX_LIMIT)
    in_ms = read_flag(parameters, "time_in_ms")
    change_store(state, project, days, fault)
    if where is None:
        stored = state.store.lines(project.project_id, days, events=events, limit=limit, time_in_ms=in_ms)
    else:
        stored = _matching_lines(EventLog(state, project), days, events, where, limit=limit, in_ms=in_ms)
    return faulty_lines(stored, fault)


def _matching_lines(
    log: EventLog, days: Days, events: Sequence[str] | None, where: Expression, *, limit: int | None, in_ms: bool
) -> Iterator[bytes]:
    """The lines that satisfy `where`. All are found before the first is sent, so that errors are answered with 400."""
    holds = log.filter(where)
    found = (
        (event.time_ms, head, tail) for event, head, tail in log.copies(*days.milliseconds, events) if holds(event)
    )
    spool = SpooledTemporaryFile(_SPOOL_BYTES)  # noqa: SIM115 - closed by `_read`
    try:
        for time_ms, head, tail in islice(found, limit):
            spool.write(b"%b%d%b\n" % (head, time_ms if in_ms else time_ms // 1000, tail))
    except EvaluationError as error:
        spool.close()
        raise ApiError(400, f"error evaluating where: {error}") from error
    return _read(spool)


def _read(spool: SpooledTemporaryFile[bytes]) -> Iterator[bytes]:
    with spool:
        spool.seek(0)
        while lines := spool.readlines(_CHUNK_BYTES):
            yield b"".join(lines)


def _days(first: date, last: date, today: date) -> Days:
    if last > today:
        raise ApiError(400, "to_date cannot be later than today")
    days = Days(first, last)
    if len(days) > MAX_DAYS:
        raise ApiError(400, f"date range of {len(days)} days exceeds the maximum of {MAX_DAYS} days")
    return days


class _LineStream(Response):
    """Streams lines, compressed if accepted and large enough; stops when the client has disconnected."""

    def __init__(self, lines: Iterator[bytes], release: Release, request: Request) -> None:
        super().__init__()
        self._lines, self._release, self._request = lines, release, request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        try:
            first = await run_in_threadpool(_first_bytes, self._lines)
            gzip = "gzip" in self._request.headers.get("accept-encoding", "").lower()
            compress = gzip and len(first) > GZIP_ABOVE_BYTES
            headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"vary", b"Accept-Encoding")]
            if compress:
                headers.append((b"content-encoding", b"gzip"))
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            body = _compressed(first, self._lines) if compress else _plain(first, self._lines)
            while chunk := await run_in_threadpool(next, body, b""):
                if await self._request.is_disconnected():
                    return
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            self._release()


def _first_bytes(lines: Iterator[bytes]) -> bytes:
    """Enough of the body to decide about compression, or all of it."""
    first = b""
    while len(first) <= GZIP_ABOVE_BYTES and (chunk := next(lines, b"")):
        first += chunk
    return first


def _plain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield from filter(None, chain([first], rest))


def _compressed(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    # isal's level 1 is many times faster than zlib's, so that benchmarks don't measure the sandbox.
    compressor = isal_zlib.compressobj(1, wbits=31)
    for chunk in chain([first], rest):
        if compressed := compressor.compress(chunk):
            yield compressed
    yield compressor.flush()
