"""One sandbox for all tests, reset for each; and fixtures for requests to it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from mixpanel_etl.sandbox import Project, Sandbox

from .http_calls import HttpCall

# Only tests of budgets count their requests.
FREE_OF_BUDGETS = Project(enforce_budgets=False)


@pytest.fixture(scope="session")
def running() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running: Sandbox) -> Sandbox:
    running.reset([FREE_OF_BUDGETS])
    return running


@pytest.fixture
def export(sandbox: Sandbox) -> HttpCall:
    """`GET /export` of the first project, 2024-01-01 to 2024-01-03 without other dates; None leaves a parameter out."""

    def get(headers: dict[str, str] | None = None, **parameters: Any) -> requests.Response:
        defaults = {"from_date": "2024-01-01", "to_date": "2024-01-03"}
        return _get(sandbox, "/api/2.0/export", headers, {**defaults, **parameters})

    return get


@pytest.fixture
def query(sandbox: Sandbox) -> HttpCall:
    """`GET /api/query/...` of the first project."""

    def get(path: str, **parameters: Any) -> requests.Response:
        return _get(sandbox, f"/api/query{path}", None, parameters)

    return get


@pytest.fixture
def post_import(sandbox: Sandbox) -> HttpCall:
    """`POST /import?strict=1` of a JSON array of events."""

    def post(*events: object, **parameters: Any) -> requests.Response:
        project = sandbox.projects[0]
        return requests.post(
            f"{sandbox.url}/import",
            params={"project_id": project.project_id, "strict": 1, **parameters},
            auth=project.account[:2],
            data=json.dumps(events),
            headers={"Content-Type": "application/json"},
            timeout=10,
        )

    return post


def _get(sandbox: Sandbox, path: str, headers: dict[str, str] | None, parameters: dict[str, Any]) -> requests.Response:
    project = sandbox.projects[0]
    return requests.get(
        sandbox.url + path,
        params={"project_id": project.project_id, **parameters},
        auth=project.account[:2],
        headers=headers,
        timeout=10,
    )
