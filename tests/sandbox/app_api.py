"""Requests to the app API and similar ones, and their results and errors."""

from datetime import UTC, datetime
from typing import Any

import requests

from mixpanel_etl.sandbox import Project, Sandbox, ServiceAccount

NOON = datetime(2024, 3, 1, 12, 0, tzinfo=UTC)
PROJECT = "/api/app/projects/12345"


def api_call(sandbox: Sandbox, method: str, path: str, body: object = None, **options: Any) -> requests.Response:
    """A request as the first project's service account; `params`, `auth`, `headers`, `data` as requests has them."""
    account = sandbox.projects[0].account
    options.setdefault("auth", (account.username, account.secret))
    if body is not None:
        options["json"] = body
    return requests.request(method, sandbox.url + path, timeout=10, **options)


def results_of(response: requests.Response, status: int = 200) -> Any:
    """The results of `{"status": "ok", "results": …}`."""
    assert response.status_code == status, response.text
    body = response.json()
    assert body["status"] == "ok"
    return body["results"]


def error_text(response: requests.Response, status: int) -> str:
    """The text of an app API error of this status."""
    assert response.status_code == status, response.text
    body = response.json()
    assert body["status"] == "error"
    return str(body["error"])


def reset_with_role(sandbox: Sandbox, role: str, **fields: Any) -> None:
    """Reset to one project whose service account has a role, the clock frozen at NOON."""
    account = ServiceAccount(role=role)
    sandbox.reset([Project(service_account=account, **{"enforce_budgets": False, **fields})])
    sandbox.clock.set(NOON, frozen=True)
