"""Responses, and the shape in which each API family reports errors. Source: mixpanel-api.md#errors."""

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

#: Mixpanel's error of a request with rejected records.
INVALID = "some data points in the request failed validation"
_PIXEL = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
_CALLBACK = re.compile(r"[A-Za-z_$][\w$.]*")

Handler = Callable[[Request], Awaitable[Response]]
Shape = Callable[[Request, "ApiError"], Response]


@dataclass
class ApiError(Exception):
    """An error that a handler answers with, in the shape of its API family.

    `extra` are further members of a JSON body.
    """

    status: int
    text: str
    headers: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)


def with_error_shape(shape: Shape, handler: Handler) -> Handler:
    """The handler, whose ApiErrors are answered in a shape."""

    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except ApiError as error:
            return shape(request, error)

    return answer


def json_response(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(json_bytes(body), status, headers, media_type="application/json")


def export_shape(_request: Request, error: ApiError) -> Response:
    """Plain text (observed)."""
    return PlainTextResponse(error.text, error.status, error.headers)


def query_shape(request: Request, error: ApiError) -> Response:
    """`{"request": path and query, "error": text}` (observed)."""
    path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return json_response({"request": path, "error": error.text}, error.status, error.headers)


def import_shape(_request: Request, error: ApiError) -> Response:
    """`{"code": 401, "error": text, "status": "Unauthorized"}` (documented)."""
    body = {"code": error.status, "error": error.text, "status": _phrase(error.status), **error.extra}
    return json_response(body, error.status, error.headers)


def app_shape(_request: Request, error: ApiError) -> Response:
    """`{"status": "error", "error": text}` (documented)."""
    return json_response({"status": "error", "error": error.text}, error.status, error.headers)


def typed_shape(_request: Request, error: ApiError) -> Response:
    """`{"status": "error", "type": kind, "error": text}` (documented; the kinds are invented)."""
    body = {"status": "error", "type": _phrase(error.status), "error": error.text}
    return json_response(body, error.status, error.headers)


def _phrase(status: int) -> str:
    # Python has renamed 413 since; the documented body keeps the name of RFC 2616.
    return "Request Entity Too Large" if status == 413 else HTTPStatus(status).phrase


def status_reply(parameters: Mapping[str, str], error: str | None) -> Response:
    """`1` or `0`, in the requested form: verbose JSON, a JavaScript callback, a pixel."""
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
