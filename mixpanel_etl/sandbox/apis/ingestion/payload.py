"""The wire forms of events: JSON, NDJSON, a form with `data`, a query string, gzip, base64.

Source: mixpanel-api.md#import, #track.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import io
import json
import zlib
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import Request

from mixpanel_etl.sandbox.engine.responses import ApiError

MAX_EVENTS = 2000


class Payload(NamedTuple):
    """The body of a request: unvalidated events; query and form parameters; uncompressed size in bytes."""

    events: list[Any]
    parameters: dict[str, str]
    size: int
    is_form: bool


async def read_payload(request: Request, max_bytes: int) -> Payload:
    """Raises ApiError: 413 over `max_bytes` (uncompressed), 400 when it is not JSON or has over 2,000 events."""
    body = uncompressed(await _limited_body(request, max_bytes), request, max_bytes)
    parameters = dict(request.query_params)
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    is_form = content_type == "application/x-www-form-urlencoded" or (not content_type and body.startswith(b"data="))
    if is_form:
        parameters.update(parse_qsl(body.decode("utf-8", "surrogateescape"), keep_blank_values=True))
    if "data" in parameters:
        events = _decode_data(parameters["data"])
    elif content_type == "application/x-ndjson":
        events = [_decode_json(line) for line in body.split(b"\n") if line.strip()]
    else:
        events = _as_list(_decode_json(body))
    if len(events) > MAX_EVENTS:
        raise ApiError(400, f"request has {len(events)} events, the maximum is {MAX_EVENTS}")
    return Payload(events, parameters, len(body), is_form)


async def _limited_body(request: Request, max_bytes: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise _too_large(max_bytes)
    return bytes(body)


def uncompressed(body: bytes, request: Request, max_bytes: int) -> bytes:
    if request.headers.get("content-encoding", "").lower() != "gzip":
        return body
    try:
        inflated = gzip.GzipFile(fileobj=io.BytesIO(body)).read(max_bytes + 1)
    except (zlib.error, EOFError, gzip.BadGzipFile):
        raise ApiError(400, "request body is not valid gzip") from None
    if len(inflated) > max_bytes:
        raise _too_large(max_bytes)
    return inflated


def _too_large(max_bytes: int) -> ApiError:
    return ApiError(413, f"request exceeds max limit of {max_bytes} bytes")


def _decode_data(data: str) -> list[Any]:
    """`data` is JSON as the official SDK sends it, or base64 of it."""
    if data.lstrip()[:1] in ("[", "{"):
        return _as_list(_decode_json(data.encode("utf-8", "surrogateescape")))
    try:
        # In a query string or a form that was not escaped, + arrives as a space.
        decoded = base64.b64decode(data.replace(" ", "+") + "=" * (-len(data) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ApiError(400, "data must be JSON, or base64 of it") from None
    return _as_list(_decode_json(decoded))


def _decode_json(text: bytes) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # Invalid UTF-8 rejects one record, not the request, so it is decoded without msgspec.
        return _decode_json_leniently(text)


def _decode_json_leniently(text: bytes) -> Any:
    try:
        return json.loads(text.decode("utf-8", "surrogateescape"), parse_constant=_reject_constant)
    except (ValueError, RecursionError):
        raise ApiError(400, "request body is not valid JSON") from None


def _reject_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
