"""Authenticates the caller of a request, for one project. Source: mixpanel-api.md#credentials.

Basic credentials may be base64 or plain text. A username without password is a project secret or, where an API accepts
it, a project token; with a password it is a service account, which names the project in `project_id`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from starlette.requests import Request

from mixpanel_etl.sandbox.engine.accounts import Account
from mixpanel_etl.sandbox.engine.projects import Project, Projects
from mixpanel_etl.sandbox.engine.responses import ApiError

Kind = Literal["service_account", "project_secret", "project_token", "oauth"]


@dataclass(frozen=True)
class Caller:
    """An authenticated caller: its project, kind of credential and role; `account` is its service account, if any."""

    project: Project
    kind: Kind
    role: str
    account: Account | None = None

    @property
    def name(self) -> str:
        """Name for display."""
        return self.account.username if self.account else self.kind.replace("_", " ")


def authenticate(
    request: Request,
    projects: Projects,
    accepts: Collection[Kind],
    now: datetime,
    *,
    unknown: str,
    project_id: int | None = None,
) -> Caller:
    """The caller, for `project_id` or, without one, the project of the query.

    Raises ApiError: 401 with the text `unknown`, 400 without project_id, 403 for another project.
    """
    wanted = request.query_params.get("project_id") if project_id is None else str(project_id)
    token = bearer_token(request)
    if token and "oauth" in accepts:
        return Caller(_chosen(wanted, projects_of_token(projects, token), unknown), "oauth", "owner")
    username, password = basic_credentials(request)
    if password:
        if "service_account" not in accepts:
            raise ApiError(401, unknown)
        account = projects.accounts.authenticate(username, password, now)
        if account is None:
            raise ApiError(401, unknown)
        project = _chosen(wanted, projects_of_account(projects, account), None)
        return Caller(project, "service_account", account.roles[project.project_id], account)
    for project in projects:
        if "project_secret" in accepts and username == project.secret:
            return Caller(_asked_for(wanted, project), "project_secret", "owner")
        if "project_token" in accepts and username == project.token:
            return Caller(_asked_for(wanted, project), "project_token", "owner")
    raise ApiError(401, unknown)


def projects_of_account(projects: Projects, account: Account) -> list[Project]:
    """The projects of which a service account is a member."""
    return [project for project in projects if project.project_id in account.roles]


def projects_of_token(projects: Projects, token: str) -> list[Project]:
    """The projects of the user of an OAuth token."""
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


def _chosen(wanted: str | None, members: list[Project], unknown: str | None) -> Project:
    if not members and unknown is not None:
        raise ApiError(401, unknown)
    if wanted is None:
        raise ApiError(400, "project_id is required to authenticate with this kind of credential")
    for project in members:
        if str(project.project_id) == wanted:
            return project
    raise ApiError(403, "Permission denied: the credential has no access to this project")


def _asked_for(wanted: str | None, project: Project) -> Project:
    if wanted is not None and wanted != str(project.project_id):
        raise ApiError(403, "Permission denied: the credential has no access to this project")
    return project
