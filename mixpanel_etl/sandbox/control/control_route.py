"""Routes of the control API, and their common parameters: the project and the body."""

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
    """A route under `/sandbox`; a ValueError or OSError of the handler is answered with 400."""

    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except (ValueError, OSError) as error:
            raise ApiError(400, str(error)) from error

    return Route(f"/sandbox{path}", with_error_shape(_shape, answer), methods=[method])


def _shape(_request: Request, error: ApiError) -> Response:
    return json_response({"error": error.text}, error.status)


def control_project(request: Request) -> Project:
    """The project of `?project_id=`, or the first one."""
    return State.of(request).projects.of(read_integer(request.query_params, "project_id", minimum=0))


async def control_body(request: Request, kind: type[_T]) -> _T:
    return msgspec.json.decode(await request.body() or b"{}", type=kind)
