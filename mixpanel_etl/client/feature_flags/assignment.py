"""The variant of a user, computed locally and bit for bit as Mixpanel computes it.

Source: mixpanel-api.md#flag-evaluation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mixpanel_etl.client.feature_flags.definitions import Flag, FlagRollout, FlagVariant, SelectedVariant

_OFFSET, _PRIME, _MASK = 0xCBF29CE484222325, 0x100000001B3, 0xFFFFFFFFFFFFFFFF

Context = Mapping[str, Any]


def assign(flag: Flag, context: Context) -> SelectedVariant | None:
    """The variant of a flag, None when the context is in no rollout.

    Only Mixpanel knows the members of a cohort, and the earlier variants of users: a rollout for a cohort applies to no
    user here, where Mixpanel's own libraries apply it to every user.

    Args:
        flag: definition of the flag.
        context: `distinct_id`, `device_id`, group keys, and `custom_properties`, as `FeatureFlags.evaluate` takes them.
    """
    value = context.get(flag.context)
    if not value:
        return None
    tester = _tester(flag, context)
    if tester is not None:
        return _selected(flag, tester, is_qa_tester=True)
    for index, rollout in enumerate(flag.ruleset.rollout):
        salt = f"{flag.key}{flag.hash_salt}{index}" if flag.hash_salt is not None else flag.key + "rollout"
        if normalized_hash(str(value), salt) < rollout.rollout_percentage and _satisfied(rollout, context):
            return _of_rollout(flag, rollout, str(value))
    return None


def normalized_hash(key: str, salt: str) -> float:
    """A number from 0 to 0.99: 64-bit FNV-1a of key and salt."""
    digest = _OFFSET
    for byte in (key + salt).encode():
        digest = (digest ^ byte) * _PRIME & _MASK
    return digest % 100 / 100


def _tester(flag: Flag, context: Context) -> FlagVariant | None:
    users = flag.ruleset.test.users if flag.ruleset.test else {}
    return _variant(flag, users.get(str(context.get("distinct_id")), ""))


def _variant(flag: Flag, key: str) -> FlagVariant | None:
    return next((variant for variant in flag.ruleset.variants if variant.key.casefold() == key.casefold()), None)


def _of_rollout(flag: Flag, rollout: FlagRollout, value: str) -> SelectedVariant | None:
    forced = _variant(flag, rollout.variant_override.key) if rollout.variant_override else None
    if forced is not None:
        return _selected(flag, forced, is_qa_tester=False)
    share = normalized_hash(value, f"{flag.key}{flag.hash_salt or ''}variant")
    variants = sorted(flag.ruleset.variants, key=lambda variant: variant.key)
    cumulative = 0.0
    for variant in variants:
        cumulative += (rollout.variant_splits or {}).get(variant.key, variant.split)
        if share < cumulative:
            return _selected(flag, variant, is_qa_tester=False)
    # Splits that do not add up to 1 leave the rest to the last.
    return _selected(flag, variants[-1], is_qa_tester=False) if variants else None


def _selected(flag: Flag, variant: FlagVariant, *, is_qa_tester: bool) -> SelectedVariant:
    return SelectedVariant(
        variant_key=variant.key,
        variant_value=variant.value,
        experiment_id=flag.experiment_id,
        is_experiment_active=flag.is_experiment_active,
        is_qa_tester=is_qa_tester,
    )


def _satisfied(rollout: FlagRollout, context: Context) -> bool:
    if rollout.cohort_hash:
        return False
    rule, definition = rollout.runtime_evaluation_rule, rollout.runtime_evaluation_definition
    if not rule and not definition:
        return True
    properties = context.get("custom_properties")
    if not isinstance(properties, Mapping) or not properties:
        return False
    folded = _folded(dict(properties), keys=True)
    if rule:
        return _holds(_folded(rule, keys=False), folded)
    wanted = _folded(dict(definition or {}), keys=True)
    return all(name in folded and folded[name] == value for name, value in wanted.items())


def _holds(rule: Any, properties: Any) -> bool:
    from json_logic import jsonLogic  # type: ignore[import-untyped]  # few flags have rules

    try:
        return bool(jsonLogic(rule, properties))
    except (ValueError, TypeError, KeyError, IndexError, ZeroDivisionError):
        # A rule that fails applies to no user, here as in Mixpanel's own libraries.
        return False


def _folded(value: Any, *, keys: bool) -> Any:
    """Strings without their case; only the leaves of a rule, because its keys are operators."""
    if isinstance(value, str):
        return value.casefold()
    if isinstance(value, Mapping):
        return {(name.casefold() if keys else name): _folded(member, keys=keys) for name, member in value.items()}
    return [_folded(member, keys=keys) for member in value] if isinstance(value, list | tuple) else value
