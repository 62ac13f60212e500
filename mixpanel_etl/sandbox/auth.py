"""Who is asking, and for which project. Specification 2; api-facts 1.2.

Basic credentials may be base64 or plain text. A username without password is a project secret or, where an API accepts
it, a project token; with one it is a service account, which says in `project_id` which of its projects it means.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from starlette.requests import Request

from mixpanel_etl.sandbox.projects import Project, Projects
from mixpanel_etl.sandbox.replies import Refusal

Kind = Literal["service_account", "project_secret", "project_token", "oauth"]


@dataclass(frozen=True)
class Caller:
    """An authenticated caller: with what kind of credential, for which project, in which role."""

    project: Project
    kind: Kind
    role: str


def authenticate(
    request: Request, projects: Projects, accepts: Collection[Kind], now: datetime, *, unknown: str
) -> Caller:
    """The caller. Raises Refusal: 401 with the text `unknown`, 400 without project_id, 403 for another project."""
    token = bearer_token(request)
    if token and "oauth" in accepts:
        return Caller(_chosen(request, projects_of_token(projects, token), unknown), "oauth", "owner")
    username, password = basic_credentials(request)
    if password:
        if "service_account" not in accepts:
            raise Refusal(401, unknown)
        project = _chosen(request, service_account_projects(projects, username, password, now), unknown)
        return Caller(project, "service_account", project.account.role)
    for project in projects:
        if "project_secret" in accepts and username == project.secret:
            return Caller(_asked_for(request, project), "project_secret", "owner")
        if "project_token" in accepts and username == project.token:
            return Caller(_asked_for(request, project), "project_token", "owner")
    raise Refusal(401, unknown)


def service_account_projects(projects: Projects, username: str, secret: str, now: datetime) -> list[Project]:
    """The projects of which a service account is a member; none when its secret is wrong or it has expired."""
    return [
        project
        for project in projects
        if (username, secret) == project.account[:2]
        and (project.account.expires is None or now < project.account.expires)
    ]


def projects_of_token(projects: Projects, token: str) -> list[Project]:
    """The projects of the user to whom an OAuth token belongs."""
    return [project for project in projects if project.oauth_token == token]


def bearer_token(request: Request) -> str:
    """The token of a Bearer header; empty without one."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" else ""


def basic_credentials(request: Request) -> tuple[str, str]:
    """Username and password of a Basic header, base64 or plain; empty ones without such a header."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    return _basic(value.strip()) if scheme.lower() == "basic" else ("", "")


def _basic(value: str) -> tuple[str, str]:
    try:
        decoded = base64.b64decode(value, validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        decoded = ""
    username, _, password = (decoded if ":" in decoded else value).partition(":")
    return username, password


def _chosen(request: Request, members: list[Project], unknown: str) -> Project:
    if not members:
        raise Refusal(401, unknown)
    wanted = request.query_params.get("project_id")
    if wanted is None:
        raise Refusal(400, "project_id is required to authenticate with this kind of credential")
    for project in members:
        if str(project.project_id) == wanted:
            return project
    raise Refusal(403, "Permission denied: the credential has no access to this project")


def _asked_for(request: Request, project: Project) -> Project:
    wanted = request.query_params.get("project_id")
    if wanted is not None and wanted != str(project.project_id):
        raise Refusal(403, "Permission denied: the credential has no access to this project")
    return project
