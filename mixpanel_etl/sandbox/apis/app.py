"""`GET /api/app/me`: the caller and its projects.

Source: mixpanel-api.md#me; the shape of the reply is invented.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mixpanel_etl.sandbox.apis.api_call import request_route
from mixpanel_etl.sandbox.engine.authentication import (
    basic_credentials,
    bearer_token,
    projects_of_account,
    projects_of_token,
)
from mixpanel_etl.sandbox.engine.projects import Project
from mixpanel_etl.sandbox.engine.responses import ApiError, app_shape, json_response
from mixpanel_etl.sandbox.engine.state import State


def app_routes() -> list[Route]:
    return [request_route("GET", "/app/me", me, app_shape, prefix="/api")]


async def me(request: Request) -> Response:
    projects = State.of(request).projects
    members = projects_of_token(projects, bearer_token(request))
    if members:
        return _reply("sandbox user", [(project, "owner") for project in members])
    username, secret = basic_credentials(request)
    account = projects.accounts.authenticate(username, secret, State.of(request).clock.now())
    if account is None:
        raise ApiError(401, "Invalid service account credentials")
    return _reply(
        username, [(project, account.roles[project.project_id]) for project in projects_of_account(projects, account)]
    )


def _reply(username: str, members: list[tuple[Project, str]]) -> Response:
    projects = {
        str(project.project_id): {
            "id": project.project_id,
            "name": project.name,
            "timezone": project.timezone,
            "role": role,
        }
        for project, role in members
    }
    return json_response({"status": "ok", "results": {"user_name": username, "projects": projects}})
