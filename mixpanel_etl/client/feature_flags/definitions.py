"""Feature flags as Mixpanel defines them. Source: mixpanel-api.md#flag-evaluation, #flag-management."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from mixpanel_etl.client.operations.replies import Reply

FlagStatus = Literal["enabled", "disabled", "archived"]
ServingMethod = Literal["client", "server", "remote_or_local", "remote_only"]


class FlagVariant(Reply, frozen=True, kw_only=True):
    """A value of a flag, with its share of the users from 0 to 1."""

    key: str
    value: Any
    is_control: bool
    split: int | float
    is_sticky: bool = False
    description: str | UnsetType | None = UNSET


class FlagVariantOverride(Reply, frozen=True, kw_only=True):
    """The only variant of a rollout; replaced by `variant_splits`."""

    key: str


class FlagRollout(Reply, frozen=True, kw_only=True):
    """A group of users that gets the flag.

    Args:
        rollout_percentage: share of the group that gets the flag, from 0 to 1.
        variant_splits: shares by variant, where they differ from the variants' own.
        runtime_evaluation_rule: JsonLogic over the custom properties of the context.
        runtime_evaluation_definition: values of custom properties; replaced by the rule.
        cohort_hash: hash of a cohort. Only Mixpanel knows its members.
    """

    rollout_percentage: int | float
    variant_splits: dict[str, int | float] | None = msgspec.field(default_factory=dict)
    name: str | UnsetType | None = UNSET
    cohort_hash: str | UnsetType | None = UNSET
    cohort_definition: dict[str, Any] | UnsetType | None = UNSET
    runtime_evaluation_rule: dict[str, Any] | UnsetType | None = UNSET
    runtime_evaluation_definition: dict[str, Any] | UnsetType | None = UNSET
    runtime_event_rule: dict[str, Any] | UnsetType | None = UNSET
    variant_override: FlagVariantOverride | UnsetType | None = UNSET


class FlagTesters(Reply, frozen=True, kw_only=True):
    """Testers: variants by distinct_id."""

    __test__ = False  # not a pytest class

    users: dict[str, str] = msgspec.field(default_factory=dict)


class FlagRuleSet(Reply, frozen=True, kw_only=True):
    """Variants and rollouts of a flag."""

    variants: list[FlagVariant]
    rollout: list[FlagRollout] = msgspec.field(default_factory=list)
    test: FlagTesters | UnsetType | None = UNSET


class NewFlag(Reply, frozen=True, kw_only=True):
    """A flag to create, or the new definition of a flag.

    Args:
        key: name of the flag in code.
        context: what identifies users: distinct_id, device_id or a group key.
        serving_method: where the flag may be evaluated.
        hash_salt: exactly 32 characters; without it, the shares of all flags fall on the same users.
    """

    name: str
    key: str
    context: str
    serving_method: ServingMethod
    ruleset: FlagRuleSet
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
    """A flag in Mixpanel. Times are ISO 8601."""

    id: str
    key: str
    name: str | None = None
    context: str = "distinct_id"
    status: str | None = None
    project_id: int | None = None
    workspace_id: int | None = None
    ruleset: FlagRuleSet
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


class SelectedVariant(Reply, frozen=True, kw_only=True):
    """The variant of a user."""

    variant_key: str
    variant_value: Any
    experiment_id: str | None = None
    is_experiment_active: bool | None = None
    is_qa_tester: bool | None = None
