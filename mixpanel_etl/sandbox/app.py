"""The ASGI application: the paths of all APIs on one origin, for clients that send all hosts to one base URL.

Regions differ by host only, so one set of paths serves all three. Both prefixes of the Query API are answered, and a
trailing slash is ignored (mixpanel-api.md#hosts).
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mixpanel_etl.sandbox.apis.routes import api_routes
from mixpanel_etl.sandbox.control.environment import CONTROL_HEADER
from mixpanel_etl.sandbox.control.routes import control_routes
from mixpanel_etl.sandbox.engine.responses import (
    json_response,
)
from mixpanel_etl.sandbox.engine.state import SeenRequest, State

_SECRET_PARAMETERS = frozenset({"token", "api_key", "api_secret", "secret", "data", "sig"})


def create_app(state: State) -> ASGIApp:
    """The ASGI application of a sandbox."""
    app = Starlette(routes=_routes(), exception_handlers={404: _not_found, 405: _not_found})
    app.router.redirect_slashes = False
    app.state.sandbox = state
    return _Gate(app, state)


def _routes() -> list[Route]:
    return [*api_routes(), *control_routes()]


async def _not_found(request: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 404)
    return json_response({"request": request.url.path, "error": getattr(error, "detail", str(error))}, status)


class _Gate:
    """Rejects foreign host names, logs every request and its status, and removes the trailing slash of its path.

    A page in a browser can send requests to this machine and, under a host name that resolves to 127.0.0.1, even read
    the responses (DNS rebinding), so only the sandbox's own host names are accepted. `/sandbox`, which needs no
    credentials, requires a header that pages must not send to other origins.
    """

    def __init__(self, app: ASGIApp, state: State) -> None:
        self._app, self._state = app, state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"].rstrip("/") or "/"
        scope = {**scope, "path": path}
        rejection = self._rejection(Request(scope), is_control=path.startswith("/sandbox"))
        if rejection:
            await rejection(scope, receive, send)
            return
        now = self._state.clock.now()
        if self._state.scheduler.is_due(now):
            await run_in_threadpool(self._state.scheduler.run_due, now)
        if path.startswith("/sandbox"):
            await self._app(scope, receive, send)
            return
        seen = _seen(Request(scope), self._state)
        self._state.requests.append(seen)

        async def send_and_log(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen.status = message["status"]
            seen.bytes_sent += len(message.get("body", b""))
            await send(message)

        await self._app(scope, receive, send_and_log)

    def _rejection(self, request: Request, *, is_control: bool) -> Response | None:
        name = _host_name(request.headers.get("host", ""))
        if name not in self._state.host_names:
            known = ", ".join(sorted(self._state.host_names))
            text = f"the host name {name!r} must be one of {known}; add it with host_names"
            return json_response({"error": text}, 421)
        if is_control and CONTROL_HEADER not in request.headers:
            return json_response({"error": f"send the header {CONTROL_HEADER}: 1 with every request to /sandbox"}, 403)
        return None


def _host_name(host: str) -> str:
    """The name of a `Host` header, without the port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return host


def _seen(request: Request, state: State) -> SeenRequest:
    params = {name: "***" if name in _SECRET_PARAMETERS else value for name, value in request.query_params.items()}
    return SeenRequest(request.method, request.url.path, params, state.clock.now())
