"""Numbers that are times since 1970 in a unit that nothing names: seconds, milliseconds or smaller, by their size."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import overload

#: 1e11 seconds is the year 5138, 1e11 milliseconds is 1973.
MILLISECONDS_FROM = 100_000_000_000


def is_milliseconds(time: float) -> bool:
    """Whether a time is in milliseconds (or a smaller unit), and not in seconds."""
    return abs(time) >= MILLISECONDS_FROM


@overload
def from_epoch(time: float) -> datetime: ...


@overload
def from_epoch(time: float | None) -> datetime | None: ...


def from_epoch(time: float | None) -> datetime | None:
    """The aware UTC timestamp of a time in seconds, milliseconds, microseconds or nanoseconds; None of None.

    Raises:
        ValueError, OverflowError, OSError: the year is not between 1 and 9999.
    """
    if time is None:
        return None
    seconds = float(time)
    while is_milliseconds(seconds):
        seconds /= 1000
    return datetime.fromtimestamp(seconds, UTC)
