"""Units of project time, and the partitions that they belong to. Weeks begin on Monday, as Mixpanel's do."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Literal, NamedTuple

PartitionUnit = Literal["day", "week", "month"]


class Days(NamedTuple):
    """The first and the last day of a query, both included."""

    first: date
    last: date

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}..{self.last}"


def start_of(day: date, unit: PartitionUnit) -> date:
    """The first day of the unit in which a day lies."""
    if unit == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if unit == "month" else day


def end_of(day: date, unit: PartitionUnit) -> date:
    """The last day of the unit in which a day lies."""
    if unit == "week":
        return start_of(day, unit) + timedelta(days=6)
    if unit == "month":
        return start_of(start_of(day, unit) + timedelta(days=31), unit) - timedelta(days=1)
    return day


def later(day: date, unit: PartitionUnit, count: int) -> date:
    """The first day of the unit that comes `count` units after the one in which a day lies."""
    start = start_of(day, unit)
    for _ in range(count):
        start = end_of(start, unit) + timedelta(days=1)
    return start


@lru_cache(maxsize=4096)  # all segments of a reply have the same labels
def timestamp_of(label: str, zone: tzinfo) -> datetime:
    """The start (UTC) of a unit that Mixpanel labels `2026-01-31` or `2026-01-31 13:00:00`.

    When clocks are set back two hours share a label: it stands for the first of them.

    Raises:
        ValueError: the label is not a date.
    """
    time = datetime.fromisoformat(label)
    return (time if time.tzinfo else time.replace(tzinfo=zone)).astimezone(UTC)
