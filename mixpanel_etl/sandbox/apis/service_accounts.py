"""Service accounts: created, deleted, added to and removed from projects. Source: mixpanel-api.md#service-accounts.

Their model, with which every API authenticates, is `engine.accounts`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

import msgspec
from starlette.requests import Request
from starlette.routing import Route

from mixpanel_etl.sandbox.apis.api_call import ADMINS, INVALID_ACCOUNT, ApiCall, app_route, ok
from mixpanel_etl.sandbox.engine.accounts import ROLES, Account
from mixpanel_etl.sandbox.engine.authentication import Caller, basic_credentials, projects_of_account
from mixpanel_etl.sandbox.engine.clock import iso_utc
from mixpanel_etl.sandbox.engine.responses import ApiError
from mixpanel_etl.sandbox.engine.state import State

_PATH = "/organizations/{organization_id:int}/service-accounts"
_FIRST_USER_ID = 1_000_000
_DEFAULT_ROLE = "consumer"


def service_account_routes() -> list[Route]:
    one = f"{_PATH}/{{account_id:int}}"
    return [
        app_route("GET", _PATH, list_accounts, identify=_caller, roles=ADMINS),
        app_route("POST", _PATH, create_account, identify=_caller, roles=ADMINS, status=201),
        app_route("POST", f"{_PATH}/add-to-project", add_to_projects, identify=_caller, roles=ADMINS),
        app_route("POST", f"{_PATH}/remove-from-project", remove_from_projects, identify=_caller, roles=ADMINS),
        app_route("GET", one, get_account, identify=_caller, roles=ADMINS),
        app_route("DELETE", one, delete_account, identify=_caller, roles=ADMINS),
        app_route("GET", "/projects/{project_id:int}/service-accounts", list_members, roles=ADMINS),
    ]


Role = Literal["owner", "admin", "analyst", "consumer"]


class _Membership(msgspec.Struct):
    id: int
    role: Role


class _NewMembership(msgspec.Struct):
    id: int
    role: Role | None = None


class _New(msgspec.Struct):
    username: str
    role: Role | None = None
    expires: datetime | None = None
    projects: list[_NewMembership] = []


class _Additions(msgspec.Struct):
    service_account_ids: list[int]
    projects: list[_Membership]


class _Removal(msgspec.Struct):
    id: int
    service_account_ids: list[int]


class _Removals(msgspec.Struct):
    projects: list[_Removal]


def list_accounts(call: ApiCall) -> object:
    return ok([_shown(account) for account in call.state.projects.accounts.of_organization(_organization(call))])


def create_account(call: ApiCall) -> object:
    """Only this reply shows the secret, as `token`."""
    new = call.json(_New)
    accounts, organization_id = call.state.projects.accounts, _organization(call)
    if not new.username or any(new.username == known.username for known in accounts.of_organization(organization_id)):
        raise ApiError(400, f"username must be unique and not empty: {new.username!r}")
    for membership in new.projects:
        _check_project(call, membership.id)
    role = new.role or _DEFAULT_ROLE
    creator = call.caller.account.account_id if call.caller.account else None
    expires = _aware(new.expires)
    account = accounts.create(organization_id, new.username, role=role, expires=expires, now=call.now, creator=creator)
    account.roles.update({membership.id: membership.role or role for membership in new.projects})
    return ok({**_shown(account), "token": account.secret})


def get_account(call: ApiCall) -> object:
    """The account, bare as documented."""
    return _shown(_found(call, call.path["account_id"]))


def delete_account(call: ApiCall) -> object:
    """Removes it from all its projects, too."""
    call.state.projects.accounts.delete(_found(call, call.path["account_id"]).account_id)
    return {"status": "ok"}


def list_members(call: ApiCall) -> object:
    project_id = call.project.project_id
    return ok([_member(account, project_id) for account in call.state.projects.accounts.of_project(project_id)])


def add_to_projects(call: ApiCall) -> object:
    """Adds each account to each project with the project's role, or changes its role there."""
    additions = call.json(_Additions)
    accounts = [_found(call, account_id) for account_id in additions.service_account_ids]
    for project in additions.projects:
        _check_project(call, project.id)
    for account in accounts:
        account.roles.update({project.id: project.role for project in additions.projects})
    return {"status": "ok"}


def remove_from_projects(call: ApiCall) -> object:
    """Removes accounts from projects; other accounts are ignored."""
    removals = call.json(_Removals).projects
    found = [(removal.id, _found(call, item)) for removal in removals for item in removal.service_account_ids]
    for removal in removals:
        _check_project(call, removal.id)
    for project_id, account in found:
        account.roles.pop(project_id, None)
    return {"status": "ok"}


def _caller(request: Request, state: State, now: datetime) -> Caller:
    """A service account of the organization in the path."""
    account = state.projects.accounts.authenticate(*basic_credentials(request), now)
    if account is None:
        raise ApiError(401, INVALID_ACCOUNT)
    if account.organization_id != request.path_params["organization_id"]:
        raise ApiError(403, "Permission denied: the credential has no access to this organization")
    members = projects_of_account(state.projects, account)
    return Caller(members[0] if members else state.projects.first, "service_account", account.role, account)


def _organization(call: ApiCall) -> int:
    organization_id: int = call.path["organization_id"]
    return organization_id


def _found(call: ApiCall, account_id: int) -> Account:
    account = call.state.projects.accounts.get(_organization(call), account_id)
    if account is None:
        raise ApiError(404, f"Service account {account_id} does not exist")
    return account


def _check_project(call: ApiCall, project_id: int) -> None:
    project = call.state.projects.get(project_id)
    if project is None or project.organization_id != _organization(call):
        raise ApiError(404, f"Project {project_id} does not exist in this organization")


def _shown(account: Account) -> dict[str, object]:
    """Missing values are left out: the documented types exclude null."""
    values = {
        "id": account.account_id,
        "username": account.username,
        "last_used": account.last_used and iso_utc(account.last_used),
        "expires": account.expires and iso_utc(account.expires),
        "creator": account.creator,
        "created": iso_utc(account.created),
        "user": _FIRST_USER_ID + account.account_id,
    }
    return {name: value for name, value in values.items() if value is not None}


def _member(account: Account, project_id: int) -> dict[str, object]:
    role = account.roles[project_id]
    return {
        **_shown(account),
        "hasSensitiveAccess": False,
        "role": role,
        "role_order": ROLES.index(role) if role in ROLES else len(ROLES),
        "target_type": "individual",
        "email": f"{account.username}@serviceaccount.example",
    }


def _aware(timestamp: datetime | None) -> datetime | None:
    return timestamp.replace(tzinfo=UTC) if timestamp and timestamp.tzinfo is None else timestamp
