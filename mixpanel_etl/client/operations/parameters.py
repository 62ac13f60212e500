"""Checks of parameters that several APIs share, before anything is sent. Each says what to give instead."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from enum import Enum

from mixpanel_etl.client.errors import InvalidRequest
from mixpanel_etl.client.http.encoding import json_string
from mixpanel_etl.quoting import described

#: A calendar day: a date, or a string like `2026-01-31`.
Day = date | str


def given(**values: str | None) -> dict[str, str]:
    """The parameters that have a value."""
    return {name: value for name, value in values.items() if value is not None}


def window(from_date: Day, to_date: Day) -> dict[str, str]:
    """`from_date` and `to_date`, both included, the way all of Mixpanel's APIs take them."""
    first, last = day("from_date", from_date), day("to_date", to_date)
    if first > last:
        raise InvalidRequest(f"from_date {first} is after to_date {last}", advice="Swap them: both days are included.")
    return {"from_date": first.isoformat(), "to_date": last.isoformat()}


def day(name: str, value: Day) -> date:
    """A date, also one that was given as a string."""
    try:
        found = date.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        found = None
    # A datetime is a date to isinstance, and would be sent with its time of day.
    if not isinstance(found, date) or isinstance(found, datetime):
        raise InvalidRequest(
            f"{name} is {value!r}, a {type(value).__name__}",
            advice="Give a datetime.date, or a string like '2026-01-31'.",
        )
    return found


def aware(name: str, value: datetime) -> datetime:
    """A timestamp with a time zone."""
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise InvalidRequest(f"{name} is {value!r}", advice="Give a datetime with a time zone, such as tzinfo=UTC.")
    return value


def event_names(names: Sequence[str]) -> str:
    """A JSON array of event names, which is what a parameter of type `string[]` is on the wire."""
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise InvalidRequest(f"events is {described(names)}", advice="Give a list of event names.")
    if not names or not all(names):
        raise InvalidRequest("events is empty, or has an empty name", advice="Give at least one, and only names.")
    return json_string(list(names))


def string(name: str, value: str, *, maximum: int | None = None) -> str:
    """A string that is not empty, of at most `maximum` characters."""
    if not isinstance(value, str) or not value.strip():
        raise InvalidRequest(f"{name} is {described(value)}", advice="Give a string that is not empty.")
    if maximum is not None and len(value) > maximum:
        raise InvalidRequest(f"{name} has {len(value)} characters, the limit is {maximum}", advice="Shorten it.")
    return value


def strings(name: str, values: Sequence[str], *, maximum: int | None = None) -> list[str]:
    """At least one string, none of them empty, at most `maximum`."""
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise InvalidRequest(f"{name} is {described(values)}", advice="Give a list of strings.")
    for position, value in enumerate(values):
        if not isinstance(value, str) or not value:
            raise InvalidRequest(f"{name}[{position}] is {described(value)}", advice="Give a string that is not empty.")
    not_empty(name, values)
    if maximum is not None and len(values) > maximum:
        raise InvalidRequest(
            f"{name} has {len(values):,} items, the limit of one request is {maximum:,}",
            advice=f"Send the rest, from item {maximum} on, in further requests.",
        )
    return list(values)


def not_empty(name: str, values: object) -> None:
    """At least one item."""
    if not values:
        raise InvalidRequest(f"{name} is empty", advice="Give at least one.")


def integer(name: str, value: int, *, minimum: int = 1, maximum: int | None = None) -> int:
    """An integer within bounds."""
    if (
        not isinstance(value, int)
        or isinstance(value, bool)
        or value < minimum
        or (maximum is not None and value > maximum)
    ):
        bounds = f"from {minimum} to {maximum}" if maximum is not None else f"of at least {minimum}"
        raise InvalidRequest(f"{name} is {value!r}", advice=f"Give an integer {bounds}.")
    return value


def integers(name: str, values: Sequence[int]) -> list[int]:
    """Integers of at least 1."""
    return [integer(f"{name}[{position}]", value) for position, value in enumerate(values)]


def choice(name: str, value: object, allowed: Iterable[str]) -> str:
    """One of the allowed strings. An enum's member counts as its value."""
    plain = value.value if isinstance(value, Enum) else value
    choices = list(allowed)
    if plain not in choices:
        raise InvalidRequest(f"{name} is {plain!r}", advice=f"Give one of {', '.join(choices)}.")
    return str(plain)


def expression(name: str, value: str) -> str:
    """A segmentation expression, such as `properties["plan"] == "pro"`."""
    if not isinstance(value, str) or not value.strip():
        raise InvalidRequest(f"{name} is {described(value)}", advice="Give a segmentation expression, or leave it out.")
    from mixpanel_etl.expressions import ExpressionError, parse  # with its grammar, which most requests do without

    try:
        parse(value)
    except ExpressionError as error:
        reason = f"{name} is not a segmentation expression: {error}"
    else:
        return value
    raise InvalidRequest(reason, advice="Correct it where the mark is.")
