"""Types and checks of parameters that the Query API's methods share."""

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

MAX_VALUES = 10_000  # values of a property that one query returns
MAX_WINDOW = timedelta(days=90)  # window of a funnel, and interval of retention


def event_window(event: str, from_date: Day, to_date: Day) -> dict[str, str]:
    """One event, and the days."""
    return {"event": parameters.string("event", event), **parameters.window(from_date, to_date)}


def optional_integers(*, maximum: int | None = None, **values: int | None) -> dict[str, str]:
    """The integers that are given."""
    return {
        name: str(parameters.integer(name, value, maximum=maximum))
        for name, value in values.items()
        if value is not None
    }


def optional_strings(**values: str | None) -> dict[str, str]:
    """The strings that are given."""
    return {name: parameters.string(name, value) for name, value in values.items() if value is not None}


def optional_choices(**values: tuple[str | None, Any]) -> dict[str, str]:
    """The strings that are given, each one of its Literal's."""
    return {
        name: parameters.choice(name, value, get_args(allowed))
        for name, (value, allowed) in values.items()
        if value is not None
    }


def optional_flags(**values: bool | None) -> dict[str, str]:
    """The booleans that are given."""
    return given(**{name: None if value is None else str(value).lower() for name, value in values.items()})


def counting(type: Counting, unit: Unit) -> dict[str, str]:  # noqa: A002
    """What is counted, and the unit of time. Unique users can't be counted by hour (mixpanel-api.md#query-events)."""
    checked = optional_choices(type=(type, Counting), unit=(unit, Unit))
    if type == "unique" and unit in ("minute", "hour"):
        raise InvalidRequest(f"unit {unit!r} with type 'unique'", advice="Unique users are counted by day or more.")
    return checked


def filters(
    *,
    on: str | None = None,
    where: str | None = None,
    born_where: str | None = None,
    limit: int | None = None,
    maximum: int | None = None,
) -> dict[str, str]:
    """Expressions, and the limit of the values of `on`."""
    if problem := limit_without_on(limit, on):
        raise InvalidRequest(problem, advice="Give `on`, or no limit.")
    expressions = {"on": on, "where": where, "born_where": born_where}
    return {
        **{name: parameters.expression(name, value) for name, value in expressions.items() if value is not None},
        **optional_integers(maximum=maximum, limit=limit),
    }


def limit_without_on(limit: int | None, on: str | None) -> str:
    """What is wrong with a limit that limits nothing; empty if nothing is."""
    return "" if limit is None or on is not None else "limit is given without `on`, whose values it limits"
