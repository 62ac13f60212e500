"""GDPR jobs: their states by the clock, and their effects when they succeed."""

import io
import json
import zipfile
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from mixpanel_etl.sandbox import Project, Sandbox

from ..app_api import NOON, api_call, error_text, results_of
from ..http_calls import exported_line

RETRIEVALS = "/api/app/data-retrievals/v3.0"
DELETIONS = "/api/app/data-deletions/v3.0"
HOUR = timedelta(hours=1)
FEBRUARY = 1_706_788_800


def begin(sandbox: Sandbox, **fields: Any) -> None:
    sandbox.reset([Project(**{"enforce_budgets": False, **fields})])
    sandbox.clock.set(NOON, frozen=True)


@pytest.fixture(autouse=True)
def _frozen(sandbox: Sandbox) -> None:
    begin(sandbox)


def gdpr(sandbox: Sandbox, method: str, path: str, body: object = None, **options: Any) -> requests.Response:
    """As the user of the OAuth token, for the project of the project token."""
    headers = {"Authorization": f"Bearer {sandbox.projects[0].oauth_token}"}
    params = {"token": sandbox.projects[0].token}
    return api_call(sandbox, method, path, body, **{"headers": headers, "params": params, "auth": None, **options})


def create(sandbox: Sandbox, path: str, *distinct_ids: str, **body: str) -> str:
    reply = gdpr(sandbox, "POST", path, {"distinct_ids": distinct_ids or ["u1"], **body})
    return str(results_of(reply, 201)["task_id"])


def status(sandbox: Sandbox, path: str) -> str:
    return str(results_of(gdpr(sandbox, "GET", path))["status"])


@pytest.mark.parametrize("base", [RETRIEVALS, DELETIONS])
def test_a_job_moves_through_its_states_with_the_clock(sandbox: Sandbox, base: str) -> None:
    path = f"{base}/{create(sandbox, base)}"
    seen = [status(sandbox, path)]
    for wait in (1, 1, 21, 1):
        sandbox.clock.advance(wait * HOUR)
        seen.append(status(sandbox, path))
    assert seen == ["PENDING", "STAGING", "STARTED", "STARTED", "SUCCESS"]


def test_a_deletion_says_all_that_is_documented(sandbox: Sandbox) -> None:
    tracking_id = create(sandbox, DELETIONS, "a", "b", compliance_type="CCPA")
    assert results_of(gdpr(sandbox, "GET", f"{DELETIONS}/{tracking_id}")) == {
        "tracking_id": tracking_id,
        "status": "PENDING",
        "requesting_user": "user@sandbox.example",
        "compliance_type": "CCPA",
        "project_id": 12345,
        "date_requested": "2024-03-01T12:00:00",
        "distinct_ids": ["a", "b"],
    }


def test_a_deletion_removes_events_and_profile_only_when_it_succeeds(sandbox: Sandbox) -> None:
    sandbox.load(
        [
            exported_line(distinct_id="u1"),
            exported_line(distinct_id="u2"),
            exported_line(distinct_id="u1", time=FEBRUARY),
        ]
    )
    for name in ("u1", "u2"):
        update = {"$token": sandbox.projects[0].token, "$distinct_id": name, "$set": {"a": 1}}
        api_call(sandbox, "POST", "/engage", [update])
    create(sandbox, DELETIONS, "u1")
    sandbox.clock.advance(23 * HOUR)
    assert (sandbox.count(), list(sandbox.profiles())) == (3, ["u1", "u2"])
    sandbox.clock.advance(HOUR)
    assert (sandbox.count(), list(sandbox.profiles())) == (1, ["u2"])
    params = {"project_id": 12345, "from_date": "2024-01-01", "to_date": "2024-02-29"}
    exported = api_call(sandbox, "GET", "/api/2.0/export", params=params).text.splitlines()
    assert [json.loads(text)["properties"]["distinct_id"] for text in exported] == ["u2"]


def test_a_deletion_finds_a_person_by_any_of_their_ids(sandbox: Sandbox) -> None:
    sandbox.load([exported_line(distinct_id="$device:d")])
    sandbox.merge_identities("$device:d", "user")
    create(sandbox, DELETIONS, "$device:d")
    sandbox.clock.advance(24 * HOUR)
    assert sandbox.count() == 0


def test_cancelled_before_it_started_a_deletion_is_revoked_and_deletes_nothing(sandbox: Sandbox) -> None:
    sandbox.load([exported_line(distinct_id="u1")])
    path = f"{DELETIONS}/{create(sandbox, DELETIONS, 'u1')}"
    sandbox.clock.advance(HOUR)
    cancelled = gdpr(sandbox, "DELETE", path)
    assert (cancelled.status_code, cancelled.content) == (204, b"")
    sandbox.clock.advance(24 * HOUR)
    assert (status(sandbox, path), sandbox.count()) == ("REVOKED", 1)


@pytest.mark.parametrize("hours", [2, 24])
def test_a_deletion_that_has_started_cannot_be_cancelled(sandbox: Sandbox, hours: int) -> None:
    path = f"{DELETIONS}/{create(sandbox, DELETIONS)}"
    sandbox.clock.advance(hours * HOUR)
    error_text(gdpr(sandbox, "DELETE", path), 405)


def archive(sandbox: Sandbox, *distinct_ids: str, **body: str) -> dict[str, list[Any]]:
    """The records of each file of a finished retrieval."""
    path = f"{RETRIEVALS}/{create(sandbox, RETRIEVALS, *distinct_ids, **body)}"
    assert results_of(gdpr(sandbox, "GET", path))["results"] == ""
    sandbox.clock.advance(24 * HOUR)
    link = results_of(gdpr(sandbox, "GET", path))["results"]
    with zipfile.ZipFile(io.BytesIO(requests.get(link, timeout=10).content)) as files:
        return {name: [json.loads(text) for text in files.read(name).splitlines()] for name in files.namelist()}


def test_a_retrieval_ends_in_an_archive_of_the_persons_events_and_profile(sandbox: Sandbox) -> None:
    sandbox.load([exported_line("A", distinct_id="u1", plan="pro"), exported_line("B", distinct_id="u2")])
    update = {"$token": sandbox.projects[0].token, "$distinct_id": "u1", "$set": {"a": 1}}
    api_call(sandbox, "POST", "/engage", [update])
    files = archive(sandbox, "u1")
    assert [event["event"] for event in files["events.jsonl"]] == ["A"]
    assert [profile["$distinct_id"] for profile in files["profiles.jsonl"]] == ["u1"]


def test_of_ccpa_only_the_last_year_and_of_categories_only_the_names(sandbox: Sandbox) -> None:
    year_ago = int((NOON - timedelta(days=366)).timestamp())
    sandbox.load([exported_line("Old", time=year_ago), exported_line("New", plan="pro")])
    files = archive(sandbox, "u1", compliance_type="CCPA")
    assert [event["event"] for event in files["events.jsonl"]] == ["New"]
    assert archive(sandbox, "u1", compliance_type="CCPA", disclosure_type="Categories") == {
        "categories.jsonl": ["distinct_id", "plan", "time"]
    }


def test_the_archive_is_on_another_host_and_rejects_the_api_credentials(sandbox: Sandbox) -> None:
    path = f"{RETRIEVALS}/{create(sandbox, RETRIEVALS)}"
    sandbox.clock.advance(24 * HOUR)
    link = results_of(gdpr(sandbox, "GET", path))["results"]
    assert urlsplit(link).hostname != urlsplit(sandbox.url).hostname
    assert requests.get(link, timeout=10).status_code == 200
    headers = {"Authorization": f"Bearer {sandbox.projects[0].oauth_token}"}
    assert requests.get(link, headers=headers, timeout=10).status_code == 400
    assert requests.get(f"{link}x", timeout=10).status_code == 404


def test_the_reference_pages_shapes_can_be_chosen(sandbox: Sandbox) -> None:
    begin(sandbox, gdpr_replies="reference")
    (retrieval,) = results_of(gdpr(sandbox, "POST", RETRIEVALS, {"distinct_ids": ["u1"]}), 201)
    (deletion,) = results_of(gdpr(sandbox, "POST", DELETIONS, {"distinct_ids": ["u1"]}), 201)
    assert (retrieval["status"], retrieval["disclosure_type"], retrieval["distinct_id_count"]) == ("PENDING", "DATA", 1)
    shown = results_of(gdpr(sandbox, "GET", f"{RETRIEVALS}/{retrieval['tracking_id']}"))
    assert shown == {"status": "PENDING", "result": "", "distinct_ids": ["u1"]}
    shown = results_of(gdpr(sandbox, "GET", f"{DELETIONS}/{deletion['tracking_id']}"))
    assert shown == {"status": "PENDING", "result": "", "distinct_ids": ["u1"]}


@pytest.mark.parametrize("base", [RETRIEVALS, DELETIONS])
def test_an_unknown_job_is_a_status_instead_of_404(sandbox: Sandbox, base: str) -> None:
    assert status(sandbox, f"{base}/none") == "NOT_FOUND"


def test_a_test_can_let_a_job_fail(sandbox: Sandbox) -> None:
    sandbox.load([exported_line(distinct_id="u1")])
    sandbox.set_next_gdpr_outcome("FAILURE")
    path = f"{DELETIONS}/{create(sandbox, DELETIONS)}"
    sandbox.clock.advance(24 * HOUR)
    assert (status(sandbox, path), sandbox.count()) == ("FAILURE", 1)


def test_one_request_a_second(sandbox: Sandbox) -> None:
    begin(sandbox, enforce_budgets=True)
    path = f"{RETRIEVALS}/{create(sandbox, RETRIEVALS)}"
    error_text(gdpr(sandbox, "GET", path), 429)
    sandbox.clock.advance(timedelta(seconds=1))
    assert status(sandbox, path) == "PENDING"


def test_five_years_of_outstanding_scans(sandbox: Sandbox) -> None:
    begin(sandbox, enforce_budgets=True)
    sandbox.load([exported_line(time=int((NOON - timedelta(days=1000)).timestamp()))])
    create(sandbox, RETRIEVALS, "u1", "u2")
    sandbox.clock.advance(HOUR)
    assert "outstanding" in error_text(gdpr(sandbox, "POST", RETRIEVALS, {"distinct_ids": ["u3"]}), 429)
    sandbox.clock.advance(23 * HOUR)
    create(sandbox, RETRIEVALS, "u3")


@pytest.mark.parametrize(("base", "most"), [(RETRIEVALS, 2000), (DELETIONS, 1999)])
def test_the_number_of_ids_is_limited(sandbox: Sandbox, base: str, most: int) -> None:
    create(sandbox, base, *map(str, range(most)))
    body = {"distinct_ids": [str(number) for number in range(most + 1)]}
    assert str(most) in error_text(gdpr(sandbox, "POST", base, body), 400)


@pytest.mark.parametrize(
    "body",
    [{}, {"distinct_ids": []}, {"distinct_ids": [1]}, {"distinct_ids": ["a"], "compliance_type": "HIPAA"}],
)
def test_a_bad_body_is_400(sandbox: Sandbox, body: object) -> None:
    error_text(gdpr(sandbox, "POST", DELETIONS, body), 400)


def test_only_an_oauth_token_opens_it(sandbox: Sandbox) -> None:
    account = tuple(sandbox.projects[0].account[:2])
    error_text(gdpr(sandbox, "GET", f"{DELETIONS}/x", headers={}, auth=account), 401)
    error_text(gdpr(sandbox, "GET", f"{DELETIONS}/x", headers={"Authorization": "Bearer wrong"}), 401)


def test_the_project_token_is_required_and_must_be_the_users(sandbox: Sandbox) -> None:
    error_text(gdpr(sandbox, "GET", f"{DELETIONS}/x", params={}), 400)
    error_text(gdpr(sandbox, "GET", f"{DELETIONS}/x", params={"token": "other"}), 403)
