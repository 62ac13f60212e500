"""`/engage` and `/groups`: the operators, and the replies to invalid updates."""

import base64
import gzip
import json
from datetime import timedelta
from typing import Any

import pytest
import requests

from mixpanel_etl.sandbox import Sandbox

from ...app_api import NOON


@pytest.fixture(autouse=True)
def _frozen(sandbox: Sandbox) -> None:
    sandbox.clock.set(NOON, frozen=True)


def user(sandbox: Sandbox, distinct_id: Any = "u1", **members: Any) -> dict[str, Any]:
    return {"$token": sandbox.projects[0].token, "$distinct_id": distinct_id, **_operators(members)}


def group(sandbox: Sandbox, **members: Any) -> dict[str, Any]:
    named = {"$group_key": "company", "$group_id": "acme"}
    return {"$token": sandbox.projects[0].token, **named, **_operators(members)}


def _operators(members: dict[str, Any]) -> dict[str, Any]:
    return {f"${name}": value for name, value in members.items()}


def send(sandbox: Sandbox, *updates: object, path: str = "/engage", **params: Any) -> Any:
    """The body of the answer, whose status is always 200."""
    reply = requests.post(sandbox.url + path, params=params, json=list(updates), timeout=10)
    assert reply.status_code == 200, reply.text
    return reply.json()


def properties(sandbox: Sandbox, distinct_id: str = "u1") -> dict[str, Any]:
    """Of a user, without `$last_seen`."""
    profile = sandbox.profiles().get(distinct_id)
    assert profile is not None
    return {name: value for name, value in profile.properties.items() if name != "$last_seen"}


@pytest.mark.parametrize(
    ("before", "operator", "value", "after"),
    [
        ({"a": 1}, "set", {"a": 2, "b": None}, {"a": 2, "b": None}),
        ({"a": 1}, "set_once", {"a": 2, "b": 3}, {"a": 1, "b": 3}),
        ({"a": 1.5}, "add", {"a": -2, "new": 4}, {"a": -0.5, "new": 4}),
        ({"a": "text"}, "add", {"a": 1}, {"a": "text"}),
        ({"a": [1]}, "append", {"a": 1, "new": {"x": 1}}, {"a": [1, 1], "new": [{"x": 1}]}),
        ({"a": ["x"]}, "union", {"a": ["x", "y", "y"], "new": [1]}, {"a": ["x", "y"], "new": [1]}),
        ({"a": [1, True, 1, 2]}, "remove", {"a": 1, "none": 1}, {"a": [True, 2]}),
        ({"a": 1, "b": 2}, "unset", ["a", "none"], {"b": 2}),
    ],
)
def test_each_operator_on_a_user(
    sandbox: Sandbox, before: dict[str, Any], operator: str, value: object, after: dict[str, Any]
) -> None:
    assert send(sandbox, user(sandbox, set=before)) == 1
    assert send(sandbox, user(sandbox, **{operator: value})) == 1
    assert properties(sandbox) == after


def test_delete_removes_the_profile_with_any_value(sandbox: Sandbox) -> None:
    send(sandbox, user(sandbox, set={"a": 1}), user(sandbox, "u2", set={"a": 1}))
    send(sandbox, user(sandbox, delete="ignored"))
    assert list(sandbox.profiles()) == ["u2"]


@pytest.mark.parametrize(
    ("operator", "value", "after"),
    [
        ("set", {"a": [2]}, {"a": [2]}),
        ("set_once", {"a": 2, "b": 3}, {"a": [1], "b": 3}),
        ("union", {"a": [1, 2]}, {"a": [1, 2]}),
        ("remove", {"a": 1}, {"a": []}),
        ("unset", ["a"], {}),
        ("delete", "", None),
    ],
)
def test_each_operator_on_a_group(sandbox: Sandbox, operator: str, value: object, after: dict[str, Any] | None) -> None:
    send(sandbox, group(sandbox, set={"a": [1]}), path="/groups")
    assert send(sandbox, group(sandbox, **{operator: value}), path="/groups") == 1
    profile = sandbox.group_profiles("company").get("acme")
    shown = {name: item for name, item in profile.properties.items() if name != "$last_seen"} if profile else None
    assert shown == after


@pytest.mark.parametrize("operator", ["add", "append"])
def test_groups_do_not_support_add_and_append(sandbox: Sandbox, operator: str) -> None:
    reply = send(sandbox, group(sandbox, **{operator: {"a": 1}}), path="/groups", verbose=1)
    assert reply["status"] == 0
    assert f"${operator}" in reply["error"]


@pytest.mark.parametrize(
    "change", [{"$distinct_id": "u1"}, {"$group_key": "team"}, {"$group_id": ""}, {"$group_key": None}]
)
def test_a_group_is_named_by_a_known_key_and_an_id_alone(sandbox: Sandbox, change: dict[str, Any]) -> None:
    assert send(sandbox, {**group(sandbox, set={"a": 1}), **change}, path="/groups") == 0
    assert sandbox.group_profiles("company") == {}


@pytest.mark.parametrize("form", ["base64", "raw"])
def test_a_form_with_data_is_accepted(sandbox: Sandbox, form: str) -> None:
    text = json.dumps(user(sandbox, set={"a": 1}))
    data = base64.b64encode(text.encode()).decode() if form == "base64" else text
    reply = requests.post(f"{sandbox.url}/engage", data={"data": data, "verbose": 1}, timeout=10)
    assert (reply.status_code, reply.json()) == (200, {"status": 1, "error": None})
    assert properties(sandbox) == {"a": 1}


def test_a_batch_applies_its_good_updates_in_order_and_answers_1(sandbox: Sandbox) -> None:
    batch = [user(sandbox, add={"n": 1}), {"$token": "t"}, user(sandbox, add={"n": 2})]
    assert send(sandbox, *batch) == 1
    assert properties(sandbox) == {"n": 3}


def test_strict_says_which_updates_were_bad(sandbox: Sandbox) -> None:
    reply = send(sandbox, user(sandbox, set={"a": 1}), user(sandbox, "u2", add={"a": "x"}), strict=1, verbose=1)
    assert (reply["status"], reply["num_good_events"]) == (0, 1)
    assert [(record["index"], record["field"]) for record in reply["failed_records"]] == [(1, "$add")]
    assert list(sandbox.profiles()) == ["u1"]


def test_strict_with_good_updates_is_the_documented_reply(sandbox: Sandbox) -> None:
    assert send(sandbox, user(sandbox, set={"a": 1}), strict=1, verbose=1) == {"status": 1, "error": None}


@pytest.mark.parametrize(
    "bad",
    [
        {"$distinct_id": "u1", "$set": {"a": 1}},
        {"$token": "t", "$set": {"a": 1}},
        {"$token": "t", "$distinct_id": "u1"},
        {"$token": "t", "$distinct_id": "u1", "$set": ["a"]},
        {"$token": "t", "$distinct_id": "u1", "$union": {"a": "x"}},
        {"$token": "t", "$distinct_id": "u1", "$union": {"a": [{}]}},
        {"$token": "t", "$distinct_id": "u1", "$unset": "a"},
        {"$token": "t", "$distinct_id": "u1", "$set": {"a": "x" * 1_100_000}},
        {"$token": "t", "$distinct_id": "u1", "$set": {"a": ["x" * 1000] * 300}},
        "text",
    ],
)
def test_a_bad_update_is_status_0_with_http_200(sandbox: Sandbox, bad: object) -> None:
    assert send(sandbox, bad) == 0
    reply = send(sandbox, bad, verbose=1)
    assert reply["status"] == 0
    assert reply["error"]


@pytest.mark.parametrize("body", [b"[", b"", b"[]"])
def test_a_body_without_updates_is_status_0_with_http_200(sandbox: Sandbox, body: bytes) -> None:
    reply = requests.post(f"{sandbox.url}/engage", data=body, headers={"Content-Type": "application/json"}, timeout=10)
    assert (reply.status_code, reply.text) == (200, "0")


def test_gzip_is_not_understood(sandbox: Sandbox) -> None:
    body = gzip.compress(json.dumps([user(sandbox, set={"a": 1})]).encode())
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    assert requests.post(f"{sandbox.url}/engage", data=body, headers=headers, timeout=10).text == "0"


def test_more_than_two_thousand_updates_are_rejected_together(sandbox: Sandbox) -> None:
    updates = [user(sandbox, f"u{number}", set={}) for number in range(2001)]
    assert send(sandbox, *updates) == 0
    assert sandbox.profiles() == {}
    assert send(sandbox, *updates[:2000]) == 1
    assert len(sandbox.profiles()) == 2000


def test_an_update_that_would_exceed_two_thousand_properties_fails(sandbox: Sandbox) -> None:
    send(sandbox, user(sandbox, set={f"p{number}": 1 for number in range(2000)}))
    send(sandbox, user(sandbox, set={"one more": 1}))
    assert len(properties(sandbox)) == 2000
    assert "one more" not in properties(sandbox)


def test_names_and_strings_are_cut_to_255_characters(sandbox: Sandbox) -> None:
    send(sandbox, user(sandbox, set={"n" * 300: "v" * 300}))
    assert properties(sandbox) == {"n" * 255: "v" * 255}


def test_an_unknown_token_counts_as_valid_and_changes_nothing(sandbox: Sandbox) -> None:
    assert send(sandbox, {"$token": "anonymous", "$distinct_id": "u1", "$set": {"a": 1}}) == 1
    assert sandbox.profiles() == {}


def test_last_seen_is_the_last_update_unless_ignore_time_says_otherwise(sandbox: Sandbox) -> None:
    send(sandbox, user(sandbox, set={"a": 1}))
    sandbox.clock.advance(timedelta(hours=1))
    send(sandbox, {**user(sandbox, set={"a": 2}), "$ignore_time": True})
    assert sandbox.profiles()["u1"].properties == {"a": 2, "$last_seen": "2024-03-01T12:00:00"}
    send(sandbox, user(sandbox, set={"a": 3}))
    assert sandbox.profiles()["u1"].properties["$last_seen"] == "2024-03-01T13:00:00"


def test_coordinates_are_accepted_outside_of_set(sandbox: Sandbox) -> None:
    send(sandbox, {**user(sandbox, set={}), "$latitude": 40.4, "$longitude": -3.7, "$ip": "0"})
    assert properties(sandbox) == {"$latitude": 40.4, "$longitude": -3.7}


def test_removing_creates_no_profile(sandbox: Sandbox) -> None:
    send(sandbox, user(sandbox, unset=["a"]), user(sandbox, remove={"a": 1}), user(sandbox, delete=None))
    assert sandbox.profiles() == {}
