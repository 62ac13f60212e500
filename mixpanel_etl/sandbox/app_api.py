"""`GET /api/app/me`: who am I, and which projects can I see. api-facts 1.1; the shape of the reply is invented."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from mixpanel_etl.sandbox.auth import basic_credentials, bearer_token, projects_of_token, service_account_projects
from mixpanel_etl.sandbox.projects import Project
from mixpanel_etl.sandbox.replies import Refusal, json_response
from mixpanel_etl.sandbox.state import State


async def me(request: Request) -> Response:
    state = State.of(request)
    token = bearer_token(request)
    if token:
        username, members = "sandbox user", projects_of_token(state.projects, token)
    else:
        username, secret = basic_credentials(request)
        members = service_account_projects(state.projects, username, secret, state.clock.now())
    if not members:
        raise Refusal(401, "Invalid service account credentials")
    projects = {str(project.project_id): _project(project, by_user=bool(token)) for project in members}
    return json_response({"status": "ok", "results": {"user_name": username, "projects": projects}})


def _project(project: Project, *, by_user: bool) -> dict[str, object]:
    return {
        "id": project.project_id,
        "name": project.name,
        "timezone": project.timezone,
        "role": "owner" if by_user else project.account.role,
    }
