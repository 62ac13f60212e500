"""Service accounts over HTTP, and their access to the other APIs."""

from datetime import timedelta
from typing import Any

import pytest

from mixpanel_etl.sandbox import Project, Sandbox, ServiceAccount

from ..app_api import NOON, api_call, error_text, reset_with_role, results_of

ACCOUNTS = "/api/app/organizations/1/service-accounts"
MEMBERS = "/api/app/projects/12345/service-accounts"


def create(sandbox: Sandbox, username: str = "loader", **fields: Any) -> dict[str, Any]:
    created: dict[str, Any] = results_of(api_call(sandbox, "POST", ACCOUNTS, {"username": username, **fields}), 201)
    return created


def status_of_export(sandbox: Sandbox, account: dict[str, Any]) -> int:
    params = {"project_id": 12345, "from_date": "2024-02-01", "to_date": "2024-02-01"}
    auth = (account["username"], account["token"])
    return api_call(sandbox, "GET", "/api/2.0/export", params=params, auth=auth).status_code


@pytest.fixture(autouse=True)
def _frozen(sandbox: Sandbox) -> None:
    sandbox.clock.set(NOON, frozen=True)


def test_a_created_account_shows_its_secret_once_and_opens_its_projects(sandbox: Sandbox) -> None:
    account = create(sandbox, projects=[{"id": 12345, "role": "analyst"}])
    assert account["created"] == "2024-03-01T12:00:00Z"
    assert status_of_export(sandbox, account) == 200
    shown = api_call(sandbox, "GET", f"{ACCOUNTS}/{account['id']}")
    assert shown.json()["username"] == "loader"
    for reply in (shown, api_call(sandbox, "GET", ACCOUNTS), api_call(sandbox, "GET", MEMBERS)):
        assert account["token"] not in reply.text


def test_an_account_without_projects_has_no_access_until_it_is_added(sandbox: Sandbox) -> None:
    account = create(sandbox)
    assert status_of_export(sandbox, account) == 403
    body = {"service_account_ids": [account["id"]], "projects": [{"id": 12345, "role": "consumer"}]}
    assert api_call(sandbox, "POST", f"{ACCOUNTS}/add-to-project", body).json() == {"status": "ok"}
    assert status_of_export(sandbox, account) == 200
    removal = {"projects": [{"id": 12345, "service_account_ids": [account["id"]]}]}
    assert api_call(sandbox, "POST", f"{ACCOUNTS}/remove-from-project", removal).json() == {"status": "ok"}
    assert status_of_export(sandbox, account) == 403


def test_a_deleted_account_has_no_access(sandbox: Sandbox) -> None:
    account = create(sandbox, projects=[{"id": 12345, "role": "admin"}])
    assert api_call(sandbox, "DELETE", f"{ACCOUNTS}/{account['id']}").json() == {"status": "ok"}
    assert status_of_export(sandbox, account) == 401
    assert account["id"] not in [member["id"] for member in results_of(api_call(sandbox, "GET", MEMBERS))]
    error_text(api_call(sandbox, "GET", f"{ACCOUNTS}/{account['id']}"), 404)


def test_an_expired_account_has_no_access(sandbox: Sandbox) -> None:
    account = create(sandbox, expires="2024-03-02T12:00:00Z", projects=[{"id": 12345, "role": "admin"}])
    assert account["expires"] == "2024-03-02T12:00:00Z"
    assert status_of_export(sandbox, account) == 200
    sandbox.clock.advance(timedelta(days=1))
    assert status_of_export(sandbox, account) == 401


def test_the_role_in_a_project_is_enforced_there(sandbox: Sandbox) -> None:
    account = create(sandbox, projects=[{"id": 12345, "role": "consumer"}])
    body = {"date": "2024-01-15 12:00:00", "description": "x"}
    auth = (account["username"], account["token"])
    error_text(api_call(sandbox, "POST", "/api/app/projects/12345/annotations", body, auth=auth), 403)
    roles = {"service_account_ids": [account["id"]], "projects": [{"id": 12345, "role": "analyst"}]}
    api_call(sandbox, "POST", f"{ACCOUNTS}/add-to-project", roles)
    results_of(api_call(sandbox, "POST", "/api/app/projects/12345/annotations", body, auth=auth), 201)


def test_members_show_their_role_and_when_they_were_last_used(sandbox: Sandbox) -> None:
    account = create(sandbox, projects=[{"id": 12345, "role": "analyst"}])
    assert "last_used" not in api_call(sandbox, "GET", f"{ACCOUNTS}/{account['id']}").json()
    status_of_export(sandbox, account)
    member = next(item for item in results_of(api_call(sandbox, "GET", MEMBERS)) if item["id"] == account["id"])
    assert (member["role"], member["target_type"]) == ("analyst", "individual")
    assert member["last_used"] == "2024-03-01T12:00:00Z"


def test_secrets_differ_between_accounts_and_are_the_same_in_every_run(sandbox: Sandbox) -> None:
    first, second = create(sandbox, "a"), create(sandbox, "b")
    assert first["token"] != second["token"]
    sandbox.reset()
    sandbox.clock.set(NOON, frozen=True)
    assert create(sandbox, "a")["token"] == first["token"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"username": ""}, 400),
        ({"username": "sandbox.sa"}, 400),
        ({"username": "x", "role": "emperor"}, 400),
        ({"username": "x", "projects": [{"id": 999, "role": "admin"}]}, 404),
    ],
)
def test_an_invalid_account_is_rejected(sandbox: Sandbox, body: object, status: int) -> None:
    error_text(api_call(sandbox, "POST", ACCOUNTS, body), status)


def test_adding_needs_both_arrays_and_known_accounts(sandbox: Sandbox) -> None:
    error_text(api_call(sandbox, "POST", f"{ACCOUNTS}/add-to-project", {"projects": []}), 400)
    body = {"service_account_ids": [1], "projects": [{"id": 12345, "role": "admin"}]}
    error_text(api_call(sandbox, "POST", f"{ACCOUNTS}/add-to-project", body), 404)


@pytest.mark.parametrize("role", ["analyst", "consumer"])
def test_only_admins_of_the_organization_manage_accounts(sandbox: Sandbox, role: str) -> None:
    reset_with_role(sandbox, role)
    error_text(api_call(sandbox, "GET", ACCOUNTS), 403)
    error_text(api_call(sandbox, "POST", ACCOUNTS, {"username": "x"}), 403)
    error_text(api_call(sandbox, "GET", MEMBERS), 403)


def test_accounts_belong_to_one_organization(sandbox: Sandbox) -> None:
    other = ServiceAccount("other.sa", "other")
    sandbox.reset([Project(), Project(2, organization_id=2, service_account=other)])
    auth = ("other.sa", "other")
    error_text(api_call(sandbox, "GET", ACCOUNTS, auth=auth), 403)
    shown = results_of(api_call(sandbox, "GET", "/api/app/organizations/2/service-accounts", auth=auth))
    assert [account["username"] for account in shown] == ["other.sa"]
    created = results_of(api_call(sandbox, "GET", ACCOUNTS))[0]["id"]
    error_text(api_call(sandbox, "GET", f"/api/app/organizations/2/service-accounts/{created}", auth=auth), 404)


def test_wrong_credentials_are_401(sandbox: Sandbox) -> None:
    error_text(api_call(sandbox, "GET", ACCOUNTS, auth=("sandbox.sa", "wrong")), 401)
