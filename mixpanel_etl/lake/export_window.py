"""The days that one export asks for, and how its times become UTC."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pyarrow as pa
import pyarrow.compute as pc

from mixpanel_etl.lake.errors import ConfigurationError
from mixpanel_etl.lake.event_columns import TIMESTAMP

MS_PER_DAY = 86_400_000
_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class Window:
    """Contiguous days of an export, both ends included.

    Attributes:
        first: first day.
        last: last day.
        zone: the zone in which the export cuts its days. "UTC"; for projects created before 2023 the project's own IANA
            zone, whose exports also carry `time` as the project's wall clock read as if it were UTC
            (mixpanel-api.md#project-time).

    Raises:
        ConfigurationError: the days are in the wrong order, or the zone is unknown.
    """

    first: date
    last: date
    zone: str = "UTC"

    def __post_init__(self) -> None:
        if self.first > self.last:
            raise ConfigurationError(f"from_date {self.first} is after to_date {self.last}")
        try:
            ZoneInfo(self.zone)
            self.utc(pa.array([0], pa.int64()))
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ConfigurationError(
                f"unknown time zone {self.zone!r}; use an IANA name such as Europe/Berlin, and install the "
                "system's package `tzdata`"
            ) from error

    def __iter__(self) -> Iterator[date]:
        return (self.first + timedelta(days=n) for n in range(len(self)))

    def __len__(self) -> int:
        return (self.last - self.first).days + 1

    def __str__(self) -> str:
        return f"{self.first}..{self.last}"

    def halves(self) -> tuple[Window, Window]:
        """The window cut in two; it must have two days at least."""
        middle = self.first + timedelta(days=len(self) // 2)
        return Window(self.first, middle - timedelta(days=1), self.zone), Window(middle, self.last, self.zone)

    def utc(self, exported_ms: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
        """Exported times (int64 ms) as UTC timestamps.

        The hour that a wall clock shows twice in autumn is read as its first occurrence: the export does not say which.
        """
        if self.zone == "UTC":
            return exported_ms.cast(TIMESTAMP)
        wall = exported_ms.cast(pa.timestamp("ms"))
        local = pc.assume_timezone(wall, self.zone, ambiguous="earliest", nonexistent="latest")
        return local.cast(TIMESTAMP)


def day_number(day: date) -> int:
    """Days since 1970-01-01."""
    return (day - _EPOCH).days


def day_of(number: int) -> date:
    """The date of a number of days since 1970-01-01."""
    return _EPOCH + timedelta(days=number)
