"""Feature flags as Mixpanel defines them. Source: mixpanel-api.md#flag-evaluation, #flag-management."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from mixpanel_etl.client.operations.replies import Reply

FlagStatus = Literal["enabled", "disabled", "archived"]
ServingMethod = Literal["client", "server", "remote_or_local", "remote_only"]


class Variant(Reply, frozen=True, kw_only=True):
    """One of the values that a flag can have, and its share of the users from 0 to 1."""

    key: str
    value: Any
    is_control: bool
    split: int | float
    is_sticky: bool = False
    description: str | UnsetType | None = UNSET


class VariantOverride(Reply, frozen=True, kw_only=True):
    """The one variant of a rollout; `variant_splits` has replaced it."""

    key: str


class Rollout(Reply, frozen=True, kw_only=True):
    """Who gets the flag.

    Args:
        rollout_percentage: which share of them, from 0 to 1.
        variant_splits: shares of variants that differ from the variants' own.
        runtime_evaluation_rule: JsonLogic over the custom properties of the context.
        runtime_evaluation_definition: values of custom properties; the rule has replaced it.
        cohort_hash: of a cohort. Whether somebody is in it is known to Mixpanel only.
    """

    rollout_percentage: int | float
    variant_splits: dict[str, int | float] | None = msgspec.field(default_factory=dict)
    name: str | UnsetType | None = UNSET
    cohort_hash: str | UnsetType | None = UNSET
    cohort_definition: dict[str, Any] | UnsetType | None = UNSET
    runtime_evaluation_rule: dict[str, Any] | UnsetType | None = UNSET
    runtime_evaluation_definition: dict[str, Any] | UnsetType | None = UNSET
    runtime_event_rule: dict[str, Any] | UnsetType | None = UNSET
    variant_override: VariantOverride | UnsetType | None = UNSET


class Test(Reply, frozen=True, kw_only=True):
    """Testers: variants by distinct_id."""

    __test__ = False  # not one of pytest's

    users: dict[str, str] = msgspec.field(default_factory=dict)


class RuleSet(Reply, frozen=True, kw_only=True):
    """Variants, and who gets them."""

    variants: list[Variant]
    rollout: list[Rollout] = msgspec.field(default_factory=list)
    test: Test | UnsetType | None = UNSET


class NewFlag(Reply, frozen=True, kw_only=True):
    """A flag to create, or to put in the place of another.

    Args:
        key: what code calls it.
        context: what users are told apart by: distinct_id, device_id or a group key.
        serving_method: where it may be evaluated.
        hash_salt: exactly 32 characters; without it, all flags' shares fall on the same users.
    """

    name: str
    key: str
    context: str
    serving_method: ServingMethod
    ruleset: RuleSet
    tags: list[str] = msgspec.field(default_factory=list)
    status: FlagStatus = "disabled"
    description: str | UnsetType | None = UNSET
    experiment_id: str | UnsetType | None = UNSET
    is_experiment_active: bool | UnsetType | None = UNSET
    data_group_id: str | int | UnsetType | None = UNSET
    workspace_id: int | UnsetType | None = UNSET
    hash_salt: str | UnsetType | None = UNSET
    reset_hash_salt: bool | UnsetType | None = UNSET


class Flag(Reply, frozen=True, kw_only=True):
    """A flag as Mixpanel has it. Times are ISO 8601."""

    id: str
    key: str
    name: str | None = None
    context: str = "distinct_id"
    status: str | None = None
    project_id: int | None = None
    workspace_id: int | None = None
    ruleset: RuleSet
    serving_method: str | None = None
    tags: list[str] = msgspec.field(default_factory=list)
    description: str | None = None
    experiment_id: str | None = None
    is_experiment_active: bool | None = None
    hash_salt: str | None = None
    created: str | None = None
    modified: str | None = None
    enabled_at: str | None = None
    deleted: str | None = None


class Selected(Reply, frozen=True, kw_only=True):
    """The variant that somebody gets."""

    variant_key: str
    variant_value: Any
    experiment_id: str | None = None
    is_experiment_active: bool | None = None
    is_qa_tester: bool | None = None
