"""Experiments over HTTP: their life from draft to decision."""

from typing import Any

import pytest

from mixpanel_etl.sandbox import Sandbox

from ..app_api import NOON, PROJECT, api_call, error_text, reset_with_role, results_of

WORKSPACE = 10_012_345
EXPERIMENTS = f"/api/app/workspaces/{WORKSPACE}/experiments"


@pytest.fixture(autouse=True)
def _frozen(sandbox: Sandbox) -> None:
    sandbox.clock.set(NOON, frozen=True)


def create(sandbox: Sandbox, **fields: Any) -> dict[str, Any]:
    created: dict[str, Any] = results_of(api_call(sandbox, "POST", EXPERIMENTS, {"name": "Checkout", **fields}), 201)
    return created


def act(sandbox: Sandbox, method: str, experiment: dict[str, Any], action: str = "", body: object = None) -> Any:
    return api_call(sandbox, method, f"{EXPERIMENTS}/{experiment['id']}{action}", body)


def test_a_created_experiment_is_a_draft_and_read_back(sandbox: Sandbox) -> None:
    experiment = create(sandbox, hypothesis="more sales", variants=[{"key": "control"}])
    assert (experiment["status"], experiment["created"]) == ("draft", "2024-03-01T12:00:00Z")
    assert (experiment["exposures_cache"], experiment["results_cache"]) == ({}, {})
    assert results_of(act(sandbox, "GET", experiment)) == experiment
    assert results_of(api_call(sandbox, "GET", EXPERIMENTS)) == [experiment]


def test_it_is_launched_concluded_and_decided(sandbox: Sandbox) -> None:
    experiment = create(sandbox)
    launched = results_of(act(sandbox, "PUT", experiment, "/launch"))
    assert (launched["status"], launched["start_date"]) == ("active", "2024-03-01T12:00:00Z")
    concluded = results_of(act(sandbox, "PUT", experiment, "/force_conclude", {"end_date": "2024-03-02T00:00:00Z"}))
    assert (concluded["status"], concluded["end_date"]) == ("concluded", "2024-03-02T00:00:00Z")
    decided = results_of(act(sandbox, "PATCH", experiment, "/decide", {"success": True, "variant": "treatment"}))
    assert (decided["status"], decided["results_cache"]["decision"]["variant"]) == ("success", "treatment")


def test_a_decision_against_it_is_fail(sandbox: Sandbox) -> None:
    experiment = create(sandbox)
    act(sandbox, "PUT", experiment, "/launch")
    assert results_of(act(sandbox, "PATCH", experiment, "/decide", {"success": False}))["status"] == "fail"


@pytest.mark.parametrize(
    ("method", "action", "body"),
    [("PUT", "/force_conclude", {}), ("PATCH", "/decide", {"success": True})],
)
def test_a_draft_can_be_neither_concluded_nor_decided(sandbox: Sandbox, method: str, action: str, body: object) -> None:
    assert "draft" in error_text(act(sandbox, method, create(sandbox), action, body), 400)


def test_it_is_launched_once(sandbox: Sandbox) -> None:
    experiment = create(sandbox)
    act(sandbox, "PUT", experiment, "/launch")
    error_text(act(sandbox, "PUT", experiment, "/launch"), 400)


def test_patch_changes_what_it_names(sandbox: Sandbox) -> None:
    experiment = create(sandbox, description="first")
    changed = results_of(act(sandbox, "PATCH", experiment, body={"name": "Second", "tags": ["a"]}))
    assert (changed["name"], changed["tags"], changed["description"]) == ("Second", ["a"], "first")


def test_an_archived_experiment_is_not_listed_until_it_is_unarchived(sandbox: Sandbox) -> None:
    experiment = create(sandbox)
    results_of(act(sandbox, "POST", experiment, "/archive"))
    assert results_of(api_call(sandbox, "GET", EXPERIMENTS)) == []
    assert results_of(act(sandbox, "GET", experiment))["deleted"] == "2024-03-01T12:00:00Z"
    assert results_of(act(sandbox, "DELETE", experiment, "/archive"))["deleted"] is None
    assert len(results_of(api_call(sandbox, "GET", EXPERIMENTS))) == 1


def test_a_deleted_experiment_is_gone(sandbox: Sandbox) -> None:
    experiment = create(sandbox)
    assert results_of(act(sandbox, "DELETE", experiment)) == {"id": experiment["id"]}
    error_text(act(sandbox, "GET", experiment), 404)


def test_it_shows_the_flag_that_names_it(sandbox: Sandbox) -> None:
    experiment = create(sandbox)
    assert experiment["feature_flag"] is None
    flag = {
        "name": "F",
        "key": "f",
        "tags": [],
        "context": "distinct_id",
        "serving_method": "client",
        "experiment_id": experiment["id"],
        "is_experiment_active": True,
        "ruleset": {"variants": [], "rollout": []},
    }
    results_of(api_call(sandbox, "POST", f"{PROJECT}/workspaces/{WORKSPACE}/feature-flags", flag))
    assert results_of(act(sandbox, "GET", experiment))["feature_flag"]["key"] == "f"


@pytest.mark.parametrize("body", [{}, {"name": ""}, {"name": "x" * 256}, {"name": "x", "description": "y" * 401}])
def test_a_bad_experiment_is_400(sandbox: Sandbox, body: object) -> None:
    reply = api_call(sandbox, "POST", EXPERIMENTS, body)
    assert error_text(reply, 400)
    assert reply.json()["type"]


def test_a_consumer_may_read_but_not_write(sandbox: Sandbox) -> None:
    reset_with_role(sandbox, "consumer")
    assert results_of(api_call(sandbox, "GET", EXPERIMENTS)) == []
    error_text(api_call(sandbox, "POST", EXPERIMENTS, {"name": "x"}), 403)


def test_wrong_credentials_are_401_and_another_workspace_403(sandbox: Sandbox) -> None:
    error_text(api_call(sandbox, "GET", EXPERIMENTS, auth=("sandbox.sa", "wrong")), 401)
    error_text(api_call(sandbox, "GET", "/api/app/workspaces/1/experiments"), 403)
