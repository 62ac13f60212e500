"""Awkward events for reports: ties, copies, events without a user, midnights, hours that clocks skip or repeat."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

EVENTS = ("open", "look", "buy", "leave")
_PEOPLE = ("ana", "bo", "cy", "dee", "$device:e", "", None)
_COLOURS = ("red", "blue", "", 3, 3.0, 2.5, True, None, ["a", 1], {"k": "é"}, "undefined")


def awkward_lines(seed: int, first: date, days: int, zone: str, *, project_time: bool = False) -> Iterator[bytes]:
    """Exported lines of days of a zone.

    Args:
        seed: another one, other events.
        first: day of the zone.
        days: how many.
        zone: IANA name.
        project_time: `time` as projects from before 2023 have it.
    """
    rng = random.Random(seed)
    timestamps = list(_timestamps(rng, first, days, ZoneInfo(zone)))
    for number in range(90 * days):
        timestamp = rng.choice(timestamps)
        shown = timestamp.astimezone(ZoneInfo(zone)).replace(tzinfo=UTC) if project_time else timestamp
        properties: dict[str, Any] = {
            "time": round(shown.timestamp() * 1000),
            "distinct_id": rng.choice(_PEOPLE),
            "$insert_id": rng.choice((None, f"i{number}", f"i{number}")),
            "mp_processing_time_ms": round(timestamp.timestamp() * 1000) + rng.randint(0, 5),
            "colour": rng.choice(_COLOURS),
            "$odd/~name": rng.choice(("x", "y")),
        }
        absent = [name for name, value in properties.items() if value is None and (name != "colour" or number % 2)]
        kept = {key: value for key, value in properties.items() if key not in absent}
        event = rng.choice(EVENTS)
        yield _line(event, kept)
        if rng.random() < 0.15:  # a copy, older or newer
            yield _line(event, {**kept, "mp_processing_time_ms": kept["mp_processing_time_ms"] + rng.randint(-2, 2)})


def _line(event: str, properties: Mapping[str, Any]) -> bytes:
    return json.dumps({"event": event, "properties": properties}).encode()


def _timestamps(rng: random.Random, first: date, days: int, zone: ZoneInfo) -> Iterator[datetime]:
    start = datetime(first.year, first.month, first.day, tzinfo=zone).astimezone(UTC)
    for day in range(days):
        midnight = (datetime(first.year, first.month, first.day, tzinfo=zone) + timedelta(days=day)).astimezone(UTC)
        yield from (midnight + timedelta(milliseconds=step) for step in (-1, 0, 1))
        yield from (midnight + timedelta(hours=hour) for hour in (1, 1.5, 2, 2.5, 3))
    # Whole days and weeks apart to the millisecond, which is where intervals and windows end.
    chosen = [start + timedelta(milliseconds=rng.randrange(days * 86_400_000)) for _ in range(days)]
    yield from chosen
    yield from (timestamp + timedelta(days=1) for timestamp in chosen)
