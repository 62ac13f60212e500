"""Malformed lines and stray events of an export, and the days that they may belong to."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from mixpanel_etl.lake.errors import DaysMixed, MalformedLine, OutsideWindow
from mixpanel_etl.lake.export_window import MS_PER_DAY, Window, day_number, day_of
from mixpanel_etl.timestamps import is_milliseconds

#: With more lines than this, or more bytes in them, the response is not an export.
_MAX_LINES, _MAX_BYTES = 10_000, 64 << 20
#: Hours by which two time zones can differ: events further outside the window are not explained by the zone.
_ZONE_DAYS = 1
_TIME = re.compile(rb'"time"\s*:\s*(\d{9,13})(?![\d])')


@dataclass(frozen=True)
class Malformed:
    """A line of an export that is not an event of the requested days.

    Attributes:
        number: of the line in the response, from 1; empty lines do not count.
        reason: what is wrong with it, and its beginning with all values hidden.
        line: the bytes as they came.
        first: first day that it may belong to.
        last: last day that it may belong to.
    """

    number: int
    reason: str
    line: bytes
    first: date
    last: date


@dataclass
class _Noted:
    error: MalformedLine
    line: bytes
    after: int
    before: int
    stray: int | None = None


class MalformedLines:
    """Collects malformed lines while a response is read.

    An export comes in the order of its days, so that a line which says no time belongs to the days between the events
    before and after it. Where the response is in another order, its days cannot be told apart.

    Args:
        window: the days that were asked for.
    """

    def __init__(self, window: Window) -> None:
        self._window = window
        self._first, self._last = day_number(window.first), day_number(window.last)
        self._noted: list[_Noted] = []
        self._pending: list[_Noted] = []  # no event has followed yet
        self._bytes = 0
        self._rows = 0
        self._day = self._first
        self._ordered = True

    def __bool__(self) -> bool:
        return bool(self._noted)

    def is_inside(self, day: int) -> bool:
        """Whether a day (days since 1970) was asked for."""
        return self._first <= day <= self._last

    def passed(self, first: int, last: int, rows: int = 1, *, ordered: bool = True) -> None:
        """Tell of events inside the window that came next.

        Args:
            first: day of the first of them (days since 1970).
            last: day of the last of them.
            rows: how many they are.
            ordered: whether none is on an earlier day than the one before it.
        """
        self._ordered &= ordered and first >= self._day
        for noted in self._pending:
            noted.before = first
        self._pending.clear()
        self._day = last
        self._rows += rows

    def note(self, error: MalformedLine, line: bytes, stray: int | None = None) -> None:
        """Keep a line.

        Args:
            error: what is wrong with it.
            line: the bytes.
            stray: its day (days since 1970), when it is an event that lies outside the window.

        Raises:
            DaysMixed: there are too many of them.
        """
        self._bytes += len(line)
        if len(self._noted) >= _MAX_LINES or self._bytes > _MAX_BYTES:
            self._check_zone()
            raise DaysMixed(f"{len(self._noted):,} malformed lines, the last of them: {error}")
        noted = _Noted(error, line, self._day, self._last, stray)
        self._noted.append(noted)
        self._pending.append(noted)

    def by_day(self) -> dict[date, list[Malformed]]:
        """The lines by the day to which they belong; one that may belong to several days is with each of them.

        Raises:
            OutsideWindow: the many events just outside the window show that the project cuts its days in another zone.
            MalformedLine: no line is an event: the response is not an export.
            DaysMixed: the response is not in the order of its days.
        """
        self._check_zone()
        if self._noted and not self._rows and all(noted.stray is None for noted in self._noted):
            raise self._noted[0].error
        found: dict[date, list[Malformed]] = defaultdict(list)
        for noted in self._noted:
            days = self._days(noted)
            malformed = Malformed(noted.error.line, str(noted.error), noted.line, day_of(days[0]), day_of(days[-1]))
            for day in days:
                found[day_of(day)].append(malformed)
        return dict(found)

    def _days(self, noted: _Noted) -> range:
        if noted.stray is not None:
            edge = self._first if noted.stray < self._first else self._last
            return range(edge, edge + 1)
        if self._first == self._last:
            return range(self._first, self._last + 1)
        if not self._ordered:
            raise DaysMixed(f"{noted.error}. The response is not in the order of its days")
        possible = range(noted.after, noted.before + 1)
        if noted in self._pending and not noted.line.rstrip().endswith(b"}"):
            return possible  # perhaps the response was cut here
        found = {day for day in _days_of_times(noted.line) if day in possible}
        return range(day := found.pop(), day + 1) if len(found) == 1 else possible

    def _check_zone(self) -> None:
        strays = [noted.stray for noted in self._noted if noted.stray is not None]
        near = range(self._first - _ZONE_DAYS, self._last + _ZONE_DAYS + 1)
        # One in a hundred events of a day is a quarter of an hour of it.
        if len(strays) < 3 or len(strays) * len(self._window) * 100 < self._rows or not all(d in near for d in strays):
            return
        listed = ", ".join(str(day_of(day)) for day in sorted(set(strays))[:5])
        raise OutsideWindow(
            f"{len(strays):,} events lie outside the days asked for ({self._window}, cut in {self._window.zone}): "
            f"{listed}. The project cuts its days in another zone: check the project's time zone and whether it was "
            "created before 2023 (MIXPANEL_TIMEZONE, MIXPANEL_CREATED_BEFORE_2023). Nothing was written"
        )


def _days_of_times(line: bytes) -> Iterator[int]:
    """The days of all that may be the time of an event that cannot be read."""
    for digits in _TIME.findall(line):
        number = int(digits)
        yield (number if is_milliseconds(number) else number * 1000) // MS_PER_DAY
