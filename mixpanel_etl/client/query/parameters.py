"""Checks that the Query API's methods share."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal, get_args

from mixpanel_etl.client.errors import InvalidRequest
from mixpanel_etl.client.operations import parameters
from mixpanel_etl.client.operations.parameters import Day, given

Unit = Literal["minute", "hour", "day", "week", "month"]
NumericUnit = Literal["hour", "day"]
Interval = Literal["day", "week", "month"]
LengthUnit = Literal["second", "minute", "hour", "day", "week", "month"]
Counting = Literal["general", "unique", "average"]
RetentionType = Literal["birth", "compounded"]

MOST_VALUES = 10_000  # values of a property that one query returns
LONGEST = timedelta(days=90)  # of a funnel's window, and of an interval of retention
SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 7 * 86400, "month": 30 * 86400}


def event_window(event: str, from_date: Day, to_date: Day, endpoint: str) -> dict[str, str]:
    """One event, and the days."""
    return {"event": parameters.text("event", event, endpoint), **parameters.window(from_date, to_date, endpoint)}


def whole(endpoint: str, *, most: int | None = None, **values: int | None) -> dict[str, str]:
    """The whole numbers that are given."""
    return {
        name: parameters.whole(name, value, endpoint, most=most) for name, value in values.items() if value is not None
    }


def text(endpoint: str, **values: str | None) -> dict[str, str]:
    """The texts that are given."""
    return {name: parameters.text(name, value, endpoint) for name, value in values.items() if value is not None}


def choices(endpoint: str, **values: tuple[str | None, Any]) -> dict[str, str]:
    """The texts that are given, each one of its Literal's."""
    return {
        name: parameters.choice(name, value, get_args(allowed), endpoint)
        for name, (value, allowed) in values.items()
        if value is not None
    }


def counting(type: Counting, unit: Unit, endpoint: str) -> dict[str, str]:  # noqa: A002
    """How to count and by what, which rules unique users by the hour out (mixpanel-api.md#query-events)."""
    checked = choices(endpoint, type=(type, Counting), unit=(unit, Unit))
    if type == "unique" and unit in ("minute", "hour"):
        raise InvalidRequest(
            f"unit {unit!r} with type 'unique'",
            endpoint=endpoint,
            advice="Unique users are counted by day or more.",
        )
    return checked


def filters(
    endpoint: str,
    *,
    on: str | None = None,
    where: str | None = None,
    born_where: str | None = None,
    limit: int | None = None,
    most: int | None = None,
) -> dict[str, str]:
    """Expressions, and a limit, which does nothing without `on`."""
    if limit is not None and on is None:
        raise InvalidRequest(
            f"limit is {limit!r}, but nothing is segmented", endpoint=endpoint, advice="Give `on`, or no limit."
        )
    expressions = {"on": on, "where": where, "born_where": born_where}
    return {
        **{
            name: parameters.expression(name, value, endpoint)
            for name, value in expressions.items()
            if value is not None
        },
        **whole(endpoint, most=most, limit=limit),
    }


def window_length(length: int | None, length_unit: LengthUnit | None, endpoint: str) -> dict[str, str]:
    """How long users have to complete a funnel: both or neither, and not more than 90 days."""
    if length is None and length_unit is None:
        return {}
    if length is None or length_unit is None:
        raise InvalidRequest("only one of length and length_unit", endpoint=endpoint, advice="Give both or none.")
    sent = {**whole(endpoint, length=length), **choices(endpoint, length_unit=(length_unit, LengthUnit))}
    if length * SECONDS[length_unit] > LONGEST.total_seconds():
        raise InvalidRequest(
            f"length is {length} {length_unit}s", endpoint=endpoint, advice=f"Give at most {LONGEST.days} days."
        )
    return sent


def flag(**values: bool | None) -> dict[str, str]:
    """The booleans that are given."""
    return given(**{name: None if value is None else str(value).lower() for name, value in values.items()})
