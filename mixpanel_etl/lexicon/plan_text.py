"""A plan as text that people read before they apply it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mixpanel_etl.lexicon.differences import Action, Change, EntityChange, Plan

_SIGNS: dict[Action, str] = {"create": "+", "update": "~", "delete": "-"}


def lines(plan: Plan, *, contacts: bool = True) -> Iterator[str]:
    """What a plan changes, a line at a time: the sign and the name of each entity, and below it what changes.

    .. code-block:: text

        ~ event 'Purchase'
            tags: core -> core, revenue
            property 'amount'
                type: number
        left alone, only in Mixpanel: event 'Sign Up'
        1 to update, 1 unchanged, 1 only in Mixpanel

    Args:
        plan: what is to be shown.
        contacts: whether e-mail addresses of those responsible may be shown, or only that they change.
    """
    for change in plan.changes:
        yield from _entity(change, contacts=contacts)
    if plan.left_alone:
        yield f"left alone, only in Mixpanel: {', '.join(f'{kind} {name!r}' for kind, name in plan.left_alone)}"
    if plan.truncated is not None:
        yield f"the whole dictionary, {plan.truncated} schemas, is deleted first"
    yield str(plan)


def _entity(entity: EntityChange, *, contacts: bool) -> Iterator[str]:
    yield f"{_SIGNS[entity.action]} {entity.kind} {entity.name!r}"
    told: str | None = None
    for change in entity.changes:  # those of a property stand together
        if change.property is not None and change.property != told:
            told = change.property
            yield f"    property {told!r}"
        values = _values(change) if contacts or change.attribute != "contacts" else "changed"
        yield f"{'    ' if change.property is None else '        '}{change.attribute}: {values}"


def _values(change: Change) -> str:
    if change.before is None:
        return _shown(change.after)
    return f"{_shown(change.before)} -> {'nothing' if change.after is None else _shown(change.after)}"


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(repr(item) if "," in item else _shown(item) for item in value)
    if value is True:
        return "true"
    # In quotes where the text alone would break the line or the arrow.
    text = str(value)
    return text if text.isprintable() and text == text.strip() and "->" not in text else repr(text)
