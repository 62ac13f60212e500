"""Operations of the app API: authentication, roles, JSON bodies and replies.

`app_route` makes a route of an operation, a function from an `ApiCall` to the reply; `request_route` makes one of a
handler. Source: mixpanel-api.md#credentials, #errors.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mixpanel_etl.sandbox.engine.authentication import Caller, Kind, authenticate
from mixpanel_etl.sandbox.engine.fault_effects import with_faults
from mixpanel_etl.sandbox.engine.projects import Project
from mixpanel_etl.sandbox.engine.responses import ApiError, Handler, Shape, app_shape, json_response, with_error_shape
from mixpanel_etl.sandbox.engine.state import State

_T = TypeVar("_T")

ADMINS = ("owner", "admin")
ANALYSTS = (*ADMINS, "analyst")
INVALID_ACCOUNT = "Invalid service account credentials"
_SERVICE_ACCOUNT: tuple[Kind, ...] = ("service_account",)


@dataclass(frozen=True)
class ApiCall:
    """An authenticated request for one project; `body` is undecoded."""

    request: Request
    state: State
    caller: Caller
    now: datetime
    body: bytes

    @property
    def project(self) -> Project:
        return self.caller.project

    @property
    def parameters(self) -> dict[str, str]:
        return dict(self.request.query_params)

    @property
    def path(self) -> dict[str, Any]:
        return self.request.path_params

    def json(self, kind: type[_T]) -> _T:
        """The body as `kind`; an empty one is `{}`. Raises ApiError 400."""
        return decoded(self.body, kind)


Operation = Callable[[ApiCall], object]
Identify = Callable[[Request, State, datetime], Caller]


def app_route(
    method: str,
    path: str,
    operation: Operation,
    *,
    roles: Collection[str] | None = None,
    status: int = 200,
    identify: Identify | None = None,
    shape: Shape = app_shape,
    prefix: str = "/api/app",
) -> Route:
    """The route of an operation, which returns a Response or, with `status`, a value for JSON.

    `roles` may call it, by default all; `identify` authenticates the caller, by default a service account that is a
    member of the path's `project_id`, and can read `request.state.body`.
    """

    async def answer(request: Request) -> Response:
        state = State.of(request)
        now = state.clock.now()
        request.state.body = await request.body()
        caller = (identify or _member)(request, state, now)
        check_role(caller, roles)
        call = ApiCall(request, state, caller, now, request.state.body)
        reply = await run_in_threadpool(_locked, operation, call)
        return reply if isinstance(reply, Response) else json_response(reply, status)

    return request_route(method, path, answer, shape, prefix=prefix)


def request_route(method: str, path: str, handler: Handler, shape: Shape, *, prefix: str = "") -> Route:
    """The route of a handler that authenticates and reads its request itself."""
    return Route(prefix + path, with_error_shape(shape, with_faults(path, handler)), methods=[method])


def ok(results: object) -> dict[str, object]:
    """The documented envelope of a reply."""
    return {"status": "ok", "results": results}


def check_role(caller: Caller, roles: Collection[str] | None) -> None:
    """Raises ApiError 403 when the caller's role is not among `roles`."""
    if roles is not None and caller.role not in roles:
        raise ApiError(403, f"Permission denied: this needs the role {' or '.join(roles)}, not {caller.role}")


def creator(call: ApiCall) -> dict[str, object]:
    """The members of a reply that name the creator: the caller."""
    account = call.caller.account
    return {
        "creator_id": account.account_id if account else None,
        "creator_name": call.caller.name,
        "creator_email": f"{call.caller.name}@serviceaccount.example",
    }


def decoded(body: bytes, kind: type[_T]) -> _T:
    """JSON as `kind`. Raises ApiError 400."""
    try:
        return msgspec.json.decode(body or b"{}", type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ApiError(400, f"Invalid request body: {error}") from None


def _locked(operation: Operation, call: ApiCall) -> object:
    with call.state.lock:
        return operation(call)


def _member(request: Request, state: State, now: datetime) -> Caller:
    project_id: int = request.path_params["project_id"]
    return authenticate(request, state.projects, _SERVICE_ACCOUNT, now, unknown=INVALID_ACCOUNT, project_id=project_id)
