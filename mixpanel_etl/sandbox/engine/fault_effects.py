"""The effects of faults: on the response, on the lines of an export, on the stored events."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import chain

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from mixpanel_etl.sandbox.engine.clock import milliseconds
from mixpanel_etl.sandbox.engine.event_line import with_properties
from mixpanel_etl.sandbox.engine.event_store import Days
from mixpanel_etl.sandbox.engine.faults import Fault
from mixpanel_etl.sandbox.engine.identity import assign_events
from mixpanel_etl.sandbox.engine.projects import Project
from mixpanel_etl.sandbox.engine.responses import Handler
from mixpanel_etl.sandbox.engine.state import State
from mixpanel_etl.sandbox.shop.generate import generate_lines

_TERMINATED_AFTER_LINES = 100
_DISTINCT_IDS = """
SELECT distinct_id FROM events WHERE project_id = ? AND time_ms >= ? AND time_ms < ? AND distinct_id <> ''
GROUP BY distinct_id ORDER BY min(seq) LIMIT ?"""


def with_faults(route: str, handler: Handler) -> Handler:
    """The handler, with the sandbox's faults for `route`. The fault, if any, is in `request.state.fault`."""

    async def answer(request: Request) -> Response:
        fault = State.of(request).faults.take(route, request.url.path, request.query_params)
        request.state.fault = fault
        if fault is None:
            return await handler(request)
        error = fault.error(route, request.query_params.get("project_id", ""))
        if error:
            raise error
        if fault.kind == "reset":
            return _FaultyResponse(None, fault, State.of(request))
        return _FaultyResponse(await handler(request), fault, State.of(request))

    return answer


def change_store(state: State, project: Project, days: Days, fault: Fault | None) -> None:
    """Apply a late_rows or merged_rows fault before an export of `days` is read.

    Source: mixpanel-api.md#late-events, #export-merges, #identity-merge.
    """
    if fault is None:
        return
    store, project_id = state.store, project.project_id
    if fault.kind == "late_rows":
        seed = fault.seed + store.count(project_id) + 1  # never the same late rows twice
        store.add(project_id, _late_lines(days, fault.rows, seed, project.export_timezone, state.clock.now()))
    elif fault.kind == "merged_rows":
        users = store.query(_DISTINCT_IDS, [project_id, *days.milliseconds, fault.rows])
        assign_events(store, project_id, {user: f"merged-{user.removeprefix('$device:')}" for (user,) in users})


def _late_lines(days: Days, rows: int, seed: int, timezone: str, now: datetime) -> Iterator[bytes]:
    """Events of the days that Mixpanel processes only now."""
    for line in generate_lines(rows, days.first, days.last, seed=seed, duplicates=0, timezone=timezone):
        yield with_properties(line, {"mp_processing_time_ms": milliseconds(now)})


def faulty_lines(chunks: Iterable[bytes], fault: Fault | None) -> Iterator[bytes]:
    """The lines of an export with the fault applied. Chunks end with a newline."""
    if fault is None:
        return iter(chunks)
    if fault.kind == "terminated_early":
        after = _TERMINATED_AFTER_LINES if fault.after is None else fault.after
        last = (fault.text or "terminated early").encode() + b"\n"
        return chain(_first_lines(chunks, after), [last])
    if fault.kind == "duplicate_rows":
        return _with_repeated(chunks, fault.rows)
    if fault.kind == "extra_lines":
        extra = b"".join(line + b"\n" for line in fault.lines)
        return chain(chunks, [extra]) if fault.after is None else _with_inserted(chunks, fault.after, extra)
    return iter(chunks)


def _first_lines(chunks: Iterable[bytes], count: int) -> Iterator[bytes]:
    for chunk in chunks:
        lines = chunk.count(b"\n")
        if lines >= count:
            yield chunk[: _end_of_line(chunk, count)]
            return
        yield chunk
        count -= lines


def _with_repeated(chunks: Iterable[bytes], count: int) -> Iterator[bytes]:
    repeated = b""
    for chunk in chunks:
        if not repeated:
            repeated = chunk[: _end_of_line(chunk, min(count, chunk.count(b"\n")))]
        yield chunk
    yield repeated


def _with_inserted(chunks: Iterable[bytes], after: int, extra: bytes) -> Iterator[bytes]:
    for chunk in chunks:
        lines = chunk.count(b"\n")
        if 0 <= after <= lines:
            end = _end_of_line(chunk, after)
            yield chunk[:end] + extra + chunk[end:]
        else:
            yield chunk
        after -= lines if after > lines else after + 1
    if after >= 0:
        yield extra


def _end_of_line(chunk: bytes, count: int) -> int:
    end = 0
    for _ in range(count):
        end = chunk.index(b"\n", end) + 1
    return end


class _BodyEndedError(Exception):
    """Raised through the sender of a response to suppress its remaining bytes."""


class _FaultyResponse(Response):
    """A response that is late, or ends too early."""

    def __init__(self, response: Response | None, fault: Fault, state: State) -> None:
        super().__init__()
        self._response, self._fault, self._state = response, fault, state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._fault.kind == "slow":
            await asyncio.sleep(self._fault.seconds)
        if self._response is None:
            self._reset(scope)
            return
        if self._fault.kind == "trickle":
            send = _Trickled(send, self._fault.seconds)
        if self._fault.kind not in ("cut", "truncated", "unterminated"):
            await self._response(scope, receive, send)
            return
        try:
            await self._response(scope, receive, _Shortened(send, self._fault.after or 0))
        except _BodyEndedError:
            await self._end(scope, send)

    async def _end(self, scope: Scope, send: Send) -> None:
        if self._fault.kind == "truncated":
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        elif self._fault.kind == "cut":
            await asyncio.sleep(0.05)  # so that the client has read the first bytes: a reset discards unread ones
            self._reset(scope)
        # Returning with the body unfinished closes the connection without the last chunk: "unterminated".

    def _reset(self, scope: Scope) -> None:
        transport = self._state.connections[scope["client"]]
        linger = struct.pack("ii", 1, 0)  # close with a reset (RST) instead of an orderly end
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        transport.abort()


class _Trickled:
    """Sends a body a byte at a time."""

    def __init__(self, send: Send, seconds: float) -> None:
        self._send, self._seconds = send, seconds

    async def __call__(self, message: Message) -> None:
        body = message.get("body", b"")
        for position in range(len(body)):
            await asyncio.sleep(self._seconds)
            await self._send({**message, "body": body[position : position + 1], "more_body": True})
        await self._send({**message, "body": b""} if "body" in message else message)


class _Shortened:
    """Sends the first `limit` bytes of a body, without a content-length, then raises."""

    def __init__(self, send: Send, limit: int) -> None:
        self._send, self._left = send, limit

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [(name, value) for name, value in message["headers"] if name != b"content-length"]
            await self._send({**message, "headers": headers})
            return
        body = message.get("body", b"")
        await self._send({"type": "http.response.body", "body": body[: self._left], "more_body": True})
        self._left -= len(body)
        if self._left < 0 or not message.get("more_body", False):
            raise _BodyEndedError
