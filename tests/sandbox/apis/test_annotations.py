"""Annotations and tags over HTTP."""

import pytest

from mixpanel_etl.sandbox import Sandbox

from ..app_api import PROJECT, api_call, error_text, reset_with_role, results_of

ANNOTATIONS = f"{PROJECT}/annotations"
LAUNCH = {"date": "2024-01-15 12:00:00", "description": "launched"}


def test_an_annotation_is_created_with_201_and_read_back(sandbox: Sandbox) -> None:
    tag = api_call(sandbox, "POST", f"{ANNOTATIONS}/tags", {"name": "release"}).json()
    created = results_of(api_call(sandbox, "POST", ANNOTATIONS, {**LAUNCH, "tags": [tag["id"]]}), 201)
    assert created == {
        "id": created["id"],
        **LAUNCH,
        "user": {"id": created["user"]["id"], "first_name": "sandbox.sa", "last_name": ""},
        "tags": [{"id": tag["id"], "name": "release"}],
    }
    assert results_of(api_call(sandbox, "GET", f"{ANNOTATIONS}/{created['id']}")) == created


@pytest.mark.parametrize(
    ("first", "last", "count"),
    [("2024-01-15", "2024-01-15", 1), ("2024-01-16", "", 0), ("", "2024-01-14", 0), ("", "", 1)],
)
def test_both_dates_of_the_list_are_inclusive(sandbox: Sandbox, first: str, last: str, count: int) -> None:
    api_call(sandbox, "POST", ANNOTATIONS, LAUNCH)
    params = {name: value for name, value in (("fromDate", first), ("toDate", last)) if value}
    assert len(results_of(api_call(sandbox, "GET", ANNOTATIONS, params=params))) == count


def test_description_and_tags_can_be_changed_but_not_the_date(sandbox: Sandbox) -> None:
    path = f"{ANNOTATIONS}/{results_of(api_call(sandbox, 'POST', ANNOTATIONS, LAUNCH), 201)['id']}"
    assert results_of(api_call(sandbox, "PATCH", path, {"description": "again"}))["description"] == "again"
    error_text(api_call(sandbox, "PATCH", path, {"date": "2024-02-01 00:00:00"}), 400)
    assert results_of(api_call(sandbox, "GET", path))["date"] == LAUNCH["date"]


def test_a_deleted_annotation_is_gone(sandbox: Sandbox) -> None:
    annotation = results_of(api_call(sandbox, "POST", ANNOTATIONS, LAUNCH), 201)["id"]
    assert results_of(api_call(sandbox, "DELETE", f"{ANNOTATIONS}/{annotation}")) == {"id": annotation}
    error_text(api_call(sandbox, "GET", f"{ANNOTATIONS}/{annotation}"), 404)


def test_tags_are_a_bare_array_that_knows_which_are_used(sandbox: Sandbox) -> None:
    used, free = (api_call(sandbox, "POST", f"{ANNOTATIONS}/tags", {"name": name}).json() for name in ("a", "b"))
    api_call(sandbox, "POST", ANNOTATIONS, {**LAUNCH, "tags": [used["id"]]})
    assert api_call(sandbox, "GET", f"{ANNOTATIONS}/tags").json() == [
        {"id": used["id"], "name": "a", "project_id": 12345, "has_annotations": True},
        {"id": free["id"], "name": "b", "project_id": 12345, "has_annotations": False},
    ]


@pytest.mark.parametrize(
    "body",
    [
        {"date": "2024-01-15", "description": "no time"},
        {"description": "no date"},
        {**LAUNCH, "tags": [99]},
        {**LAUNCH, "tags": "release"},
    ],
)
def test_a_bad_annotation_is_400(sandbox: Sandbox, body: object) -> None:
    error_text(api_call(sandbox, "POST", ANNOTATIONS, body), 400)


def test_a_consumer_may_read_but_not_write(sandbox: Sandbox) -> None:
    reset_with_role(sandbox, "consumer")
    assert results_of(api_call(sandbox, "GET", ANNOTATIONS)) == []
    assert "analyst" in error_text(api_call(sandbox, "POST", ANNOTATIONS, LAUNCH), 403)
    error_text(api_call(sandbox, "GET", f"{ANNOTATIONS}/tags"), 403)


def test_an_analyst_may_write(sandbox: Sandbox) -> None:
    reset_with_role(sandbox, "analyst")
    results_of(api_call(sandbox, "POST", ANNOTATIONS, LAUNCH), 201)


def test_wrong_credentials_are_401_and_another_project_403(sandbox: Sandbox) -> None:
    error_text(api_call(sandbox, "GET", ANNOTATIONS, auth=("sandbox.sa", "wrong")), 401)
    error_text(api_call(sandbox, "GET", ANNOTATIONS, auth=(sandbox.projects[0].secret, "")), 401)
    error_text(api_call(sandbox, "GET", "/api/app/projects/999/annotations"), 403)


def test_a_trailing_slash_is_the_same_path(sandbox: Sandbox) -> None:
    assert results_of(api_call(sandbox, "GET", f"{ANNOTATIONS}/")) == []
