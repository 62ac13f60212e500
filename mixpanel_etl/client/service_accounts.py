"""Service accounts of an organization, and the projects they are members of.

Source: mixpanel-api.md#service-accounts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

from pydantic import SecretStr

from mixpanel_etl.client.operations import parameters
from mixpanel_etl.client.operations.api import JSON, Api, Operations
from mixpanel_etl.client.operations.replies import Reply

organization = Operations("app", "service-accounts", prefix="/organizations/{organization_id}/service-accounts")
project = Operations("app", "service-accounts", prefix="/projects/{project_id}/service-accounts")

Role = Literal["owner", "admin", "analyst", "consumer"]


@dataclass(frozen=True)
class ProjectRole:
    """Membership of a project, in a role."""

    project_id: int
    role: Role


class ServiceAccount(Reply, frozen=True, kw_only=True):
    """A service account. Times are ISO 8601."""

    id: int
    username: str | None = None
    last_used: str | None = None
    expires: str | None = None
    creator: int | None = None
    created: str | None = None
    user: int | None = None


class NewServiceAccount(ServiceAccount, frozen=True, kw_only=True):
    """An account just made. `token` is its secret, shown this once: `token.get_secret_value()`."""

    token: SecretStr


class ProjectMember(ServiceAccount, frozen=True, kw_only=True):
    """An account as a member of a project. Roles beyond the four known ones exist."""

    role: str | None = None
    target_type: str | None = None
    email: str | None = None
    role_order: int | None = None


class ServiceAccounts(Api):
    """Manages service accounts; needs a service account that is an admin of the organization.

    `organization_id` is in the URL of Mixpanel's organization settings. Every method raises `InvalidRequest` when a
    parameter can't work, and one of the kinds in `client.errors` if Mixpanel rejects the request.
    """

    @organization("GET")
    def list_service_accounts(self, organization_id: int) -> list[ServiceAccount]:
        """All accounts of the organization."""
        return self._result(list[ServiceAccount], path=_path(organization_id))

    @organization("POST", sends=JSON)
    def create_service_account(
        self,
        organization_id: int,
        username: str,
        *,
        role: Role | None = None,
        expires: datetime | None = None,
        projects: Sequence[ProjectRole] = (),
    ) -> NewServiceAccount:
        """Create an account. Keep the secret of the reply: Mixpanel never shows it again.

        Args:
            organization_id: id of the organization.
            username: name of the account.
            role: role in the organization.
            expires: time at which the account expires (aware); never by default.
            projects: projects of which the account becomes a member.
        """
        body: dict[str, Any] = {"username": parameters.string("username", username)}
        if role is not None:
            body["role"] = parameters.choice("role", role, get_args(Role))
        if expires is not None:
            body["expires"] = parameters.aware("expires", expires)
        if projects:
            body["projects"] = [_membership(project) for project in projects]
        return self._result(NewServiceAccount, path=_path(organization_id), json=body)

    @organization("GET", "/{service_account_id}")
    def get_service_account(self, organization_id: int, service_account_id: int) -> ServiceAccount:
        """One account."""
        return self._result(ServiceAccount, path=_path(organization_id, service_account_id))

    @organization("DELETE", "/{service_account_id}")
    def delete_service_account(self, organization_id: int, service_account_id: int) -> None:
        """Delete an account, and its memberships."""
        self._done(path=_path(organization_id, service_account_id))

    @project("GET")
    def list_project_service_accounts(self) -> list[ProjectMember]:
        """The accounts that are members of this project."""
        return self._result(list[ProjectMember])

    @organization("POST", "/add-to-project", sends=JSON, idempotent=True)
    def add_to_projects(
        self, organization_id: int, service_account_ids: Sequence[int], projects: Sequence[ProjectRole]
    ) -> None:
        """Make accounts members of projects."""
        body = {
            "service_account_ids": _ids("service_account_ids", service_account_ids),
            "projects": [_membership(project) for project in projects],
        }
        parameters.not_empty("projects", projects)
        self._done(path=_path(organization_id), json=body)

    @organization("POST", "/remove-from-project", sends=JSON, idempotent=True)
    def remove_from_projects(self, organization_id: int, projects: Mapping[int, Sequence[int]]) -> None:
        """End memberships.

        Args:
            organization_id: id of the organization.
            projects: ids of the accounts that leave, by project id.
        """
        parameters.not_empty("projects", projects)
        leaving = [
            {"id": project, "service_account_ids": _ids(f"projects[{project}]", accounts)}
            for project, accounts in projects.items()
        ]
        self._done(path=_path(organization_id), json={"projects": leaving})


def _path(organization_id: int, service_account_id: int | None = None) -> dict[str, int]:
    path = {"organization_id": parameters.integer("organization_id", organization_id)}
    if service_account_id is not None:
        path["service_account_id"] = parameters.integer("service_account_id", service_account_id)
    return path


def _membership(project: ProjectRole) -> dict[str, Any]:
    parameters.integer("projects: project_id", project.project_id)
    role = parameters.choice(f"role in project {project.project_id}", project.role, get_args(Role))
    return {"id": project.project_id, "role": role}


def _ids(name: str, ids: Sequence[int]) -> list[int]:
    parameters.not_empty(name, ids)
    return parameters.integers(name, ids)
