"""Warehouse imports: created, scheduled, triggered, and their history."""

from datetime import timedelta
from typing import Any

import pytest
import requests

from mixpanel_etl.sandbox import Fault, Project, RunOutcome, Sandbox

from ..app_api import NOON, PROJECT, api_call, error_text, reset_with_role, results_of

IMPORTS = f"{PROJECT}/warehouse-sources/imports"
HOUR = 3_600_000_000_000
START = int(NOON.timestamp())
COMMON = {"warehouse_source_id": 7, "table_params": {"table": "orders"}}
EVENTS = {
    **COMMON,
    "import_type": "event_stream",
    "sync_mode": "time_based",
    "insert_time_column_name": "loaded_at",
    "time_column_name": "at",
    "event_name": "Order",
}
PEOPLE = {**COMMON, "import_type": "people", "sync_mode": "full_sync", "user_column_name": "id"}
GROUPS = {**COMMON, "import_type": "groups", "sync_mode": "full_sync", "group_key": "company", "group_id_column": "id"}
LOOKUP = {
    **COMMON,
    "import_type": "lookup_table",
    "sync_mode": "full_sync",
    "mixpanel_property": {"value": "sku", "resourceType": "event"},
    "property_key_column_name": "sku",
}
CREATES = {"event-stream": EVENTS, "people": PEOPLE, "groups": GROUPS, "lookup-table": LOOKUP}


@pytest.fixture(autouse=True)
def _frozen(sandbox: Sandbox) -> None:
    sandbox.clock.set(NOON, frozen=True)


def create(sandbox: Sandbox, path: str = "event-stream", **changes: Any) -> int:
    return int(results_of(api_call(sandbox, "POST", f"{IMPORTS}/{path}", {**CREATES[path], **changes}))["id"])


def sync(sandbox: Sandbox, import_id: int, **options: Any) -> requests.Response:
    return api_call(sandbox, "PUT", f"{IMPORTS}/{import_id}/manual-sync", {}, **options)


def runs(sandbox: Sandbox, import_id: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = results_of(api_call(sandbox, "GET", f"{IMPORTS}/{import_id}/history"))["runs"]
    return found


def statuses(sandbox: Sandbox, import_id: int) -> list[str]:
    return [run["status"] for run in runs(sandbox, import_id)]


@pytest.mark.parametrize("path", CREATES)
def test_each_kind_is_created_listed_and_read(sandbox: Sandbox, path: str) -> None:
    import_id = create(sandbox, path)
    detail = results_of(api_call(sandbox, "GET", f"{IMPORTS}/{import_id}"))
    assert detail["import_type"] == CREATES[path]["import_type"]
    assert (detail["created"], detail["paused"], detail["run_every"], detail["last_dispatch"]) == (
        "2024-03-01T12:00:00Z",
        False,
        0,
        None,
    )
    (listed,) = results_of(api_call(sandbox, "GET", IMPORTS))
    assert listed.items() <= detail.items()
    assert detail.keys() - listed.keys() == {
        *("event_name", "event_column_name", "time_column_name", "user_column_name", "insert_time_column_name"),
        *("property_mappings", "group_key", "group_id_column", "databricks_params"),
    }


@pytest.mark.parametrize(
    ("path", "changes"),
    [
        ("event-stream", {"import_type": "people"}),
        ("event-stream", {"event_name": None}),
        ("event-stream", {"event_column_name": "kind"}),
        ("event-stream", {"insert_time_column_name": None}),
        ("event-stream", {"run_every": 60}),
        ("people", {"user_column_name": ""}),
        ("people", {"sync_mode": "sometimes"}),
        ("groups", {"group_key": None}),
        ("lookup-table", {"sync_mode": "time_based"}),
        ("lookup-table", {"mixpanel_property": {"value": "sku"}}),
    ],
)
def test_a_bad_import_is_400(sandbox: Sandbox, path: str, changes: dict[str, Any]) -> None:
    error_text(api_call(sandbox, "POST", f"{IMPORTS}/{path}", {**CREATES[path], **changes}), 400)


def test_a_triggered_run_is_running_and_then_succeeded(sandbox: Sandbox) -> None:
    import_id = create(sandbox)
    sandbox.set_next_runs(import_id, RunOutcome(events=1234, seconds=60))
    assert results_of(sync(sandbox, import_id))["run_id"]
    assert runs(sandbox, import_id) == [
        {"status": "RUNNING", "start_time": START, "end_time": None, "num_events_imported": None}
    ]
    sandbox.clock.advance(timedelta(seconds=60))
    assert runs(sandbox, import_id) == [
        {"status": "SUCCEEDED", "start_time": START, "end_time": START + 60, "num_events_imported": 1234}
    ]
    assert results_of(api_call(sandbox, "GET", f"{IMPORTS}/{import_id}"))["last_dispatch"] == START


def test_a_sync_needs_no_body(sandbox: Sandbox) -> None:
    path = f"{IMPORTS}/{create(sandbox)}/manual-sync"
    assert results_of(api_call(sandbox, "PUT", path))["run_id"]


@pytest.mark.parametrize(
    ("outcome", "status", "events"),
    [
        (RunOutcome("FAILED"), "FAILED", 0),
        (RunOutcome("FAILED", events=17), "FAILED", 17),
        (RunOutcome("CANCELLED", events=3), "CANCELLED", 3),
        (RunOutcome(events=5), "SUCCEEDED", 5),
    ],
)
def test_a_run_has_the_outcome_that_a_test_set_and_the_next_one_succeeds(
    sandbox: Sandbox, outcome: RunOutcome, status: str, events: int
) -> None:
    import_id = create(sandbox)
    sandbox.set_next_runs(import_id, outcome)
    for _ in range(2):
        sync(sandbox, import_id)
        sandbox.clock.advance(timedelta(minutes=10))
    newest, first = runs(sandbox, import_id)
    assert (first["status"], first["num_events_imported"]) == (status, events)
    assert newest["status"] == "SUCCEEDED"
    assert newest["num_events_imported"] > 0


def test_a_trigger_can_be_accepted_without_any_run(sandbox: Sandbox) -> None:
    import_id = create(sandbox)
    sandbox.set_next_runs(import_id, RunOutcome("NEVER"))
    results_of(sync(sandbox, import_id))
    assert runs(sandbox, import_id) == []


def test_a_second_trigger_starts_a_second_run(sandbox: Sandbox) -> None:
    import_id = create(sandbox)
    sync(sandbox, import_id)
    sync(sandbox, import_id)
    assert statuses(sandbox, import_id) == ["RUNNING", "RUNNING"]


def test_a_trigger_whose_answer_is_lost_has_started_a_run(sandbox: Sandbox) -> None:
    import_id = create(sandbox)
    sandbox.add_fault(Fault("*/manual-sync", "cut", count=1))
    with pytest.raises(requests.RequestException):
        sync(sandbox, import_id)
    assert statuses(sandbox, import_id) == ["RUNNING"]


def test_an_import_runs_on_its_schedule_from_its_creation_on(sandbox: Sandbox) -> None:
    import_id = create(sandbox, run_every=HOUR)
    sandbox.clock.advance(timedelta(hours=2, minutes=1))
    assert [(run["status"], run["start_time"] - START) for run in runs(sandbox, import_id)] == [
        ("RUNNING", 7200),
        ("SUCCEEDED", 3600),
        ("SUCCEEDED", 0),
    ]


def test_scheduled_runs_have_the_outcomes_that_a_test_set(sandbox: Sandbox) -> None:
    import_id = create(sandbox, run_every=HOUR)
    sandbox.set_next_runs(import_id, RunOutcome(), RunOutcome("FAILED"))
    sandbox.clock.advance(timedelta(hours=2, minutes=30))
    assert statuses(sandbox, import_id) == ["SUCCEEDED", "FAILED", "SUCCEEDED"]


def test_the_history_has_the_thirty_most_recent_runs(sandbox: Sandbox) -> None:
    import_id = create(sandbox, run_every=HOUR)
    sandbox.clock.advance(timedelta(hours=100, minutes=30))
    found = runs(sandbox, import_id)
    assert [run["start_time"] - START for run in found] == [3600 * hour for hour in range(100, 70, -1)]


def test_a_one_time_import_runs_once(sandbox: Sandbox) -> None:
    import_id = create(sandbox, "people", sync_mode="one_time", run_every=HOUR)
    sandbox.clock.advance(timedelta(days=2))
    assert statuses(sandbox, import_id) == ["SUCCEEDED"]


def test_pausing_cancels_running_runs_and_stops_the_schedule(sandbox: Sandbox) -> None:
    import_id = create(sandbox, run_every=HOUR)
    path = f"{IMPORTS}/{import_id}"
    assert results_of(api_call(sandbox, "PATCH", path, {"paused": True, "run_every": HOUR}))["paused"] is True
    sandbox.clock.advance(timedelta(days=1))
    assert statuses(sandbox, import_id) == ["CANCELLED"]
    assert "paused" in error_text(sync(sandbox, import_id), 400)
    resumed = results_of(api_call(sandbox, "PATCH", path, {"paused": False, "run_every": 24 * HOUR}))
    assert (resumed["paused"], resumed["run_every"]) == (False, 24 * HOUR)
    sandbox.clock.advance(timedelta(hours=24, minutes=30))
    assert statuses(sandbox, import_id) == ["SUCCEEDED", "CANCELLED"]


@pytest.mark.parametrize("body", [{"paused": True}, {"run_every": 0}, {"paused": True, "run_every": 5}])
def test_a_change_needs_both_fields_and_a_documented_interval(sandbox: Sandbox, body: object) -> None:
    error_text(api_call(sandbox, "PATCH", f"{IMPORTS}/{create(sandbox)}", body), 400)


def test_databricks_params_are_replaced_as_a_whole(sandbox: Sandbox) -> None:
    path = f"{IMPORTS}/{create(sandbox, databricks_params={'export_cluster_config': {'num_workers': 2}})}"
    new = {"export_cluster_config": {"spark_version": "15.4"}}
    body = {"paused": False, "run_every": 0, "databricks_params": new}
    assert results_of(api_call(sandbox, "PATCH", path, body))["databricks_params"] == new


@pytest.mark.parametrize("body", [None, {"delete_data": True}])
def test_a_deleted_import_is_gone(sandbox: Sandbox, body: object) -> None:
    import_id = create(sandbox)
    path = f"{IMPORTS}/{import_id}"
    assert api_call(sandbox, "DELETE", path, body).json() == {"status": "ok"}
    error_text(api_call(sandbox, "GET", path), 404)
    error_text(sync(sandbox, import_id), 404)
    error_text(api_call(sandbox, "GET", f"{path}/history"), 404)
    assert results_of(api_call(sandbox, "GET", IMPORTS)) == []


def test_five_syncs_an_hour_of_all_imports_of_a_project(sandbox: Sandbox) -> None:
    sandbox.reset([Project()])
    sandbox.clock.set(NOON, frozen=True)
    first, second = create(sandbox), create(sandbox)
    for import_id in (first, second, first, second, first):
        results_of(sync(sandbox, import_id))
    assert "5 syncs" in error_text(sync(sandbox, second), 429)
    sandbox.clock.advance(timedelta(hours=1))
    results_of(sync(sandbox, second))


def test_a_project_declares_imports_with_a_past_and_a_future(sandbox: Sandbox) -> None:
    declared = {
        "id": 77,
        "import_type": "people",
        "run_every": HOUR,
        "created": NOON - timedelta(hours=2, minutes=30),
        "outcomes": [{"status": "FAILED"}, {"events": 10}],
    }
    sandbox.reset([Project(warehouse_imports=[declared])])
    sandbox.clock.set(NOON, frozen=True)
    assert statuses(sandbox, 77) == ["SUCCEEDED", "SUCCEEDED", "FAILED"]
    assert runs(sandbox, 77)[1]["num_events_imported"] == 10


@pytest.mark.parametrize(("unit", "factor"), [("ms", 1000), ("us", 1_000_000), ("ns", 1_000_000_000)])
def test_times_are_in_the_unit_of_the_project(sandbox: Sandbox, unit: Any, factor: int) -> None:
    sandbox.reset([Project(warehouse_times=unit)])
    sandbox.clock.set(NOON, frozen=True)
    import_id = create(sandbox)
    sync(sandbox, import_id)
    assert runs(sandbox, import_id)[0]["start_time"] == START * factor


@pytest.mark.parametrize("role", ["analyst", "consumer"])
def test_only_admins_and_owners_create_change_and_trigger(sandbox: Sandbox, role: str) -> None:
    reset_with_role(sandbox, role, warehouse_imports=[{"id": 77}])
    assert len(results_of(api_call(sandbox, "GET", IMPORTS))) == 1
    error_text(api_call(sandbox, "POST", f"{IMPORTS}/people", PEOPLE), 403)
    error_text(sync(sandbox, 77), 403)
    error_text(api_call(sandbox, "DELETE", f"{IMPORTS}/77"), 403)


def test_wrong_credentials_are_401_and_unknown_imports_404(sandbox: Sandbox) -> None:
    error_text(api_call(sandbox, "GET", IMPORTS, auth=("sandbox.sa", "wrong")), 401)
    error_text(sync(sandbox, 999), 404)


def test_setting_outcomes_of_an_unknown_import_is_an_error(sandbox: Sandbox) -> None:
    with pytest.raises(ValueError, match="999"):
        sandbox.set_next_runs(999, RunOutcome("FAILED"))
