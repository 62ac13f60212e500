"""The control API over HTTP: profiles, lookup tables, outcomes."""

from datetime import timedelta
from typing import Any

import pytest
import requests

from mixpanel_etl.sandbox import Project, Sandbox

from ..app_api import NOON, PROJECT, api_call, results_of
from ..http_calls import control_call, exported_line


@pytest.fixture(autouse=True)
def _declared(sandbox: Sandbox) -> None:
    project = Project(lookup_tables=[("t1", "Products")], warehouse_imports=[{"id": 77}], enforce_budgets=False)
    sandbox.reset([project])
    sandbox.clock.set(NOON, frozen=True)


def decide(sandbox: Sandbox, method: str, path: str, body: object = None, **params: Any) -> requests.Response:
    return control_call(sandbox, method, path, json=body, params=params)


def test_profiles_of_users_and_groups(sandbox: Sandbox) -> None:
    token = sandbox.projects[0].token
    api_call(
        sandbox, "POST", "/engage", [{"$token": token, "$distinct_id": "u", "$ignore_time": True, "$set": {"a": 1}}]
    )
    group = {"$token": token, "$group_key": "company", "$group_id": "g", "$ignore_time": True, "$set": {"b": 2}}
    api_call(sandbox, "POST", "/groups", [group])
    assert decide(sandbox, "GET", "/profiles").json() == {"u": {"a": 1}}
    assert decide(sandbox, "GET", "/profiles", group_key="company").json() == {"g": {"b": 2}}


def test_rows_of_a_lookup_table(sandbox: Sandbox) -> None:
    params = {"project_id": 12345}
    api_call(sandbox, "PUT", "/lookup-tables/t1", data="id,n\na,1\n", params=params)
    assert decide(sandbox, "GET", "/lookup-tables/t1").json() == [{"id": "a", "n": 1}]
    assert decide(sandbox, "GET", "/lookup-tables/t2").status_code == 400


def test_the_outcome_of_the_next_gdpr_job(sandbox: Sandbox) -> None:
    sandbox.load([exported_line(distinct_id="u1")])
    assert decide(sandbox, "POST", "/gdpr-outcomes", {"outcome": "FAILURE"}).status_code == 201
    headers = {"Authorization": f"Bearer {sandbox.projects[0].oauth_token}"}
    params = {"token": sandbox.projects[0].token}
    path = "/api/app/data-deletions/v3.0"
    body = {"distinct_ids": ["u1"]}
    job = results_of(api_call(sandbox, "POST", path, body, headers=headers, params=params, auth=None), 201)["task_id"]
    decide(sandbox, "PUT", "/clock", {"advance_seconds": timedelta(days=1).total_seconds()})
    shown = api_call(sandbox, "GET", f"{path}/{job}", headers=headers, params=params, auth=None)
    assert results_of(shown)["status"] == "FAILURE"
    assert decide(sandbox, "GET", "").json()["projects"][0]["events"] == 1


def test_the_outcomes_of_the_next_warehouse_runs(sandbox: Sandbox) -> None:
    outcomes = [{"status": "FAILED", "events": 3, "seconds": 0}]
    body = {"import_id": 77, "outcomes": outcomes}
    assert decide(sandbox, "POST", "/warehouse-outcomes", body).status_code == 201
    api_call(sandbox, "PUT", f"{PROJECT}/warehouse-sources/imports/77/manual-sync", {})
    (run,) = results_of(api_call(sandbox, "GET", f"{PROJECT}/warehouse-sources/imports/77/history"))["runs"]
    assert (run["status"], run["num_events_imported"]) == ("FAILED", 3)


def test_the_state_of_a_day_of_a_pipeline(sandbox: Sandbox) -> None:
    form = {"type": "s3-raw", "from_date": "2024-02-29", "s3_bucket": "b", "s3_region": "eu-west-1", "s3_role": "r"}
    create = "/api/2.0/nessie/pipeline/create"
    (name,) = api_call(sandbox, "POST", create, data={"project_id": 12345, **form}).json()["pipeline_names"]
    body = {"name": name, "day": "2024-02-29", "state": "failed"}
    assert decide(sandbox, "POST", "/pipeline-outcomes", body).status_code == 201
    sandbox.clock.advance(timedelta(hours=1))
    params = {"project_id": 12345, "name": name, "summary": "true"}
    assert api_call(sandbox, "GET", "/api/2.0/nessie/pipeline/status", params=params).json()["failed"] == 1


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/gdpr-outcomes", {"outcome": "LATER"}),
        ("/warehouse-outcomes", {"import_id": 1, "outcomes": []}),
        ("/warehouse-outcomes", {"import_id": 77, "outcomes": [{"status": "LATE"}]}),
        ("/pipeline-outcomes", {"name": "none", "day": "2024-01-01", "state": "failed"}),
    ],
)
def test_an_invalid_outcome_is_400(sandbox: Sandbox, path: str, body: object) -> None:
    reply = decide(sandbox, "POST", path, body)
    assert (reply.status_code, list(reply.json())) == (400, ["error"])
