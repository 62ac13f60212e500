"""Minutes, hours, days, weeks and months of project time as intervals of stored time.

Source: mixpanel-api.md#project-time, #query-events.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from datetime import date, datetime, timedelta, tzinfo
from typing import NamedTuple

_STEPS = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1)}


class Buckets(NamedTuple):
    """Adjoining intervals: their starts (milliseconds), their labels, and the end of the last one.

    Two neighbours share a label when clocks are set back.
    """

    starts: list[int]
    labels: list[str]
    end: int

    def label(self, time_ms: int) -> str:
        """The label of the interval of a time, which is not before the first start."""
        return self.labels[bisect_right(self.starts, time_ms) - 1]


def buckets_of(first: date, last: date, unit: str, zone: tzinfo) -> Buckets:
    """The units of the days first..last (inclusive) in `zone`; unit "all" makes one bucket."""
    start, end = midnight(first, zone), midnight(last + timedelta(days=1), zone)
    if unit in _STEPS:
        step = int(_STEPS[unit].total_seconds())
        starts = list(range(start, end, step))
        labels = [f"{datetime.fromtimestamp(start, zone):%Y-%m-%d %H:%M:%S}" for start in starts]
    else:
        days = list(_first_days(first, last, unit))
        starts = [midnight(max(day, first), zone) for day in days]
        labels = [day.isoformat() for day in days]
    return Buckets([start * 1000 for start in starts], labels, end * 1000)


def blocks_of(first: date, last: date, days: int, zone: tzinfo) -> Buckets:
    """Blocks of `days` days from `first` on, labelled with their first day; `last` ends the last one."""
    starts = [first + timedelta(days=number) for number in range(0, (last - first).days + 1, days)]
    end = midnight(last + timedelta(days=1), zone) * 1000
    return Buckets([midnight(day, zone) * 1000 for day in starts], [day.isoformat() for day in starts], end)


def units_before(today: date, unit: str, count: int) -> date:
    """The first day of the last `count` units, including today's. Minutes and hours are extended to full days."""
    if unit == "month":
        months = today.year * 12 + today.month - 1 - (count - 1)
        return date(months // 12, months % 12 + 1, 1)
    if unit == "week":
        return _unit_start(today, unit) - timedelta(weeks=count - 1)
    days = {"day": count - 1, "hour": (count - 1) // 24, "minute": (count - 1) // 1440}[unit]
    return today - timedelta(days=days)


def _first_days(first: date, last: date, unit: str) -> Iterator[date]:
    previous = None
    for number in range((last - first).days + 1):
        start = first if unit == "all" else _unit_start(first + timedelta(days=number), unit)
        if start != previous:
            yield start
        previous = start


def _unit_start(day: date, unit: str) -> date:
    if unit == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if unit == "month" else day


def midnight(day: date, zone: tzinfo) -> int:
    """Seconds since epoch at the beginning of a day."""
    return int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp())
