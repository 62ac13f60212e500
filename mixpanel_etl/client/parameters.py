"""Checks of parameters that several APIs share, before anything is sent. Each says what to give instead."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

import msgspec

from mixpanel_etl.client.errors import InvalidRequest


def window(from_date: date, to_date: date, endpoint: str) -> dict[str, str]:
    """`from_date` and `to_date`, both included, the way all of Mixpanel's APIs take them."""
    for name, day in (("from_date", from_date), ("to_date", to_date)):
        # A datetime is a date to isinstance, and would be sent with its time of day.
        if not isinstance(day, date) or isinstance(day, datetime):
            raise InvalidRequest(
                f"{name} is {day!r}, a {type(day).__name__}", endpoint=endpoint, advice="Give a datetime.date."
            )
    if from_date > to_date:
        raise InvalidRequest(
            f"from_date {from_date} is after to_date {to_date}",
            endpoint=endpoint,
            advice="Swap them: both days are included.",
        )
    return {"from_date": from_date.isoformat(), "to_date": to_date.isoformat()}


def event_names(names: Sequence[str], endpoint: str) -> str:
    """A JSON array of event names, which is what a parameter of type `string[]` is on the wire."""
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise InvalidRequest(f"events is {names!r}", endpoint=endpoint, advice="Give a list of event names.")
    if not names or not all(names):
        raise InvalidRequest(
            "events has no name, or an empty one", endpoint=endpoint, advice="Give at least one, and only names."
        )
    return msgspec.json.encode(list(names)).decode()


def limit(value: int, most: int, endpoint: str) -> str:
    """A number of things from 1 to `most`."""
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise InvalidRequest(
            f"limit is {value!r}", endpoint=endpoint, advice=f"Give a whole number from 1 to {most}, or leave it out."
        )
    return str(value)
