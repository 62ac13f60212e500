"""Assigns users to the variants of a feature flag: the documented hash, rollouts in order.

Source: mixpanel-api.md#flag-evaluation.

The algorithm is that of Mixpanel's SDKs, so that a local evaluation of definitions gives the same variants.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from json_logic import jsonLogic  # type: ignore[import-untyped]

_FNV_OFFSET, _FNV_PRIME = 0xCBF29CE484222325, 0x100000001B3

Flag = Mapping[str, Any]
Context = Mapping[str, Any]


class Assignment(NamedTuple):
    """The variant of the ruleset, and whether it was chosen for a QA tester."""

    variant: Mapping[str, Any]
    is_qa_tester: bool


def assign(flag: Flag, context: Context, cohorts: Mapping[str, Sequence[str]]) -> Assignment | None:
    """The variant of `context`, or None outside all rollouts; `cohorts` are the ids by cohort hash."""
    variants = {variant["key"]: variant for variant in flag["ruleset"]["variants"]}
    tester = _tester_variant(flag, context, variants)
    if tester is not None:
        return Assignment(tester, True)
    value = _context_value(flag, context)
    if value is None:
        return None
    for number, rollout in enumerate(flag["ruleset"]["rollout"]):
        if _is_eligible(flag, rollout, number, value, context, cohorts):
            variant = _variant_of(flag, rollout, value, variants)
            return Assignment(variant, False) if variant else None
    return None


def normalized_hash(key: str, salt: str) -> float:
    """A hash of `key` and `salt` from 0.00 to 0.99."""
    return (fnv1a_64((key + salt).encode()) % 100) / 100


def fnv1a_64(data: bytes) -> int:
    value = _FNV_OFFSET
    for byte in data:
        value = ((value ^ byte) * _FNV_PRIME) & 0xFFFFFFFFFFFFFFFF
    return value


def _tester_variant(flag: Flag, context: Context, variants: Mapping[str, Any]) -> Mapping[str, Any] | None:
    users = (flag["ruleset"].get("test") or {}).get("users") or {}
    wanted = users.get(context["distinct_id"])
    return next((variant for key, variant in variants.items() if wanted and key.lower() == wanted.lower()), None)


def _context_value(flag: Flag, context: Context) -> str | None:
    """The value that the flag is assigned by; a missing device is replaced by the user."""
    name = flag["context"]
    value = context.get(name, context["distinct_id"] if name == "device_id" else None)
    return None if value is None else str(value)


def _is_eligible(  # noqa: PLR0917 - all are conditions
    flag: Flag,
    rollout: Mapping[str, Any],
    number: int,
    value: str,
    context: Context,
    cohorts: Mapping[str, Sequence[str]],
) -> bool:
    salt = f"{flag['key']}{flag['hash_salt']}{number}" if flag.get("hash_salt") else f"{flag['key']}rollout"
    if normalized_hash(value, salt) >= rollout["rollout_percentage"]:
        return False
    cohort = rollout.get("cohort_hash")
    if cohort and context["distinct_id"] not in cohorts.get(cohort, ()):
        return False
    if rollout.get("runtime_event_rule"):  # needs the events of a session, which requests don't have
        return False
    return _meets_rules(rollout, context)


def _meets_rules(rollout: Mapping[str, Any], context: Context) -> bool:
    """Strings are compared without case, in rules and in properties."""
    rule, definition = rollout.get("runtime_evaluation_rule"), rollout.get("runtime_evaluation_definition")
    if not rule and not definition:
        return True
    sent = context.get("custom_properties")
    if not sent:
        return False
    properties = {name.casefold(): _folded(value) for name, value in sent.items()}
    if rule:
        try:
            return bool(jsonLogic(_folded_rule(rule), properties))
        except (ValueError, TypeError, KeyError):  # no user meets a rule that cannot be evaluated
            return False
    return all(properties.get(name.casefold()) == _folded(value) for name, value in (definition or {}).items())


def _folded_rule(rule: Any) -> Any:
    if isinstance(rule, dict):
        return {operator: _folded_rule(operands) for operator, operands in rule.items()}
    return [_folded_rule(operand) for operand in rule] if isinstance(rule, list) else _folded(rule)


def _folded(value: Any) -> Any:
    if isinstance(value, str):
        return value.casefold()
    if isinstance(value, dict):
        return {name.casefold(): _folded(member) for name, member in value.items()}
    return [_folded(member) for member in value] if isinstance(value, list) else value


def _variant_of(
    flag: Flag, rollout: Mapping[str, Any], value: str, variants: Mapping[str, Any]
) -> Mapping[str, Any] | None:
    override = rollout.get("variant_override")
    if override:
        return variants.get(override["key"])
    drawn = normalized_hash(value, f"{flag['key']}{flag.get('hash_salt') or ''}variant")
    splits = rollout.get("variant_splits") or {}
    cumulative = 0.0
    for key in sorted(variants):
        cumulative += splits.get(key, variants[key]["split"])
        if drawn < cumulative:
            found: Mapping[str, Any] = variants[key]
            return found
    return None
