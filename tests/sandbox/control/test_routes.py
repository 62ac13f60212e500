"""The control API over HTTP: clock, events, faults, budgets, requests."""

import gzip
import json
from datetime import datetime
from typing import Any

import pytest
import requests

from mixpanel_etl.sandbox import Project, Sandbox

from ..http_calls import HttpCall, control_call, exported_events, exported_line


@pytest.fixture
def call(sandbox: Sandbox) -> HttpCall:
    def send(method: str, path: str = "", body: Any = None, **parameters: object) -> requests.Response:
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        return control_call(sandbox, method, path, data=data, params=parameters)

    return send


def test_the_overview_counts_events_and_requests(sandbox: Sandbox, call: HttpCall, export: HttpCall) -> None:
    sandbox.load([exported_line()] * 3)
    export()
    (project,) = call("GET").json()["projects"]
    assert (project["project_id"], project["events"]) == (12345, 3)
    assert project["budgets"]["export"] == {"in_last_hour": 1, "running": 0}
    assert project["budgets"]["query"] == {"in_last_hour": 0, "running": 0}


def test_events_are_loaded_plain_or_compressed_and_seen_deduplicated(
    sandbox: Sandbox, call: HttpCall, export: HttpCall
) -> None:
    body = exported_line(insert_id="a") + b"\n" + exported_line(insert_id="b") + b"\n"
    assert call("POST", "/load", body).json() == {"events": 2}
    compressed = control_call(sandbox, "POST", "/load", data=gzip.compress(body), headers={"Content-Encoding": "gzip"})
    assert compressed.json() == {"events": 2}
    assert len(exported_events(export())) == 4
    kept = call("GET", "/deduplicated", from_date="2024-01-01", to_date="2024-01-01").content.splitlines()
    assert {json.loads(row)["insert_id"] for row in kept} == {"a", "b"}


def test_events_are_generated_and_identities_merged(sandbox: Sandbox, call: HttpCall) -> None:
    wanted = {"events": 50, "from_date": "2024-01-01", "to_date": "2024-01-02", "seed": 5}
    assert call("POST", "/generate", wanted).json() == {"events": 50}
    assert sandbox.count() == 50
    call("POST", "/load", exported_line(distinct_id="$device:x"))
    assert call("POST", "/merge", {"from_id": "$device:x", "to_id": "u"}).json() == {"rewritten": 1}


def test_other_projects_are_reached_by_their_id(sandbox: Sandbox, call: HttpCall) -> None:
    sandbox.reset([Project(1), Project(2, timezone="Asia/Tokyo")])
    call("POST", "/load", exported_line(), project_id=2)
    assert (sandbox.count(1), sandbox.count(2)) == (0, 1)
    assert call("GET", "/environment", project_id=2).json() == sandbox.environment(2)
    assert call("GET", "/environment", project_id=3).status_code == 400


def test_the_clock_is_set_moved_and_reset(sandbox: Sandbox, call: HttpCall) -> None:
    call("PUT", "/clock", {"now": "2024-01-02T03:04:05+01:00", "frozen": True})
    assert sandbox.clock.now() == datetime.fromisoformat("2024-01-02T02:04:05+00:00")
    call("PUT", "/clock", {"advance_seconds": 60})
    assert sandbox.clock.now() == datetime.fromisoformat("2024-01-02T02:05:05+00:00")
    call("PUT", "/clock", {})
    assert sandbox.clock.now().year > 2024


def test_faults_are_added_listed_and_cleared(call: HttpCall, export: HttpCall) -> None:
    assert call("POST", "/faults", {"route": "/export", "kind": "extra_lines", "lines": ["x"]}).status_code == 201
    assert export().content == b"x\n"
    (rule,) = call("GET", "/faults").json()
    assert (rule["kind"], rule["lines"], rule["hits"]) == ("extra_lines", ["x"], 1)
    call("DELETE", "/faults")
    assert export().content == b""


def test_requests_are_listed_and_cleared_without_those_of_the_control_api(call: HttpCall, export: HttpCall) -> None:
    export()
    (seen,) = call("GET", "/requests").json()
    assert (seen["path"], seen["status"]) == ("/api/2.0/export", 200)
    call("DELETE", "/requests")
    assert call("GET", "/requests").json() == []


def test_budgets_are_forgotten_on_request(sandbox: Sandbox, call: HttpCall, export: HttpCall) -> None:
    sandbox.reset([Project()])
    while export().status_code == 200:
        pass
    call("DELETE", "/budgets")
    assert export().status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "body", "named"),
    [
        ("POST", "/faults", {"route": "/export", "kind": "explode"}, "explode"),
        ("POST", "/faults", {"route": "/export", "kind": "cut", "often": 1}, "often"),
        ("POST", "/generate", {"events": 1}, "from_date"),
        ("POST", "/load", b"nonsense", "line 1 is not an exported event"),
        ("PUT", "/clock", {"now": "2024-01-02T03:04:05"}, "time zone"),
        ("PUT", "/clock", b"{", "JSON is malformed|Input data was truncated"),
        ("GET", "/deduplicated", None, "from_date"),
    ],
)
def test_an_invalid_call_is_400_with_the_reason(call: HttpCall, method: str, path: str, body: Any, named: str) -> None:
    response = call(method, path, body)
    assert response.status_code == 400
    assert any(part in response.json()["error"] for part in named.split("|"))
