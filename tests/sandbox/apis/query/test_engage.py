"""`POST /engage` and `/cohorts/list`. Source: mixpanel-api.md#query-profiles, #query-cohorts."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from mixpanel_etl.sandbox import Cohort, Project, Sandbox

from ...http_calls import HttpCall, exported_line

JAN_1 = 1_704_067_200  # 2024-01-01 00:00 UTC
DAY, HOUR = 86_400, 3600
PEOPLE: dict[str, dict[str, Any]] = {
    "ann": {"plan": "pro", "age": 31, "$email": "ann@gmail.com"},
    "bob": {"plan": "free", "age": 17},
    "cem": {"plan": "pro"},
}


@pytest.fixture
def people(sandbox: Sandbox) -> Sandbox:
    sandbox.clock.set(datetime(2024, 1, 3, tzinfo=UTC), frozen=True)
    save_profiles(sandbox, PEOPLE)
    return sandbox


@pytest.fixture
def post(sandbox: Sandbox) -> HttpCall:
    """`POST /api/query/...` of a form."""

    def send(path: str = "/engage", **form: Any) -> requests.Response:
        project = sandbox.projects[0]
        parameters = {"project_id": project.project_id}
        url = f"{sandbox.url}/api/query{path}"
        return requests.post(url, params=parameters, data=form, auth=project.account[:2], timeout=10)

    return send


def save_profiles(sandbox: Sandbox, profiles: dict[str, dict[str, Any]]) -> None:
    token = sandbox.projects[0].token
    updates = [{"$token": token, "$distinct_id": name, "$set": properties} for name, properties in profiles.items()]
    response = requests.post(f"{sandbox.url}/engage", params={"verbose": 1}, json=updates, timeout=10)
    assert response.json()["status"] == 1, response.text


def found(response: requests.Response) -> list[str]:
    assert response.status_code == 200, response.text
    return [result["$distinct_id"] for result in response.json()["results"]]


def test_a_profile_comes_with_its_properties_and_the_reply_with_its_page(people: Sandbox, post: HttpCall) -> None:
    reply = post(distinct_id="bob").json()
    assert {name: reply[name] for name in ("page", "page_size", "status", "total")} == {
        "page": 0,
        "page_size": 1000,
        "status": "ok",
        "total": 1,
    }
    assert reply["session_id"]
    (bob,) = reply["results"]
    assert bob["$distinct_id"] == "bob"
    assert bob["$properties"].items() >= PEOPLE["bob"].items()


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({}, ["ann", "bob", "cem"]),
        ({"where": 'properties["plan"] == "pro"'}, ["ann", "cem"]),
        ({"where": 'user["age"] >= 18'}, ["ann"]),
        ({"where": '"gmail" in properties["$email"] or properties["age"] < 18'}, ["ann", "bob"]),
        ({"where": 'not defined(properties["age"])'}, ["cem"]),
        ({"where": 'datetime(properties["$last_seen"]) < datetime("2024-01-01")'}, []),
        ({"distinct_ids": '["cem", "ann", "zoe"]'}, ["ann", "cem"]),
        ({"distinct_ids": '["cem", "bob"]', "where": 'user["plan"] == "pro"'}, ["cem"]),
    ],
)
def test_filters_choose_profiles(people: Sandbox, post: HttpCall, form: dict[str, str], expected: list[str]) -> None:
    assert found(post(**form)) == expected


def test_output_properties_are_all_that_is_shown(people: Sandbox, post: HttpCall) -> None:
    reply = post(output_properties='["plan", "age"]').json()
    assert [result["$properties"] for result in reply["results"]] == [
        {"plan": "pro", "age": 31},
        {"plan": "free", "age": 17},
        {"plan": "pro"},
    ]


def test_pages_of_a_session_are_of_1000_and_stay_what_they_were(sandbox: Sandbox, post: HttpCall) -> None:
    for start in (0, 2000):
        save_profiles(sandbox, {f"u{number:04}": {"n": number} for number in range(start, min(start + 2000, 2005))})
    first = post(where='properties["n"] >= 0').json()
    assert (len(first["results"]), first["total"]) == (1000, 2005)
    save_profiles(sandbox, {"late": {"n": 1}})
    session = {"where": 'properties["n"] >= 0', "session_id": first["session_id"]}
    second, third, fourth = (post(**session, page=page).json() for page in (1, 2, 3))
    assert [len(page["results"]) for page in (second, third, fourth)] == [1000, 5, 0]
    assert second["page"] == 1
    ids = [result["$distinct_id"] for page in (first, second, third) for result in page["results"]]
    assert ids == [f"u{number:04}" for number in range(2005)]


def test_a_page_needs_its_session_and_a_session_its_query(people: Sandbox, post: HttpCall) -> None:
    session_id = post().json()["session_id"]
    for form, text in (
        ({"page": 1}, "page 1 requires the session_id that came with page 0"),
        ({"page": 1, "session_id": "123-ABC"}, "session_id '123-ABC' is unknown or has expired"),
        (
            {"page": 1, "session_id": session_id, "where": "true"},
            "where must stay as it was on page 0",
        ),
    ):
        response = post(**form)
        assert response.status_code == 400
        assert response.json()["error"].startswith(text)


def test_a_cohort_holds_ids_without_profile_unless_they_are_not_wanted(people: Sandbox, post: HttpCall) -> None:
    people.save_report(Cohort(1, "Some", distinct_ids=["ann", "ghost"]))
    reply = post(filter_by_cohort='{"id":1}').json()
    assert [result["$distinct_id"] for result in reply["results"]] == ["ann", "ghost"]
    assert reply["results"][1]["$properties"] == {}
    assert found(post(filter_by_cohort='{"id":1}', include_all_users="false")) == ["ann"]


def test_cohorts_are_of_profiles_and_of_events(people: Sandbox, post: HttpCall) -> None:
    people.load(
        [exported_line("Buy", JAN_1 + DAY, distinct_id=name, insert_id=name, price=price) for name, price in BUYERS]
    )
    people.load([exported_line("Buy", JAN_1 - 40 * DAY, distinct_id="cem", price=99)])
    people.save_report(Cohort(1, "Pro", where='user["plan"] == "pro"'))
    people.save_report(Cohort(2, "Buyers", event="Buy"))
    people.save_report(
        Cohort(3, "Big pro buyers", where='user["plan"] == "pro"', event="Buy", event_where=BIG, within_days=60)
    )
    members = [found(post(filter_by_cohort=json.dumps({"id": number}))) for number in (1, 2, 3)]
    assert members == [["ann", "cem"], ["ann", "bob", "zoe"], ["cem"]]


BUYERS = [("ann", 5), ("bob", 50), ("zoe", 50)]
BIG = 'properties["price"] > 10'


def test_behaviors_count_what_users_did(people: Sandbox, post: HttpCall) -> None:
    people.load(
        [exported_line("Buy", JAN_1 + DAY, distinct_id=name, insert_id=name, price=price) for name, price in BUYERS]
    )
    behaviors = [{"name": "b", "window": "7d", "event_selectors": [{"event": "Buy", "selector": BIG}]}]
    form = {"behaviors": json.dumps(behaviors), "where": 'behaviors["b"] > 0'}
    assert found(post(**form)) == ["bob"]
    assert found(post(**form, as_of_timestamp=JAN_1)) == []
    uncached = post(**form, page=1)
    assert (uncached.status_code, uncached.json()["error"]) == (400, "request for page in uncached query for params")
    both = post(**form, filter_by_cohort='{"id":1}')
    assert both.json()["error"] == "behaviors and filter_by_cohort are mutually exclusive"


def test_groups_are_found_by_the_number_of_their_key(people: Sandbox, post: HttpCall) -> None:
    update = {"$token": people.projects[0].token, "$group_key": "company", "$group_id": "acme", "$set": {"size": 9}}
    requests.post(f"{people.url}/groups", json=[update], timeout=10)
    number = people.data_group_id("company")
    assert found(post(data_group_id=number, where='properties["size"] > 5')) == ["acme"]
    assert found(post(data_group_id=number, where='properties["size"] > 10')) == []
    unknown = post(data_group_id="5")
    assert unknown.status_code == 400
    assert f"{number} for company" in unknown.json()["error"]


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ({"where": "properties["}, "error parsing where"),
        ({"where": 'properties["plan"] and true'}, "error evaluating expression: 'and' expects conditions"),
        ({"distinct_ids": "ann"}, "distinct_ids must be a JSON array of strings, not 'ann'"),
        ({"output_properties": "plan"}, "output_properties must be a JSON array of strings, not 'plan'"),
        ({"filter_by_cohort": "7"}, "filter_by_cohort must be a JSON object such as"),
        ({"filter_by_cohort": '{"id":7}'}, "filter_by_cohort: cohort 7 does not exist"),
        ({"page": "x"}, "page must be an integer, not 'x'"),
        ({"page_size": 1001}, "page_size cannot be over 1000, not 1001"),
        ({"behaviors": "5"}, "behaviors must be a JSON array"),
    ],
)
def test_a_wrong_parameter_is_named(people: Sandbox, post: HttpCall, form: dict[str, str], text: str) -> None:
    response = post(**form)
    assert response.status_code == 400
    assert response.json()["error"].startswith(text)


def test_a_body_that_is_not_a_form_is_rejected(people: Sandbox) -> None:
    project = people.projects[0]
    url = f"{people.url}/api/query/engage?project_id={project.project_id}"
    response = requests.post(url, json={"where": "true"}, auth=project.account[:2], timeout=10)
    assert (response.status_code, response.json()["error"]) == (
        400,
        "the body must be application/x-www-form-urlencoded, not application/json",
    )


def test_the_list_of_cohorts_is_bare_and_counts_them(sandbox: Sandbox, post: HttpCall) -> None:
    created = datetime(2019, 3, 19, 23, 49, 51)  # noqa: DTZ001 - project time
    declared = Cohort(1000, "One", "who is there", distinct_ids=["a", "b"], created=created, is_visible=False)
    sandbox.reset([Project(cohorts=[declared])])
    assert post("/cohorts/list").json() == [
        {
            "id": 1000,
            "name": "One",
            "description": "who is there",
            "created": "2019-03-19 23:49:51",
            "is_visible": 0,
            "count": 2,
            "project_id": 12345,
            "data_group_id": None,
        }
    ]


def test_sessions_of_one_project_are_unknown_in_another(sandbox: Sandbox, post: HttpCall) -> None:
    sandbox.reset([Project(1), Project(2)])
    session_id = post().json()["session_id"]
    other = sandbox.projects[1]
    url = f"{sandbox.url}/api/query/engage?project_id=2"
    response = requests.post(url, data={"session_id": session_id}, auth=other.account[:2], timeout=10)
    assert response.status_code == 400


def test_a_cohort_follows_the_clock(people: Sandbox, post: HttpCall) -> None:
    people.load([exported_line("Buy", JAN_1, distinct_id="ann")])
    people.save_report(Cohort(1, "Recent", event="Buy", within_days=7))
    assert found(post(filter_by_cohort='{"id":1}')) == ["ann"]
    people.clock.advance(timedelta(days=10))
    assert found(post(filter_by_cohort='{"id":1}')) == []
