"""Service accounts of an organization, and the projects they are members of.

Source: mixpanel-api.md#service-accounts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

from pydantic import SecretStr

from mixpanel_etl.client.errors import InvalidRequest
from mixpanel_etl.client.operations import parameters
from mixpanel_etl.client.operations.api import Group
from mixpanel_etl.client.operations.replies import Reply, plain, results, typed

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


class Member(ServiceAccount, frozen=True, kw_only=True):
    """An account as a member of a project. Roles beyond the four known ones exist."""

    role: str | None = None
    target_type: str | None = None
    email: str | None = None
    role_order: int | None = None


class ServiceAccounts(Group):
    """Manages service accounts; needs a service account that is an admin of the organization.

    `organization_id` is in the URL of Mixpanel's organization settings. Every method raises `InvalidRequest` when a
    parameter can't work, and one of the kinds in `client.errors` when Mixpanel refuses.
    """

    group = "service_accounts"

    def list_service_accounts(self, organization_id: int) -> list[ServiceAccount]:
        """All accounts of the organization."""
        endpoint = self._endpoint("list_service_accounts")
        reply = self._call("list_service_accounts", path=_in(organization_id, endpoint))
        return plain(results(reply), list[ServiceAccount], endpoint=endpoint)

    def create_service_account(
        self,
        organization_id: int,
        username: str,
        *,
        role: Role | None = None,
        expires: datetime | None = None,
        projects: Sequence[ProjectRole] = (),
    ) -> NewServiceAccount:
        """Create an account. Its secret is in the reply, and nowhere else: keep it, it is never shown again.

        Args:
            organization_id: whose.
            username: what describes it.
            role: in the organization.
            expires: when it stops working (aware); never when left out.
            projects: of which it becomes a member.
        """
        endpoint = self._endpoint("create_service_account")
        body: dict[str, Any] = {"username": parameters.text("username", username, endpoint)}
        if role is not None:
            body["role"] = parameters.choice("role", role, get_args(Role), endpoint)
        if expires is not None:
            body["expires"] = parameters.aware("expires", expires, endpoint)
        if projects:
            body["projects"] = [_membership(project, endpoint) for project in projects]
        reply = self._call("create_service_account", path=_in(organization_id, endpoint), json=body)
        return typed(NewServiceAccount, results(reply), endpoint=endpoint)

    def get_service_account(self, organization_id: int, service_account_id: int) -> ServiceAccount:
        """One account."""
        endpoint = self._endpoint("get_service_account")
        reply = self._call("get_service_account", path=_in(organization_id, endpoint, service_account_id))
        return typed(ServiceAccount, results(reply), endpoint=endpoint)

    def delete_service_account(self, organization_id: int, service_account_id: int) -> None:
        """Delete an account, and its memberships."""
        endpoint = self._endpoint("delete_service_account")
        self._do("delete_service_account", path=_in(organization_id, endpoint, service_account_id))

    def list_project_service_accounts(self) -> list[Member]:
        """The accounts that are members of this project."""
        reply = results(self._call("list_project_service_accounts"))
        return plain(reply, list[Member], endpoint=self._endpoint("list_project_service_accounts"))

    def add_to_projects(
        self, organization_id: int, service_account_ids: Sequence[int], projects: Sequence[ProjectRole]
    ) -> None:
        """Make accounts members of projects."""
        endpoint = self._endpoint("add_to_projects")
        body = {
            "service_account_ids": _ids("service_account_ids", service_account_ids, endpoint),
            "projects": [_membership(project, endpoint) for project in projects],
        }
        _check_not_empty("projects", projects, endpoint)
        self._do("add_to_projects", path=_in(organization_id, endpoint), json=body)

    def remove_from_projects(self, organization_id: int, projects: Mapping[int, Sequence[int]]) -> None:
        """End memberships.

        Args:
            organization_id: whose.
            projects: for each project's id, the ids of the accounts that leave it.
        """
        endpoint = self._endpoint("remove_from_projects")
        _check_not_empty("projects", projects, endpoint)
        leaving = [
            {"id": project, "service_account_ids": _ids(f"projects[{project}]", accounts, endpoint)}
            for project, accounts in projects.items()
        ]
        self._do("remove_from_projects", path=_in(organization_id, endpoint), json={"projects": leaving})


def _in(organization_id: int, endpoint: str, service_account_id: int | None = None) -> dict[str, str]:
    path = {"organization_id": parameters.whole("organization_id", organization_id, endpoint)}
    if service_account_id is not None:
        path["service_account_id"] = parameters.whole("service_account_id", service_account_id, endpoint)
    return path


def _membership(project: ProjectRole, endpoint: str) -> dict[str, Any]:
    parameters.whole("projects: project_id", project.project_id, endpoint)
    role = parameters.choice(f"role in project {project.project_id}", project.role, get_args(Role), endpoint)
    return {"id": project.project_id, "role": role}


def _ids(name: str, ids: Sequence[int], endpoint: str) -> list[int]:
    _check_not_empty(name, ids, endpoint)
    for position, value in enumerate(ids):
        parameters.whole(f"{name}[{position}]", value, endpoint)
    return list(ids)


def _check_not_empty(name: str, values: object, endpoint: str) -> None:
    if not values:
        raise InvalidRequest(f"{name} is empty", endpoint=endpoint, advice="Give at least one.")
