"""Credentials: the kinds that each API accepts, and its errors for others.

Source: mixpanel-api.md#credentials, #errors.
"""

import base64
from datetime import UTC, datetime

import pytest
import requests

from mixpanel_etl.sandbox import Project, Sandbox, ServiceAccount

DATES = "from_date=2024-01-01&to_date=2024-01-03"
EXPORT = f"/api/2.0/export?{DATES}"
EVENTS = f"/api/query/events?{DATES}&type=general&unit=day&event=%5B%5D"
ME = "/api/app/me"

ACCOUNT = "Basic " + base64.b64encode(b"sandbox.sa:sandbox-service-account-secret").decode()
SECRET = "Basic " + base64.b64encode(b"sandbox-secret-12345:").decode()
TOKEN = "Basic " + base64.b64encode(b"sandbox-token-12345:").decode()
OAUTH = "Bearer sandbox-oauth-token"


def get(sandbox: Sandbox, path: str, authorization: str | None) -> requests.Response:
    headers = {"Authorization": authorization} if authorization else {}
    return requests.get(sandbox.url + path, headers=headers, timeout=10)


def post_import(sandbox: Sandbox, query: str, authorization: str | None) -> requests.Response:
    headers = {"Authorization": authorization} if authorization else {}
    return requests.post(f"{sandbox.url}/import?strict=1{query}", json=[], headers=headers, timeout=10)


@pytest.mark.parametrize("authorization", [ACCOUNT, "Basic sandbox.sa:sandbox-service-account-secret"])
@pytest.mark.parametrize("path", [EXPORT, EVENTS])
def test_a_service_account_reads_its_project_in_base64_or_plain_text(
    sandbox: Sandbox, path: str, authorization: str
) -> None:
    assert get(sandbox, f"{path}&project_id=12345", authorization).status_code == 200


@pytest.mark.parametrize("authorization", [SECRET, "Basic sandbox-secret-12345:", "Basic sandbox-secret-12345"])
@pytest.mark.parametrize("path", [EXPORT, EVENTS])
def test_a_project_secret_reads_without_naming_the_project(sandbox: Sandbox, path: str, authorization: str) -> None:
    assert get(sandbox, path, authorization).status_code == 200


@pytest.mark.parametrize("authorization", [TOKEN, OAUTH, None, "Basic sandbox.sa:wrong", "Digest x"])
@pytest.mark.parametrize("path", [EXPORT, EVENTS])
def test_other_credentials_do_not_read(sandbox: Sandbox, path: str, authorization: str | None) -> None:
    response = get(sandbox, f"{path}&project_id=12345", authorization)
    assert response.status_code == 401
    assert "Unable to authenticate request" in response.text


def test_errors_have_the_shape_of_their_api(sandbox: Sandbox) -> None:
    assert get(sandbox, EXPORT, None).text == "Unable to authenticate request"
    assert get(sandbox, EVENTS, None).json() == {"request": EVENTS, "error": "Unable to authenticate request"}
    assert get(sandbox, ME, None).json() == {"status": "error", "error": "Invalid service account credentials"}
    rejected = post_import(sandbox, "", None)
    assert rejected.status_code == 401
    assert rejected.json() == {"code": 401, "error": "Invalid credentials", "status": "Unauthorized"}


@pytest.mark.parametrize("path", [EXPORT, EVENTS])
def test_a_service_account_has_to_say_which_project_and_be_its_member(sandbox: Sandbox, path: str) -> None:
    sandbox.reset([Project(), Project(2, service_account=("other.sa", "other"))])
    assert get(sandbox, path, ACCOUNT).status_code == 400
    assert get(sandbox, f"{path}&project_id=2", ACCOUNT).status_code == 403
    assert get(sandbox, f"{path}&project_id=2", SECRET).status_code == 403


def test_an_expired_service_account_is_unauthorised(sandbox: Sandbox) -> None:
    account = ServiceAccount("brief.sa", "s", expires=datetime(2024, 6, 1, tzinfo=UTC))
    sandbox.reset([Project(service_account=account)])
    sandbox.clock.set(datetime(2024, 5, 31, 12, tzinfo=UTC))
    path = f"{EXPORT}&project_id=12345"
    assert get(sandbox, path, "Basic brief.sa:s").status_code == 200
    sandbox.clock.set(datetime(2024, 6, 1, tzinfo=UTC))
    assert get(sandbox, path, "Basic brief.sa:s").status_code == 401


@pytest.mark.parametrize(
    ("query", "authorization"),
    [("&project_id=12345", ACCOUNT), ("", SECRET), ("", TOKEN), ("&project_id=12345", OAUTH)],
)
def test_import_takes_all_four_kinds(sandbox: Sandbox, query: str, authorization: str) -> None:
    assert post_import(sandbox, query, authorization).status_code == 200


@pytest.mark.parametrize(("role", "status"), [("owner", 200), ("admin", 200), ("analyst", 403), ("custom", 403)])
def test_import_needs_an_owner_or_admin(sandbox: Sandbox, role: str, status: int) -> None:
    sandbox.reset([Project(service_account=ServiceAccount(role=role))])
    assert post_import(sandbox, "&project_id=12345", ACCOUNT).status_code == status


def test_me_lists_the_projects_of_the_account(sandbox: Sandbox) -> None:
    other = ServiceAccount("other.sa", "other")
    sandbox.reset([Project(1, name="Shop"), Project(2, timezone="Asia/Tokyo"), Project(3, service_account=other)])
    body = get(sandbox, ME, ACCOUNT).json()
    assert body["status"] == "ok"
    assert set(body["results"]["projects"]) == {"1", "2"}
    assert body["results"]["projects"]["2"]["timezone"] == "Asia/Tokyo"
    assert get(sandbox, ME, OAUTH).status_code == 200
    assert get(sandbox, ME, SECRET).status_code == 401


def test_no_representation_of_a_project_shows_its_secrets() -> None:
    project = Project(service_account=("me", "s3cret"), token="t0ken", secret="pr0ject", oauth_token="0auth")
    for secret in ("s3cret", "t0ken", "pr0ject", "0auth"):
        assert secret not in repr(project)
