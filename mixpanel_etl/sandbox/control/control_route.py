"""What the routes of the control plane share: how they are called, for which project, with which body."""

from __future__ import annotations

from typing import TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mixpanel_etl.sandbox.engine.projects import Project
from mixpanel_etl.sandbox.engine.query_parameters import read_integer
from mixpanel_etl.sandbox.engine.responses import ApiError, Handler, json_response, with_error_shape
from mixpanel_etl.sandbox.engine.state import State

_T = TypeVar("_T")


def control_route(method: str, path: str, handler: Handler) -> Route:
    """Under `/sandbox`; a ValueError or OSError of the handler is a 400 that says what was wrong with the call."""

    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except (ValueError, OSError) as error:
            raise ApiError(400, str(error)) from error

    return Route(f"/sandbox{path}", with_error_shape(_shape, answer), methods=[method])


def _shape(_request: Request, refusal: ApiError) -> Response:
    return json_response({"error": refusal.text}, refusal.status)


def control_project(request: Request) -> Project:
    """The project of `?project_id=`, or the first one."""
    return State.of(request).projects.of(read_integer(request.query_params, "project_id", minimum=0))


async def control_body(request: Request, kind: type[_T]) -> _T:
    return msgspec.json.decode(await request.body() or b"{}", type=kind)
