"""Local evaluation of feature flags. Source: mixpanel-api.md#flag-evaluation."""

from __future__ import annotations

from typing import Any

import pytest

from mixpanel_etl.client import (
    FeatureFlags,
    Flag,
    FlagRollout,
    FlagRuleSet,
    FlagTesters,
    FlagVariant,
    FlagVariantOverride,
)
from mixpanel_etl.client.feature_flags.assignment import assign, normalized_hash

A = FlagVariant(key="a", value=1, is_control=False, split=0.5)
B = FlagVariant(key="b", value=2, is_control=True, split=0.5)


def flag(*rollout: FlagRollout, **more: Any) -> Flag:
    rules = FlagRuleSet(variants=more.pop("variants", [B, A]), rollout=list(rollout), test=more.pop("test", None))
    return Flag(**{"id": "f", "key": "new_checkout_flow", "status": "enabled", "ruleset": rules, **more})


@pytest.mark.parametrize(
    ("key", "salt", "expected"),
    [
        ("user123", "new_checkout_flowrollout", 0.27),
        ("user123", "new_checkout_flowvariant", 0.59),
        ("u1", "dark_moderollout", 0.04),
    ],
)
def test_the_hash_is_mixpanels(key: str, salt: str, expected: float) -> None:
    assert normalized_hash(key, salt) == expected


@pytest.mark.parametrize(("percentage", "in_it"), [(0.27, False), (0.28, True)])
def test_a_rollout_has_those_whose_hash_is_below_its_percentage(percentage: float, in_it: bool) -> None:
    assert bool(assign(flag(FlagRollout(rollout_percentage=percentage)), {"distinct_id": "user123"})) is in_it


@pytest.mark.parametrize(
    ("splits", "key"), [({}, "b"), ({"a": 0.6}, "a"), ({"a": 0.59, "b": 0.41}, "b"), ({"a": 0.1, "b": 0.1}, "b")]
)
def test_variants_are_taken_in_the_order_of_their_keys(splits: dict[str, float], key: str) -> None:
    given = assign(flag(FlagRollout(rollout_percentage=1, variant_splits=splits)), {"distinct_id": "user123"})
    assert given
    assert given.variant_key == key


def test_a_salt_of_its_own_takes_the_rollouts_position_with_it() -> None:
    salt = "0123456789abcdef0123456789abcdef"
    share = normalized_hash("user123", f"new_checkout_flow{salt}1")
    rollouts = [FlagRollout(rollout_percentage=0), FlagRollout(rollout_percentage=share)]
    assert assign(flag(*rollouts, hash_salt=salt), {"distinct_id": "user123"}) is None
    rollouts[1] = FlagRollout(rollout_percentage=share + 0.01)
    assert assign(flag(*rollouts, hash_salt=salt), {"distinct_id": "user123"}) is not None


def test_a_tester_gets_their_variant_in_no_rollout_at_all() -> None:
    given = assign(flag(test=FlagTesters(users={"qa": "A"})), {"distinct_id": "qa"})
    assert given
    assert (given.variant_key, given.is_qa_tester) == ("a", True)


def test_an_override_wins_over_the_hash() -> None:
    given = assign(
        flag(FlagRollout(rollout_percentage=1, variant_override=FlagVariantOverride(key="a"))),
        {"distinct_id": "user123"},
    )
    assert given
    assert (given.variant_key, given.variant_value, given.is_qa_tester) == ("a", 1, False)


def test_without_the_value_that_tells_users_apart_there_is_no_variant() -> None:
    everybody = flag(FlagRollout(rollout_percentage=1), context="company")
    assert assign(everybody, {"distinct_id": "u1"}) is None
    assert assign(everybody, {"distinct_id": "u1", "company": "acme"}) is not None


def test_a_rollout_for_a_cohort_gives_no_one_a_variant_that_might_not_be_theirs() -> None:
    everybody, cohort = FlagRollout(rollout_percentage=1), FlagRollout(rollout_percentage=1, cohort_hash="abc")
    assert assign(flag(cohort), {"distinct_id": "u1"}) is None
    assert assign(flag(cohort, everybody), {"distinct_id": "u1"}) is not None


IS_PRO = {"==": [{"var": "plan"}, "Pro"]}


@pytest.mark.parametrize(
    ("rule", "properties", "in_it"),
    [
        (IS_PRO, {"PLAN": "pRO"}, True),
        (IS_PRO, {"plan": "free"}, False),
        (IS_PRO, {}, False),
        (IS_PRO, None, False),
        ({"and": [IS_PRO, {">": [{"var": "seats"}, 3]}]}, {"plan": "pro", "seats": 4}, True),
        ({"in": [{"var": "country"}, ["DE", "ES"]]}, {"country": "es"}, True),
        ({"no such operator": [1]}, {"plan": "pro"}, False),
        ({">": [{"var": "seats"}, 3]}, {"plan": "pro"}, False),
    ],
)
def test_a_rule_looks_at_custom_properties_without_their_case(
    rule: dict[str, Any], properties: dict[str, Any] | None, in_it: bool
) -> None:
    ruled = flag(FlagRollout(rollout_percentage=1, runtime_evaluation_rule=rule))
    assert bool(assign(ruled, {"distinct_id": "u1", "custom_properties": properties})) is in_it


@pytest.mark.parametrize(("properties", "in_it"), [({"Plan": "PRO", "x": 1}, True), ({"x": 1}, False)])
def test_the_older_definition_compares_values(properties: dict[str, Any], in_it: bool) -> None:
    ruled = flag(FlagRollout(rollout_percentage=1, runtime_evaluation_definition={"plan": "pro"}))
    assert bool(assign(ruled, {"distinct_id": "u1", "custom_properties": properties})) is in_it


def test_only_enabled_flags_are_evaluated_and_the_device_falls_back_to_the_user() -> None:
    everybody = FlagRollout(rollout_percentage=1)
    flags = [
        flag(everybody, key="on", context="device_id"),
        flag(everybody, key="off", status="disabled"),
        flag(FlagRollout(rollout_percentage=0), key="off"),
    ]
    assert set(FeatureFlags.evaluate_locally(flags, "u1")) == {"on"}
