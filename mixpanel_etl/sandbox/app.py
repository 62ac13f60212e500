"""The application: every path of every API on one origin, as a client sees it that sends all hosts to one base URL.

Regions differ by host only, so one set of paths serves all three. Both prefixes of the Query API are answered, and a
trailing slash is no different path (mixpanel-api.md#hosts).
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mixpanel_etl.sandbox.apis.annotations import annotation_routes
from mixpanel_etl.sandbox.apis.app import me
from mixpanel_etl.sandbox.apis.experiments import experiment_routes
from mixpanel_etl.sandbox.apis.export import export
from mixpanel_etl.sandbox.apis.feature_flags.evaluation import feature_flag_routes
from mixpanel_etl.sandbox.apis.feature_flags.management import flag_management_routes
from mixpanel_etl.sandbox.apis.gdpr.routes import gdpr_routes
from mixpanel_etl.sandbox.apis.ingestion.events import import_events, track
from mixpanel_etl.sandbox.apis.ingestion.lookup_tables import lookup_routes
from mixpanel_etl.sandbox.apis.ingestion.profiles import engage, groups
from mixpanel_etl.sandbox.apis.lexicon import lexicon_routes
from mixpanel_etl.sandbox.apis.pipelines.routes import pipeline_routes
from mixpanel_etl.sandbox.apis.query import query_routes
from mixpanel_etl.sandbox.apis.service_accounts import service_account_routes
from mixpanel_etl.sandbox.apis.warehouse_connectors.routes import warehouse_routes
from mixpanel_etl.sandbox.control.events import control_routes
from mixpanel_etl.sandbox.engine.interference import subject_to_faults
from mixpanel_etl.sandbox.engine.replies import (
    Handler,
    Shape,
    answering,
    app_shape,
    export_shape,
    import_shape,
    json_response,
)
from mixpanel_etl.sandbox.engine.state import SeenRequest, State
from mixpanel_etl.sandbox.environment import CONTROL_HEADER

_SECRET_PARAMETERS = frozenset({"token", "api_key", "api_secret", "secret", "data", "sig"})


def create_app(state: State) -> ASGIApp:
    """The ASGI application of a sandbox."""
    app = Starlette(routes=_routes(), exception_handlers={404: _not_found, 405: _not_found})
    app.router.redirect_slashes = False
    app.state.sandbox = state
    return _Entrance(app, state)


def _routes() -> list[Route]:
    return [
        *_api("/export", export, export_shape, ("/api/2.0",)),
        *query_routes(),
        *_api("/import", import_events, import_shape, methods=("POST",)),
        *_api("/track", track, import_shape, methods=("GET", "POST")),
        *_api("/engage", engage, app_shape, methods=("POST",)),
        *_api("/groups", groups, app_shape, methods=("POST",)),
        *_api("/app/me", me, app_shape, ("/api",)),
        *annotation_routes(),
        *experiment_routes(),
        *feature_flag_routes(),
        *flag_management_routes(),
        *gdpr_routes(),
        *lexicon_routes(),
        *lookup_routes(),
        *pipeline_routes(),
        *service_account_routes(),
        *warehouse_routes(),
        *control_routes(),
    ]


def _api(
    path: str, handler: Handler, shape: Shape, prefixes: Sequence[str] = ("",), methods: Sequence[str] = ("GET",)
) -> list[Route]:
    endpoint = answering(shape, subject_to_faults(path, handler))
    return [Route(prefix + path, endpoint, methods=list(methods)) for prefix in prefixes]


async def _not_found(request: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 404)
    return json_response({"request": request.url.path, "error": getattr(error, "detail", str(error))}, status)


class _Entrance:
    """Refuses strangers, notes every request and its status, and takes the trailing slash off its path.

    A page in a browser can send requests to this machine: under a name of its own that leads to 127.0.0.1 it could
    even read the replies (DNS rebinding). So names that are not the sandbox's own are refused. Under `/sandbox`, which
    needs no credentials, the header is required that no page may send to another origin.
    """

    def __init__(self, app: ASGIApp, state: State) -> None:
        self._app, self._state = app, state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"].rstrip("/") or "/"
        scope = {**scope, "path": path}
        refusal = self._refusal(Request(scope), is_control=path.startswith("/sandbox"))
        if refusal:
            await refusal(scope, receive, send)
            return
        now = self._state.clock.now()
        if self._state.agenda.is_due(now):
            await run_in_threadpool(self._state.agenda.run, now)
        if path.startswith("/sandbox"):
            await self._app(scope, receive, send)
            return
        seen = _seen(Request(scope), self._state)
        self._state.requests.append(seen)

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen.status = message["status"]
            seen.bytes_sent += len(message.get("body", b""))
            await send(message)

        await self._app(scope, receive, noting)

    def _refusal(self, request: Request, *, is_control: bool) -> Response | None:
        name = _host_name(request.headers.get("host", ""))
        if name not in self._state.host_names:
            known = ", ".join(sorted(self._state.host_names))
            text = f"the host name {name!r} is not one of this sandbox's: {known}; add it with host_names"
            return json_response({"error": text}, 421)
        if is_control and CONTROL_HEADER not in request.headers:
            return json_response({"error": f"send the header {CONTROL_HEADER}: 1 with every call of /sandbox"}, 403)
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
