"""Events of a small web shop, for demos, tests and benchmarks, in any number and reproducible.

The events of a date depend on date and seed only, not on the range: event number k of a day is a function of
(seed, date, k), and a day with more events starts with those of a smaller one.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from mixpanel_etl.sandbox.shop.web_shop import Shop

# Lines are in blocks of ten minutes of event time: the blocks are ordered, the lines within are not.
_BLOCK_MS = 600_000
_BITS = struct.Struct("<4Q")


def generate_lines(
    events: int,
    from_date: date,
    to_date: date,
    *,
    seed: int = 0,
    duplicates: float = 0.01,
    timezone: str = "UTC",
) -> Iterator[bytes]:
    """Exactly `events` lines of an export of about 650 bytes each, without the newline, day after day.

    Args:
        events: number of lines, including copies, spread evenly over the days.
        from_date: first day, in `timezone`.
        to_date: last day, inclusive.
        seed: seed of the random events.
        duplicates: share (0..1) of lines that repeat an earlier event of the day: half of them exactly, half with a
            newer `mp_processing_time_ms`.
        timezone: time zone of the days. Other than UTC, it makes the lines of a project created before 2023, whose
            `time` is project time as if it were epoch (mixpanel-api.md#project-time).

    Raises:
        ValueError: to_date before from_date, negative `events`, `duplicates` outside 0..1.
    """
    days = (to_date - from_date).days + 1
    if days < 1:
        raise ValueError(f"to_date {to_date} is before from_date {from_date}")
    if events < 0 or not 0 <= duplicates <= 1:
        raise ValueError(f"events {events} must be >= 0, duplicates {duplicates} must be in 0..1")
    dates = [from_date + timedelta(days=number) for number in range(days)]
    return _all_days(events, dates, seed, duplicates, ZoneInfo(timezone))


def _all_days(events: int, days: Sequence[date], seed: int, duplicates: float, zone: ZoneInfo) -> Iterator[bytes]:
    shop = Shop(seed)
    for number, day in enumerate(days):
        size = events * (number + 1) // len(days) - events * number // len(days)
        bits = random.Random(f"{seed} {day}").randbytes(_BITS.size * size)  # noqa: S311 - reproducible, not secret
        yield from _day(shop, bits, _Span.of(day, zone), int(duplicates * 2**32))


def _day(shop: Shop, bits: bytes, span: _Span, copies_below: int) -> Iterator[bytes]:
    """The lines of one day. Each event is made from its own 256 random bits, the first 64 of which are its time."""
    times = [first * span.milliseconds >> 64 for (first, *_) in _BITS.iter_unpack(bits)]
    for number in sorted(range(len(times)), key=lambda k: times[k] // _BLOCK_MS):
        original = number
        while original > 0 and _is_copy(bits, original, copies_below):
            original -= 1
        first, *rest = _BITS.unpack_from(bits, _BITS.size * original)
        instant = span.start + times[original]
        delay = shop.delay_ms(rest[2], again=original != number and number % 2 == 0)
        shown = instant + (span.offset if instant < span.switch else span.later_offset)
        yield shop.line(shown, instant + delay, times[original], first, *rest)


def _is_copy(bits: bytes, number: int, copies_below: int) -> bool:
    (low,) = struct.unpack_from("<I", bits, _BITS.size * number + 8)
    return bool(low < copies_below)


class _Span(NamedTuple):
    """A day of a zone in milliseconds: its start, its 23 to 25 hours, its offset from UTC before and after a change."""

    start: int
    milliseconds: int
    offset: int
    switch: int
    later_offset: int

    @classmethod
    def of(cls, day: date, zone: ZoneInfo) -> _Span:
        start, end = _midnight(day, zone), _midnight(day + timedelta(days=1), zone)
        before, after = _offset(start, zone), _offset(end, zone)
        low, high = start, end
        while before != after and high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if _offset(middle, zone) == before else (low, middle)
        return cls(start * 1000, (end - start) * 1000, before * 1000, high * 1000, after * 1000)


def _midnight(day: date, zone: ZoneInfo) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp())


def _offset(instant: int, zone: ZoneInfo) -> int:
    offset = datetime.fromtimestamp(instant, UTC).astimezone(zone).utcoffset()
    assert offset is not None  # noqa: S101 - a ZoneInfo always has one
    return int(offset.total_seconds())
