"""Data pipelines: the parameters of each type, and their tasks by the clock."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import requests

from mixpanel_etl.sandbox import Project, Sandbox

from ..app_api import NOON, api_call, error_text, reset_with_role

BASE = "/api/2.0/nessie/pipeline"
AZURE = {
    "storage_account": "a",
    "container_name": "c",
    "client_id": "i",
    "client_secret": "s",
    "tenant_id": "t",
}
SNOWFLAKE = ("account_name", "warehouse", "storage_integration", "user", "password", "role", "database", "schema")
SCHEMATIZED = {"sync": "true", "schema_type": "monoschema"}
DESTINATIONS: dict[str, dict[str, str]] = {
    "gcs-raw": {"gcs_bucket": "b", "gcs_region": "us-east1"},
    "s3-raw": {"s3_bucket": "b", "s3_region": "eu-west-1", "s3_role": "arn"},
    "azure-raw": AZURE,
    "bigquery": {"bq_region": "EU", "gcp_project": "p", "bq_dataset_name": "d", **SCHEMATIZED},
    "snowflake": {**{f"snowflake_{name}": "x" for name in SNOWFLAKE}, **SCHEMATIZED},
    "aws": {"s3_bucket": "b", "s3_region": "eu-west-1", "s3_role": "arn", **SCHEMATIZED},
    "azure-blob": {**AZURE, **SCHEMATIZED},
    "gcs-schema": {"gcs_bucket": "b", "gcs_region": "us-east1", **SCHEMATIZED},
}


@pytest.fixture(autouse=True)
def _frozen(sandbox: Sandbox) -> None:
    sandbox.clock.set(NOON, frozen=True)


def post(sandbox: Sandbox, operation: str, **form: Any) -> requests.Response:
    return api_call(sandbox, "POST", f"{BASE}/{operation}", data={"project_id": 12345, **form})


def get(sandbox: Sandbox, operation: str, **params: Any) -> Any:
    reply = api_call(sandbox, "GET", f"{BASE}/{operation}", params={"project_id": 12345, **params})
    assert reply.status_code == 200, reply.text
    return reply.json()


def form_of(kind: str, **changes: str) -> dict[str, str]:
    form = {"type": kind, "from_date": "2024-02-28", **DESTINATIONS[kind], **changes}
    return {name: value for name, value in form.items() if value}


def create(sandbox: Sandbox, kind: str = "s3-raw", **changes: str) -> str:
    reply = post(sandbox, "create", **form_of(kind, **changes))
    assert reply.status_code == 200, reply.text
    return str(reply.json()["pipeline_names"][0])


def states(sandbox: Sandbox, name: str) -> dict[str, int]:
    """How many tasks there are of each state that has any."""
    counts: dict[str, int] = get(sandbox, "status", name=name, summary="true")
    return {state: count for state, count in counts.items() if count}


@pytest.mark.parametrize("kind", DESTINATIONS)
def test_each_type_is_created_from_its_required_parameters(sandbox: Sandbox, kind: str) -> None:
    name = create(sandbox, kind)
    assert name.startswith(f"events-daily-{kind}")
    assert [job["name"] for job in get(sandbox, "jobs")["12345"]] == [name]


@pytest.mark.parametrize(
    ("kind", "missing"), [(kind, name) for kind, form in DESTINATIONS.items() for name in (*form, "from_date")]
)
def test_each_required_parameter_is_required(sandbox: Sandbox, kind: str, missing: str) -> None:
    assert missing in error_text(post(sandbox, "create", **form_of(kind, **{missing: ""})), 400)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("s3-raw", {"type": "ftp"}),
        ("s3-raw", {"data_source": "people"}),
        ("s3-raw", {"data_format": "parquet"}),
        ("s3-raw", {"s3_region": "moon-1"}),
        ("gcs-raw", {"gcs_region": "us-east-2"}),
        ("bigquery", {"bq_region": "mars"}),
        ("aws", {"sync": "false"}),
        ("aws", {"schema_type": "starschema"}),
        ("s3-raw", {"frequency": "weekly"}),
        ("s3-raw", {"to_date": "2024-02-29", "frequency": "daily"}),
        ("s3-raw", {"to_date": "2024-02-27"}),
        ("s3-raw", {"from_date": "2023-08-30"}),
        ("s3-raw", {"from_date": "yesterday"}),
    ],
)
def test_a_bad_parameter_is_400(sandbox: Sandbox, kind: str, changes: dict[str, str]) -> None:
    error_text(post(sandbox, "create", **form_of(kind, **changes)), 400)


def test_bigquery_says_where_its_dataset_is(sandbox: Sandbox) -> None:
    reply = post(sandbox, "create", **form_of("bigquery")).json()
    assert reply == {
        "pipeline_names": ["events-daily-bigquery-monoschema"],
        "bigquery_dataset_name": "https://bigquery.cloud.google.com/dataset/p:d",
    }


def test_a_trial_needs_no_dates_and_makes_two_pipelines_of_thirty_days(sandbox: Sandbox) -> None:
    form = form_of("bigquery", trial="true", from_date="", sync="", schema_type="")
    names = post(sandbox, "create", **form).json()["pipeline_names"]
    assert names == ["trial-events-daily-bigquery-monoschema", "trial-people-daily-bigquery-monoschema"]
    sandbox.clock.advance(timedelta(days=60))
    assert states(sandbox, names[0]) == {"succeeded": 30}


def test_days_before_the_creation_are_backfilled_and_later_ones_run_at_half_past_midnight(
    sandbox: Sandbox,
) -> None:
    name = create(sandbox)
    assert states(sandbox, name) == {"running": 1, "pending": 1}
    assert get(sandbox, "jobs")["12345"][0]["Dispatcher"] == "backfill"
    sandbox.clock.advance(timedelta(hours=1))
    assert states(sandbox, name) == {"succeeded": 2}
    sandbox.clock.set(datetime(2024, 3, 2, 0, 35, tzinfo=UTC), frozen=True)
    assert states(sandbox, name) == {"succeeded": 2, "running": 1}
    assert get(sandbox, "jobs")["12345"] == [
        {
            "name": name,
            "Dispatcher": "live",
            "last_dispatched": "2024-03-02 00:30:00 UTC",
            "frequency": "daily",
            "sync_enabled": "false",
        }
    ]


def test_days_are_of_project_time_and_hours_run_at_half_past(sandbox: Sandbox) -> None:
    sandbox.reset([Project(timezone="America/New_York")])
    sandbox.clock.set(datetime(2024, 3, 10, 12, 45, tzinfo=UTC), frozen=True)
    name = create(sandbox, from_date="2024-03-09", frequency="hourly")
    sandbox.clock.advance(timedelta(days=1))
    tasks = get(sandbox, "status", name=name)["succeeded"]
    assert tasks[0]["from_date"] == "2024-03-09T00:00:00-05:00"
    assert [task["from_date"][11:] for task in tasks[25:27]] == ["01:00:00-05:00", "03:00:00-04:00"]
    assert {task["run_at"][14:16] for task in tasks[-10:]} == {"30"}


def test_a_status_shows_tasks_as_documented(sandbox: Sandbox) -> None:
    name = create(sandbox, to_date="2024-02-28")
    reply = get(sandbox, "status", name=name)
    assert reply["canceled"] == reply["retried"] == reply["succeeded"] == []
    assert reply["running"] == [
        {
            "project_id": 12345,
            "name": name,
            "state": "running",
            "last_finish": "0000-12-31T16:00:00-08:00",
            "run_at": "2024-03-01T12:00:00+00:00",
            "from_date": "2024-02-28T00:00:00+00:00",
            "to_date": "2024-02-29T00:00:00+00:00",
        }
    ]
    sandbox.clock.advance(timedelta(hours=1))
    (task,) = get(sandbox, "status", name=name)["succeeded"]
    assert task["last_finish"] == "2024-03-01T12:10:00+00:00"


def test_a_status_is_filtered_by_documented_states_only(sandbox: Sandbox) -> None:
    name = create(sandbox)
    assert get(sandbox, "status", name=name, status=["running", "failed"], summary="true") == {
        "running": 1,
        "failed": 0,
    }
    reply = api_call(
        sandbox, "GET", f"{BASE}/status", params={"project_id": 12345, "name": name, "status": "succeeded"}
    )
    error_text(reply, 400)


def test_the_timeline_has_a_time_for_each_day_that_was_exported(sandbox: Sandbox) -> None:
    name = create(sandbox)
    sandbox.clock.advance(timedelta(minutes=11))
    assert get(sandbox, "timeline", name=name) == {
        "day_syncs": [
            {"date": "2024-02-28", "sync_times": ["2024-03-01 12:10:00.000000 +0000 UTC"], "status": "synced"},
            {"date": "2024-02-29", "sync_times": [], "status": "pending"},
        ]
    }


def test_a_pause_cancels_running_tasks_and_due_tasks_follow(sandbox: Sandbox) -> None:
    name = create(sandbox)
    sandbox.clock.advance(timedelta(minutes=1))
    assert post(sandbox, "pause", name=name).status_code == 200
    sandbox.clock.advance(timedelta(days=1))
    assert states(sandbox, name) == {"canceled": 1, "pending": 3}
    assert post(sandbox, "resume", name=name).status_code == 200
    sandbox.clock.advance(timedelta(hours=1))
    assert states(sandbox, name) == {"canceled": 1, "succeeded": 3}


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("failed", {"failed": 1, "succeeded": 1}),
        ("timed_out", {"timed_out": 1, "succeeded": 1}),
        ("retried", {"retried": 1, "succeeded": 2}),
    ],
)
def test_a_test_can_set_the_state_of_a_day(sandbox: Sandbox, state: Any, expected: dict[str, int]) -> None:
    name = create(sandbox)
    sandbox.set_pipeline_state(name, date(2024, 2, 28), state)
    sandbox.clock.advance(timedelta(hours=2))
    assert states(sandbox, name) == expected


def test_edits_are_those_of_the_type(sandbox: Sandbox) -> None:
    name = create(sandbox, "aws")
    assert post(sandbox, "edit", name=name, events=["a", "b"], glue_role="arn").status_code == 200
    assert "s3_bucket" in error_text(post(sandbox, "edit", name=name, s3_bucket="other"), 400)


def test_a_cancelled_pipeline_is_gone(sandbox: Sandbox) -> None:
    name = create(sandbox)
    assert post(sandbox, "cancel", name=name).status_code == 200
    assert get(sandbox, "jobs") == {"12345": []}
    error_text(api_call(sandbox, "GET", f"{BASE}/status", params={"project_id": 12345, "name": name}), 404)


@pytest.mark.parametrize("operation", ["edit", "pause", "resume", "cancel"])
def test_an_unknown_name_is_404_and_a_missing_one_400(sandbox: Sandbox, operation: str) -> None:
    error_text(post(sandbox, operation, name="none"), 404)
    error_text(post(sandbox, operation), 400)


def test_two_recurring_pipelines_and_a_dated_one(sandbox: Sandbox) -> None:
    create(sandbox, "s3-raw")
    create(sandbox, "gcs-raw")
    assert "2 recurring" in error_text(post(sandbox, "create", **form_of("azure-raw")), 400)
    dated = create(sandbox, "azure-raw", to_date="2024-02-29")
    assert "1 date-ranged" in error_text(post(sandbox, "create", **form_of("aws", to_date="2024-02-29")), 400)
    post(sandbox, "cancel", name=dated)
    assert "24 hours" in error_text(post(sandbox, "create", **form_of("aws", to_date="2024-02-29")), 400)
    sandbox.clock.advance(timedelta(hours=24))
    create(sandbox, "aws", to_date="2024-02-29")


def test_ranges_to_one_destination_do_not_overlap(sandbox: Sandbox) -> None:
    create(sandbox, to_date="2024-02-28")
    assert "overlaps" in error_text(post(sandbox, "create", **form_of("s3-raw")), 400)
    create(sandbox, from_date="2024-02-29")


def test_the_project_secret_opens_it_and_needs_no_project_id(sandbox: Sandbox) -> None:
    reply = api_call(sandbox, "GET", f"{BASE}/jobs", auth=(sandbox.projects[0].secret, ""))
    assert (reply.status_code, reply.json()) == (200, {"12345": []})


@pytest.mark.parametrize("role", ["analyst", "consumer"])
def test_it_is_for_admins_and_owners(sandbox: Sandbox, role: str) -> None:
    reset_with_role(sandbox, role)
    error_text(post(sandbox, "create", **form_of("s3-raw")), 403)


def test_wrong_credentials_are_401(sandbox: Sandbox) -> None:
    error_text(
        api_call(sandbox, "GET", f"{BASE}/jobs", params={"project_id": 12345}, auth=("sandbox.sa", "wrong")), 401
    )
