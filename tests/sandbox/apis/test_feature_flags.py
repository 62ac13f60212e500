"""Feature flags: the documented hash, evaluation, definitions, management."""

import json
import uuid
from datetime import timedelta
from typing import Any

import pytest
import requests

from mixpanel_etl.sandbox import Project, Sandbox
from mixpanel_etl.sandbox.apis.feature_flags.assignment import fnv1a_64, normalized_hash

from ..app_api import NOON, PROJECT, api_call, error_text, reset_with_role, results_of

WORKSPACE = 10_012_345
FLAGS = f"{PROJECT}/workspaces/{WORKSPACE}/feature-flags"
HALVES = [
    {"key": "control", "value": False, "is_control": True, "split": 0.5},
    {"key": "treatment", "value": True, "is_control": False, "split": 0.5},
]


@pytest.fixture(autouse=True)
def _frozen(sandbox: Sandbox) -> None:
    sandbox.clock.set(NOON, frozen=True)


def body(key: str = "new_checkout_flow", **fields: Any) -> dict[str, Any]:
    """A flag that everybody has a part in; `rollout` and `test` go into the ruleset."""
    rollout = fields.pop("rollout", [{"rollout_percentage": 1.0, "variant_splits": {}}])
    ruleset = {"variants": fields.pop("variants", HALVES), "rollout": rollout}
    if "test" in fields:
        ruleset["test"] = {"users": fields.pop("test")}
    return {
        "name": key,
        "key": key,
        "tags": [],
        "context": "distinct_id",
        "serving_method": "client",
        "status": "enabled",
        "ruleset": ruleset,
        **fields,
    }


def make(sandbox: Sandbox, key: str = "new_checkout_flow", **fields: Any) -> dict[str, Any]:
    created: dict[str, Any] = results_of(api_call(sandbox, "POST", FLAGS, body(key, **fields)))
    return created


def evaluate(sandbox: Sandbox, distinct_id: str = "user123", **context: Any) -> dict[str, Any]:
    reply = request_flags(sandbox, {"distinct_id": distinct_id, **context})
    assert reply.status_code == 200, reply.text
    selected: dict[str, Any] = reply.json()["flags"]
    return selected


def request_flags(sandbox: Sandbox, context: object, **options: Any) -> requests.Response:
    text = context if isinstance(context, str) else json.dumps(context)
    params = {"token": sandbox.projects[0].token, "context": text}
    return api_call(sandbox, "GET", "/flags", **{"params": params, "auth": (sandbox.projects[0].secret, ""), **options})


def part(sandbox: Sandbox, key: str = "new_checkout_flow", **context: Any) -> bool:
    return key in evaluate(sandbox, **context)


def rolled_out(percentage: float = 1.0, **rule: Any) -> list[dict[str, Any]]:
    return [{"rollout_percentage": percentage, "variant_splits": {}, **rule}]


def test_the_hash_gives_the_published_values() -> None:
    assert fnv1a_64(b"user123new_checkout_flowrollout") == 0xF345E173DB4FF313
    assert fnv1a_64(b"user123new_checkout_flowvariant") == 0xB0A91A7B310938E7
    assert normalized_hash("user123", "new_checkout_flow" + "rollout") == 0.27
    assert normalized_hash("user123", "new_checkout_flow" + "variant") == 0.59
    assert normalized_hash("u1", "dark_mode" + "rollout") == 0.04


def test_an_evaluation_is_the_documented_reply(sandbox: Sandbox) -> None:
    experiment = str(uuid.UUID(int=7, version=4))
    make(sandbox, experiment_id=experiment, is_experiment_active=True)
    assert evaluate(sandbox) == {
        "new_checkout_flow": {
            "variant_key": "treatment",
            "variant_value": True,
            "experiment_id": experiment,
            "is_experiment_active": True,
            "is_qa_tester": False,
        }
    }


@pytest.mark.parametrize(("percentage", "has_part"), [(0.27, False), (0.28, True), (0.0, False)])
def test_a_rollout_applies_to_hashes_below_its_percentage(sandbox: Sandbox, percentage: float, has_part: bool) -> None:
    make(sandbox, rollout=rolled_out(percentage))
    assert part(sandbox) is has_part


@pytest.mark.parametrize(("splits", "variant"), [({"a": 0.59, "b": 0.41}, "b"), ({"b": 0.4, "a": 0.6}, "a")])
def test_the_variant_is_the_first_by_name_whose_cumulative_split_exceeds_the_hash(
    sandbox: Sandbox, splits: dict[str, float], variant: str
) -> None:
    variants = [{"key": key, "value": key, "is_control": False, "split": split} for key, split in splits.items()]
    make(sandbox, variants=variants)
    assert evaluate(sandbox)["new_checkout_flow"]["variant_key"] == variant


def test_the_splits_of_a_rollout_go_before_those_of_the_variants(sandbox: Sandbox) -> None:
    splits = {"control": 1.0, "treatment": 0.0}
    make(sandbox, rollout=[{"rollout_percentage": 1.0, "variant_splits": splits}])
    assert evaluate(sandbox)["new_checkout_flow"]["variant_key"] == "control"


def test_a_variant_override_decides(sandbox: Sandbox) -> None:
    make(sandbox, rollout=rolled_out(variant_override={"key": "control"}))
    assert evaluate(sandbox)["new_checkout_flow"]["variant_key"] == "control"


@pytest.mark.parametrize(("more", "has_part"), [(0.0, False), (0.01, True)])
def test_with_a_salt_each_rollout_is_drawn_for_itself(sandbox: Sandbox, more: float, has_part: bool) -> None:
    salt = "0123456789abcdef0123456789abcdef"
    first, second = (normalized_hash("user123", f"new_checkout_flow{salt}{number}") for number in range(2))
    make(sandbox, hash_salt=salt, rollout=rolled_out(first) + rolled_out(second + more))
    assert part(sandbox) is has_part


def test_with_a_salt_the_variant_is_drawn_with_it(sandbox: Sandbox) -> None:
    salt = "f" * 32
    drawn = normalized_hash("user123", f"new_checkout_flow{salt}variant")
    splits = {"control": drawn, "treatment": 1 - drawn}
    make(sandbox, hash_salt=salt, rollout=[{"rollout_percentage": 1.0, "variant_splits": splits}])
    assert evaluate(sandbox)["new_checkout_flow"]["variant_key"] == "treatment"


def test_a_qa_tester_gets_the_chosen_variant_ignoring_case(sandbox: Sandbox) -> None:
    make(sandbox, rollout=rolled_out(0.0), test={"qa": "Treatment"})
    assert evaluate(sandbox, "qa")["new_checkout_flow"]["is_qa_tester"] is True
    assert evaluate(sandbox, "qa")["new_checkout_flow"]["variant_key"] == "treatment"
    assert evaluate(sandbox, "other") == {}


def test_a_rule_is_met_without_regard_to_case(sandbox: Sandbox) -> None:
    make(sandbox, rollout=rolled_out(runtime_evaluation_rule={"==": [{"var": "Plan"}, "PRO"]}))
    assert part(sandbox, custom_properties={"plan": "Pro"})
    assert not part(sandbox, custom_properties={"plan": "free"})
    assert not part(sandbox, custom_properties={})
    assert not part(sandbox)


def test_the_deprecated_definition_compares_every_pair(sandbox: Sandbox) -> None:
    make(sandbox, rollout=rolled_out(runtime_evaluation_definition={"platform": "web", "country": "US"}))
    assert part(sandbox, custom_properties={"platform": "Web", "country": "us"})
    assert not part(sandbox, custom_properties={"platform": "web"})


def test_a_cohort_has_the_members_that_the_project_declares(sandbox: Sandbox) -> None:
    sandbox.reset([Project(enforce_budgets=False, flag_cohorts={"beta": ["user123"]})])
    make(sandbox, rollout=rolled_out(cohort_hash="beta"))
    assert part(sandbox)
    assert not part(sandbox, distinct_id="other")


def test_what_the_flag_is_assigned_by_must_be_in_the_context(sandbox: Sandbox) -> None:
    make(sandbox, context="company")
    assert not part(sandbox)
    assert part(sandbox, company="acme")


def test_the_device_is_the_user_where_none_is_given(sandbox: Sandbox) -> None:
    make(sandbox, context="device_id", rollout=rolled_out(0.28))
    assert part(sandbox)
    assert not part(sandbox, device_id="another device")


def test_a_sticky_variant_stays_when_the_splits_change(sandbox: Sandbox) -> None:
    sticky = [HALVES[0], {**HALVES[1], "is_sticky": True}]
    flag = make(sandbox, variants=sticky)
    assert evaluate(sandbox)["new_checkout_flow"]["variant_key"] == "treatment"
    splits = [{"rollout_percentage": 1.0, "variant_splits": {"control": 1.0, "treatment": 0.0}}]
    results_of(api_call(sandbox, "PUT", f"{FLAGS}/{flag['id']}", body(variants=sticky, rollout=splits)))
    assert evaluate(sandbox)["new_checkout_flow"]["variant_key"] == "treatment"
    assert evaluate(sandbox, "new user")["new_checkout_flow"]["variant_key"] == "control"


def test_only_enabled_flags_are_evaluated_and_defined(sandbox: Sandbox) -> None:
    make(sandbox, "off", status="disabled")
    gone = make(sandbox, "gone")
    results_of(api_call(sandbox, "DELETE", f"{FLAGS}/{gone['id']}"))
    make(sandbox, "on")
    assert list(evaluate(sandbox)) == ["on"]
    assert [flag["key"] for flag in definitions(sandbox)] == ["on"]


def definitions(sandbox: Sandbox) -> list[dict[str, Any]]:
    reply = api_call(sandbox, "GET", "/flags/definitions", params={"project_id": 12345})
    assert reply.status_code == 200
    flags: list[dict[str, Any]] = reply.json()["flags"]
    return flags


def test_a_definition_has_the_members_for_local_evaluation(sandbox: Sandbox) -> None:
    salt = "0123456789abcdef0123456789abcdef"
    flag = make(sandbox, hash_salt=salt)
    (definition,) = definitions(sandbox)
    # A variant's description is known to the management API only.
    for variant in flag["ruleset"]["variants"]:
        del variant["description"]
    assert definition == {
        **{name: flag[name] for name in ("id", "name", "key", "status", "context", "ruleset")},
        "project_id": 12345,
        "workspace_id": WORKSPACE,
        "hash_salt": salt,
    }


def test_a_free_plan_evaluates_its_fifty_oldest_flags(sandbox: Sandbox) -> None:
    sandbox.reset([Project(enforce_budgets=False, plan="free")])
    sandbox.clock.set(NOON, frozen=True)
    for number in range(51):
        make(sandbox, f"flag{number}")
        sandbox.clock.advance(timedelta(seconds=1))
    assert list(evaluate(sandbox)) == [f"flag{number}" for number in range(50)]


@pytest.mark.parametrize(
    "context", ["", "{", "[]", {}, {"distinct_id": ""}, {"distinct_id": "u", "custom_properties": 1}]
)
def test_a_bad_context_is_400(sandbox: Sandbox, context: object) -> None:
    error_text(request_flags(sandbox, context), 400)


def test_flags_take_secret_service_account_and_the_sdks_token(sandbox: Sandbox) -> None:
    project, context = sandbox.projects[0], {"distinct_id": "u"}
    params = {"context": json.dumps(context), "project_id": 12345}
    assert request_flags(sandbox, context, auth=(project.token, "")).status_code == 200
    assert request_flags(sandbox, context, auth=tuple(project.account[:2]), params=params).status_code == 200
    error_text(request_flags(sandbox, context, auth=("wrong", "")), 401)
    error_text(request_flags(sandbox, context, params={**params, "token": "another"}), 403)


def test_a_created_flag_is_read_back_and_disabled_by_default(sandbox: Sandbox) -> None:
    sent = body()
    del sent["status"]
    created = results_of(api_call(sandbox, "POST", FLAGS, sent))
    assert (created["status"], created["content_type"], created["created"]) == (
        "disabled",
        "feature-flags",
        "2024-03-01T12:00:00Z",
    )
    assert uuid.UUID(created["id"]).version == 4
    assert results_of(api_call(sandbox, "GET", f"{FLAGS}/{created['id']}")) == created


def test_put_replaces_the_whole_flag(sandbox: Sandbox) -> None:
    flag = make(sandbox, description="first", tags=["a"])
    replaced = results_of(api_call(sandbox, "PUT", f"{FLAGS}/{flag['id']}", body(name="second")))
    assert (replaced["name"], replaced["description"], replaced["tags"]) == ("second", None, [])
    assert (replaced["id"], replaced["created"]) == (flag["id"], flag["created"])


def test_an_archived_flag_is_listed_on_request(sandbox: Sandbox) -> None:
    flag = make(sandbox)
    results_of(api_call(sandbox, "DELETE", f"{FLAGS}/{flag['id']}"))
    assert results_of(api_call(sandbox, "GET", FLAGS)) == []
    (archived,) = results_of(api_call(sandbox, "GET", FLAGS, params={"include_archived": "true"}))
    assert (archived["status"], archived["deleted"]) == ("archived", "2024-03-01T12:00:00Z")


def test_the_assignment_key_cannot_change_once_enabled(sandbox: Sandbox) -> None:
    flag = make(sandbox)
    error_text(api_call(sandbox, "PUT", f"{FLAGS}/{flag['id']}", body(context="device_id")), 400)


def test_resetting_the_salt_gives_a_new_one(sandbox: Sandbox) -> None:
    flag = make(sandbox)
    assert flag["hash_salt"] is None
    replaced = results_of(api_call(sandbox, "PUT", f"{FLAGS}/{flag['id']}", body(reset_hash_salt=True)))
    assert len(replaced["hash_salt"]) == 32


@pytest.mark.parametrize(
    "change",
    [
        {"extra": 1},
        {"serving_method": "anywhere"},
        {"hash_salt": "short"},
        {"rollout": [{"rollout_percentage": 1.5, "variant_splits": {}}]},
        {"rollout": [{"rollout_percentage": 1.0}]},
        {"variants": [{**HALVES[0], "key": f"v{number}"} for number in range(12)]},
        {"variants": [HALVES[0], {**HALVES[1], "value": "text"}]},
        {"name": ""},
    ],
)
def test_a_bad_flag_is_400(sandbox: Sandbox, change: dict[str, Any]) -> None:
    reply = api_call(sandbox, "POST", FLAGS, body(**change))
    assert error_text(reply, 400)
    assert reply.json()["type"]


def test_two_flags_cannot_have_the_same_key(sandbox: Sandbox) -> None:
    make(sandbox)
    error_text(api_call(sandbox, "POST", FLAGS, body()), 400)


def test_a_consumer_may_read_but_not_write(sandbox: Sandbox) -> None:
    reset_with_role(sandbox, "consumer")
    assert results_of(api_call(sandbox, "GET", FLAGS)) == []
    error_text(api_call(sandbox, "POST", FLAGS, body()), 403)


def test_wrong_credentials_workspaces_and_ids_are_rejected(sandbox: Sandbox) -> None:
    error_text(api_call(sandbox, "GET", FLAGS, auth=("sandbox.sa", "wrong")), 401)
    error_text(api_call(sandbox, "GET", f"{PROJECT}/workspaces/1/feature-flags"), 403)
    error_text(api_call(sandbox, "GET", f"{FLAGS}/none"), 404)
