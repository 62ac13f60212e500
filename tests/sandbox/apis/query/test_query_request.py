"""Common to all operations of the Query API: prefixes, credentials, plan, budgets, faults.

Source: mixpanel-api.md#hosts, #credentials, #query.
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from mixpanel_etl.sandbox import Cohort, Fault, Funnel, Insight, Project, Sandbox, read_projects

from ...http_calls import control_call, exported_line

DATES = {"from_date": "2024-01-01", "to_date": "2024-01-02"}
SEGMENT = {**DATES, "event": "Login", "on": 'properties["n"]'}
PROPERTY = {**DATES, "event": "Login", "name": "n", "type": "general", "unit": "day"}
GET, POST = "GET", "POST"
# Method, path, and parameters with which each is answered.
OPERATIONS: list[tuple[str, str, dict[str, Any]]] = [
    (GET, "/segmentation", SEGMENT),
    (GET, "/segmentation/numeric", SEGMENT),
    (GET, "/segmentation/sum", SEGMENT),
    (GET, "/segmentation/average", SEGMENT),
    (GET, "/funnels", {**DATES, "funnel_id": 1}),
    (GET, "/funnels/list", {}),
    (GET, "/retention", {**DATES, "born_event": "Login"}),
    (GET, "/retention/addiction", {**DATES, "unit": "day", "addiction_unit": "hour"}),
    (GET, "/events", {**DATES, "event": '["Login"]', "type": "general", "unit": "day"}),
    (GET, "/events/top", {"type": "general"}),
    (GET, "/events/names", {"type": "general"}),
    (GET, "/events/properties", PROPERTY),
    (GET, "/events/properties/top", {"event": "Login"}),
    (GET, "/events/properties/values", {"event": "Login", "name": "n"}),
    (POST, "/engage", {}),
    (POST, "/cohorts/list", {}),
    (GET, "/insights", {"bookmark_id": 1}),
    (GET, "/stream/query", {**DATES, "distinct_ids": '["u1"]'}),
    (POST, "/jql", {"script": "function main() { return People() }"}),
]
every_operation = pytest.mark.parametrize(("method", "path", "parameters"), OPERATIONS, ids=lambda part: str(part)[:30])
SAVED = Project(
    enforce_budgets=False,
    funnels=[Funnel(1, "F", ["Login", "Pay"])],
    cohorts=[Cohort(1, "C", where="true")],
    insights=[Insight(1, "I", ["Login"])],
)


@pytest.fixture
def saved(sandbox: Sandbox) -> Sandbox:
    sandbox.reset([SAVED])
    sandbox.clock.set(datetime(2024, 1, 3, tzinfo=UTC), frozen=True)
    return sandbox


def ask(
    sandbox: Sandbox,
    method: str,
    path: str,
    parameters: dict[str, Any],
    *,
    auth: Any = None,
    prefix: str = "/api/query",
) -> requests.Response:
    project = sandbox.projects[0]
    query = {"project_id": project.project_id, **(parameters if method == GET else {})}
    form = parameters if method == POST else None
    return requests.request(
        method, sandbox.url + prefix + path, params=query, data=form, auth=auth or project.account[:2], timeout=10
    )


@every_operation
def test_both_prefixes_answer(saved: Sandbox, method: str, path: str, parameters: dict[str, Any]) -> None:
    saved.load([exported_line(n=1, insert_id="a")])
    new = ask(saved, method, path, parameters)
    assert new.status_code == 200, new.text
    old = ask(saved, method, f"{path}/", parameters, prefix="/api/2.0")
    assert old.status_code == 200
    if path != "/engage":  # every reply of which has a session of its own
        assert old.json() == new.json()


@every_operation
def test_a_project_secret_is_accepted_and_wrong_credentials_are_401(
    saved: Sandbox, method: str, path: str, parameters: dict[str, Any]
) -> None:
    assert ask(saved, method, path, parameters, auth=(saved.projects[0].secret, "")).status_code == 200
    for auth in (("sandbox.sa", "wrong"), (saved.projects[0].token, ""), ("", "")):
        response = ask(saved, method, path, parameters, auth=auth)
        assert response.status_code == 401
        assert response.json()["error"] == "Unable to authenticate request"


@every_operation
def test_a_free_plan_is_402(saved: Sandbox, method: str, path: str, parameters: dict[str, Any]) -> None:
    saved.reset([Project(plan="free")])
    assert ask(saved, method, path, parameters).status_code == 402


@every_operation
def test_every_query_counts_in_the_budget(saved: Sandbox, method: str, path: str, parameters: dict[str, Any]) -> None:
    saved.reset([Project()])
    for _ in range(60):
        ask(saved, GET, "/funnels/list", {})
    response = ask(saved, method, path, parameters)
    assert response.status_code == 429
    assert "61/60 queries running in the last hour" in response.json()["error"]


@every_operation
def test_faults_apply_by_path(saved: Sandbox, method: str, path: str, parameters: dict[str, Any]) -> None:
    saved.add_fault(Fault(f"/api/query{path}", "error_in_200", count=1))
    response = ask(saved, method, path, parameters)
    assert (response.status_code, list(response.json())) == (200, ["request", "error"])
    assert "error" not in ask(saved, method, path, parameters).json()


@pytest.mark.parametrize("path", [path for method, path, parameters in OPERATIONS if "from_date" in parameters])
def test_no_query_reaches_beyond_the_history_of_the_plan(saved: Sandbox, path: str) -> None:
    saved.reset([Project(max_history_days=30, funnels=SAVED.funnels)])
    saved.clock.set(datetime(2024, 3, 1, tzinfo=UTC))
    parameters = next(parameters for _, other, parameters in OPERATIONS if other == path)
    response = ask(saved, GET, path, parameters)
    assert (response.status_code, response.json()["error"]) == (403, "Date range exceeds 30 days into the past")


def test_reports_are_saved_over_http(saved: Sandbox) -> None:
    for kind, report, path in (
        ("funnels", {"funnel_id": 9, "name": "New", "steps": ["A", {"event": "B"}]}, "/funnels/list"),
        ("cohorts", {"cohort_id": 9, "name": "New", "event": "A"}, "/cohorts/list"),
    ):
        assert control_call(saved, "POST", f"/{kind}", json=report).status_code == 201
        listed = ask(saved, GET if kind == "funnels" else POST, path, {}).json()
        assert [each["name"] for each in listed] == ["F" if kind == "funnels" else "C", "New"]
    insight = {"bookmark_id": 9, "name": "New", "events": ["A"]}
    assert control_call(saved, "POST", "/insights", json=insight).status_code == 201
    assert ask(saved, GET, "/insights", {"bookmark_id": 9}).json()["series"].keys() == {"A"}
    wrong = control_call(saved, "POST", "/cohorts", json={"cohort_id": 9, "name": "Empty"})
    assert wrong.status_code == 400
    assert "cohort 9 has no condition" in wrong.json()["error"]


def test_saved_reports_are_gone_after_a_reset(saved: Sandbox) -> None:
    saved.save_report(Funnel(9, "New", ["A"]))
    saved.reset()
    assert [funnel["funnel_id"] for funnel in ask(saved, GET, "/funnels/list", {}).json()] == [1]


def test_the_projects_file_declares_reports(tmp_path: Path) -> None:
    path = tmp_path / "projects.toml"
    path.write_text(
        """
        [[project]]
        project_id = 1
        funnels = [{funnel_id = 1, name = "Signup", steps = ["A", {event = "B", label = "Second"}], length = 7}]
        cohorts = [{cohort_id = 2, name = "Pro", where = 'user["plan"] == "pro"', created = 2024-01-01T10:00:00}]

        [[project.insights]]
        bookmark_id = 3
        name = "Use"
        events = ["A"]
        from_date = 2024-01-01
        to_date = 2024-01-31
        """
    )
    (project,) = read_projects(path)
    assert project.funnels[0].stages[1].label == "Second"
    assert project.cohorts[0].where == 'user["plan"] == "pro"'
    assert str(project.insights[0].to_date) == "2024-01-31"
    path.write_text("[[project]]\nfunnels = [{funnel_id = 1, name = 'x', steps = ['A'], wher = '1'}]")
    with pytest.raises(ValueError, match="funnels: Object contains unknown field `wher`"):
        read_projects(path)


def test_values_of_every_json_type_and_of_any_size_can_be_queried(sandbox: Sandbox) -> None:
    big = '{"event":"Login","properties":{"time":1704067200,"distinct_id":"u1","n":123456789012345678901234567890}}'
    lists = [
        exported_line(n=value, insert_id=str(number))
        for number, value in enumerate(([1, "a"], {"k": None}, None, 1e300))
    ]
    sandbox.load([big.encode(), *lists])
    values = ask(sandbox, GET, "/segmentation", {**DATES, "event": "Login", "on": 'properties["n"]'}).json()["data"]
    assert set(values["values"]) == {"123456789012345678901234567890", '[1,"a"]', '{"k":null}', "null", "1e+300"}
    names = json.loads(ask(sandbox, GET, "/events/properties/values", {**DATES, "event": "Login", "name": "n"}).text)
    assert len(names) == 5


HOSTILE = [
    '{"event":"Login","properties":{"time":1704067200,"distinct_id":"u1","n":' + "[" * 900 + "]" * 900 + "}}",
    '{"event":"Login","properties":{"time":1704067200,"distinct_id":"u1","n":1e999,"n":-1e999}}',
    '{"event":"Login","properties":{"time":1704067200,"distinct_id":null,"$time":"then","$distinct_id":7}}',
    '{"event":"\u2028","properties":{"time":1704067200,"distinct_id":{"a":1},"n":"\u2028"}}',
]


@every_operation
def test_no_event_makes_a_query_fail(saved: Sandbox, method: str, path: str, parameters: dict[str, Any]) -> None:
    saved.load([text.encode() for text in HOSTILE])
    response = ask(saved, method, path, parameters)
    assert response.status_code == 200, response.text
    assert response.json() is not None


def test_no_event_makes_a_script_or_a_filtered_export_fail(saved: Sandbox) -> None:
    saved.load([text.encode() for text in HOSTILE])
    script = f"function main() {{ return Events({json.dumps(DATES)}) }}"
    assert len(ask(saved, POST, "/jql", {"script": script}).json()) == len(HOSTILE)
    where = {**DATES, "where": 'defined(properties["n"]) and not properties["n"] == 5'}
    exported = ask(saved, GET, "/export", where, prefix="/api/2.0")
    assert exported.content.count(b"\n") == len(HOSTILE) - 1
