"""Refusals, and the shape in which each API family words them. Source: mixpanel-api.md#errors."""

from __future__ import annotations

import base64
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from mixpanel_etl.sandbox.engine.json_values import json_bytes

#: What Mixpanel says of a request of which some records were not taken.
INVALID = "some data points in the request failed validation"
_PIXEL = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
_CALLBACK = re.compile(r"[A-Za-z_$][\w$.]*")

Handler = Callable[[Request], Awaitable[Response]]
Shape = Callable[[Request, "ApiError"], Response]


@dataclass
class ApiError(Exception):
    """What a handler raises to answer with an error; the API family gives it its shape.

    `extra` are further members of a JSON body.
    """

    status: int
    text: str
    headers: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)


def with_error_shape(shape: Shape, handler: Handler) -> Handler:
    """The handler, with its refusals worded as `shape` does."""

    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except ApiError as refusal:
            return shape(request, refusal)

    return answer


def json_response(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(json_bytes(body), status, headers, media_type="application/json")


def export_shape(_request: Request, refusal: ApiError) -> Response:
    """Plain text (observed)."""
    return PlainTextResponse(refusal.text, refusal.status, refusal.headers)


def query_shape(request: Request, refusal: ApiError) -> Response:
    """`{"request": path and query, "error": text}` (observed)."""
    path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return json_response({"request": path, "error": refusal.text}, refusal.status, refusal.headers)


def import_shape(_request: Request, refusal: ApiError) -> Response:
    """`{"code": 401, "error": text, "status": "Unauthorized"}` (documented)."""
    body = {"code": refusal.status, "error": refusal.text, "status": _phrase(refusal.status), **refusal.extra}
    return json_response(body, refusal.status, refusal.headers)


def app_shape(_request: Request, refusal: ApiError) -> Response:
    """`{"status": "error", "error": text}` (documented)."""
    return json_response({"status": "error", "error": refusal.text}, refusal.status, refusal.headers)


def typed_shape(_request: Request, refusal: ApiError) -> Response:
    """`{"status": "error", "type": kind, "error": text}` (documented; the kinds are invented)."""
    body = {"status": "error", "type": _phrase(refusal.status), "error": refusal.text}
    return json_response(body, refusal.status, refusal.headers)


def _phrase(status: int) -> str:
    # Python has renamed 413 since; the documented body keeps the name of RFC 2616.
    return "Request Entity Too Large" if status == 413 else HTTPStatus(status).phrase


def status_reply(parameters: Mapping[str, str], error: str | None) -> Response:
    """`1` or `0`, and in the form asked for: verbose JSON, a JavaScript callback, a pixel."""
    if _flag(parameters, "img"):
        return Response(_PIXEL, media_type="image/gif")
    status = 0 if error else 1
    verbose = _flag(parameters, "verbose")
    text = msgspec.json.encode({"status": status, "error": error}).decode() if verbose else str(status)
    callback = parameters.get("callback", "")
    if _CALLBACK.fullmatch(callback):
        return Response(f"{callback}({text});", media_type="text/javascript")
    return Response(text, media_type="application/json") if verbose else PlainTextResponse(text)


def _flag(parameters: Mapping[str, str], name: str) -> bool:
    return parameters.get(name, "").lower() in ("1", "2", "true")
