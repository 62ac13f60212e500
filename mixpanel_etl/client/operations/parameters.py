"""Checks of parameters that several APIs share, before anything is sent. Each says what to give instead."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from enum import Enum

from mixpanel_etl.client.errors import InvalidRequest
from mixpanel_etl.client.http.encoding import as_text
from mixpanel_etl.quoting import described

#: A calendar day: a date, or a string like `2026-01-31`.
Day = date | str


def given(**values: str | None) -> dict[str, str]:
    """The parameters that have a value."""
    return {name: value for name, value in values.items() if value is not None}


def window(from_date: Day, to_date: Day, endpoint: str) -> dict[str, str]:
    """`from_date` and `to_date`, both included, the way all of Mixpanel's APIs take them."""
    first, last = day("from_date", from_date, endpoint), day("to_date", to_date, endpoint)
    if first > last:
        raise InvalidRequest(
            f"from_date {first} is after to_date {last}",
            endpoint=endpoint,
            advice="Swap them: both days are included.",
        )
    return {"from_date": first.isoformat(), "to_date": last.isoformat()}


def day(name: str, value: Day, endpoint: str) -> date:
    """A date, also one that was given as a string."""
    try:
        found = date.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        found = None
    # A datetime is a date to isinstance, and would be sent with its time of day.
    if not isinstance(found, date) or isinstance(found, datetime):
        raise InvalidRequest(
            f"{name} is {value!r}, a {type(value).__name__}",
            endpoint=endpoint,
            advice="Give a datetime.date, or a string like '2026-01-31'.",
        )
    return found


def aware(name: str, value: datetime, endpoint: str) -> datetime:
    """A moment, which has a time zone."""
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise InvalidRequest(
            f"{name} is {value!r}", endpoint=endpoint, advice="Give a datetime with a time zone, such as tzinfo=UTC."
        )
    return value


def event_names(names: Sequence[str], endpoint: str) -> str:
    """A JSON array of event names, which is what a parameter of type `string[]` is on the wire."""
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise InvalidRequest(f"events is {described(names)}", endpoint=endpoint, advice="Give a list of event names.")
    if not names or not all(names):
        raise InvalidRequest(
            "events has no name, or an empty one", endpoint=endpoint, advice="Give at least one, and only names."
        )
    return as_text(list(names))


def texts(name: str, values: Sequence[str], endpoint: str, *, most: int | None = None) -> list[str]:
    """At least one text, none of them empty, at most so many."""
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise InvalidRequest(f"{name} is {described(values)}", endpoint=endpoint, advice="Give a list of texts.")
    for position, value in enumerate(values):
        if not isinstance(value, str) or not value:
            raise InvalidRequest(f"{name}[{position}] is {described(value)}", endpoint=endpoint, advice="Give a text.")
    if not values:
        raise InvalidRequest(f"{name} is empty", endpoint=endpoint, advice="Give at least one.")
    if most is not None:
        at_most(name, values, most, endpoint)
    return list(values)


def at_most(name: str, values: Sequence[object], most: int, endpoint: str) -> None:
    """Not more items than one request may have; the error names the first that is too many."""
    if len(values) > most:
        raise InvalidRequest(
            f"{name} has {len(values):,} items, the limit of one request is {most:,}",
            endpoint=endpoint,
            advice=f"Send the rest, from item {most} on, in further requests.",
        )


def text(name: str, value: str, endpoint: str, *, most: int | None = None) -> str:
    """A text that is not empty."""
    if not isinstance(value, str) or not value.strip():
        raise InvalidRequest(
            f"{name} is {described(value)}", endpoint=endpoint, advice="Give a text that is not empty."
        )
    if most is not None and len(value) > most:
        raise InvalidRequest(
            f"{name} has {len(value)} characters, the limit is {most}", endpoint=endpoint, advice="Shorten it."
        )
    return value


def choice(name: str, value: object, choices: Iterable[str], endpoint: str) -> str:
    """One of the texts that Mixpanel knows. An enum's member counts as its value."""
    plain = value.value if isinstance(value, Enum) else value
    allowed = list(choices)
    if plain not in allowed:
        raise InvalidRequest(f"{name} is {plain!r}", endpoint=endpoint, advice=f"Give one of {', '.join(allowed)}.")
    return str(plain)


def whole(name: str, value: int, endpoint: str, *, least: int = 1, most: int | None = None) -> str:
    """A whole number within bounds."""
    too_big = most is not None and isinstance(value, int) and value > most
    if not isinstance(value, int) or isinstance(value, bool) or value < least or too_big:
        bounds = f"from {least} to {most}" if most is not None else f"of at least {least}"
        raise InvalidRequest(f"{name} is {value!r}", endpoint=endpoint, advice=f"Give a whole number {bounds}.")
    return str(value)


def limit(value: int, most: int, endpoint: str) -> str:
    """A number of things from 1 to `most`."""
    return whole("limit", value, endpoint, most=most)


def expression(name: str, value: str, endpoint: str) -> str:
    """A segmentation expression."""
    if not isinstance(value, str) or not value.strip():
        raise InvalidRequest(
            f"{name} is {described(value)}",
            endpoint=endpoint,
            advice="Give a segmentation expression, or leave it out.",
        )
    from mixpanel_etl.expressions import ExpressionError, parse  # with its grammar, which most requests do without

    try:
        parse(value)
    except ExpressionError as error:
        reason = f"{name} is no segmentation expression: {error}"
    else:
        return value
    raise InvalidRequest(reason, endpoint=endpoint, advice="Correct it where the mark is.")
