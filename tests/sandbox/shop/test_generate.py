"""The events of the small web shop: their number, their reproducibility, and their variety."""

import json
from collections import Counter
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from mixpanel_etl.sandbox import generate_lines

pytestmark = pytest.mark.slow

JAN_1, JAN_10 = date(2024, 1, 1), date(2024, 1, 10)


def decoded(lines: list[bytes]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines]


def day_of(line: bytes) -> date:
    return datetime.fromtimestamp(json.loads(line)["properties"]["time"] / 1000, UTC).date()


@pytest.mark.parametrize("events", [0, 1, 7, 1003])
def test_the_number_of_lines_is_exact_and_includes_copies(events: int) -> None:
    assert len(list(generate_lines(events, JAN_1, JAN_10, duplicates=0.2))) == events


def test_a_date_and_a_seed_give_the_same_events_in_every_range() -> None:
    ten_days = list(generate_lines(1000, JAN_1, JAN_10, seed=3))
    one_day = list(generate_lines(100, date(2024, 1, 5), date(2024, 1, 5), seed=3))
    assert [line for line in ten_days if day_of(line) == date(2024, 1, 5)] == one_day
    assert list(generate_lines(100, date(2024, 1, 5), date(2024, 1, 5), seed=4)) != one_day


def test_a_day_with_more_events_contains_those_of_a_smaller_one() -> None:
    small, large = (set(generate_lines(size, JAN_1, JAN_1, duplicates=0)) for size in (100, 150))
    assert small < large


def test_events_lie_on_their_day_and_are_roughly_in_order() -> None:
    lines = list(generate_lines(5000, JAN_1, JAN_10, duplicates=0))
    assert Counter(map(day_of, lines)) == {date(2024, 1, day): 500 for day in range(1, 11)}
    times = [event["properties"]["time"] for event in decoded(lines)]
    assert times != sorted(times)
    assert all(abs(time - in_order) < 600_000 for time, in_order in zip(times, sorted(times), strict=True))


def test_copies_are_to_the_byte_or_with_a_newer_processing_time() -> None:
    lines = list(generate_lines(20_000, JAN_1, JAN_1, duplicates=0.1))
    groups: dict[tuple[Any, ...], list[bytes]] = {}
    for line, event in zip(lines, decoded(lines), strict=True):
        properties = event["properties"]
        if "$insert_id" in properties:
            key = (event["event"], properties["time"], properties["distinct_id"], properties["$insert_id"])
            groups.setdefault(key, []).append(line)
    copies = sum(len(group) - 1 for group in groups.values())
    distinct_copies = sum(len(set(group)) - 1 for group in groups.values())
    assert 0.08 < copies / len(lines) < 0.12
    assert 0.3 < distinct_copies / copies < 0.7
    assert len(set(generate_lines(20_000, JAN_1, JAN_1, duplicates=0))) == 20_000


def test_the_data_is_as_awkward_as_real_data() -> None:
    lines = list(generate_lines(20_000, JAN_1, JAN_10))
    events = decoded(lines)
    assert len({event["event"] for event in events}) == 8
    types: dict[str, set[type]] = {}
    for event in events:
        for name, value in event["properties"].items():
            types.setdefault(name, set()).add(type(value))
    assert types["product_id"] == {int, str}
    assert types["amount"] == {int, float}
    assert types["plan type"] == {str, type(None)}
    assert types["cart"] == {list}
    assert types["shipping"] == {dict}
    assert not b"".join(lines).isascii()
    assert any("\u2028" in event["properties"].get("description", "") for event in events)
    assert 600 < sum(map(len, lines)) / len(lines) < 800
    assert 22 < sum(len(event["properties"]) for event in events) / len(events) < 32


def test_some_rows_are_late_and_some_have_no_insert_id() -> None:
    events = [event["properties"] for event in decoded(list(generate_lines(20_000, JAN_1, JAN_10)))]
    late = sum(event["mp_processing_time_ms"] - event["time"] > 86_400_000 for event in events)
    assert 50 < late < 200
    assert 20 < sum("$insert_id" not in event for event in events) < 80


def test_device_ids_become_user_ids_within_a_day() -> None:
    ids: dict[str, set[bool]] = {}
    for event in decoded(list(generate_lines(60_000, JAN_1, JAN_1))):
        properties = event["properties"]
        anonymous = properties["distinct_id"] == f"$device:{properties['$device_id']}"
        assert anonymous or properties["distinct_id"] == properties["$user_id"]
        ids.setdefault(properties["$device_id"], set()).add(anonymous)
    assert sum(kinds == {True, False} for kinds in ids.values()) > 500


@pytest.mark.parametrize(("day", "hours"), [(date(2024, 3, 10), 23), (date(2024, 11, 3), 25), (date(2024, 7, 1), 24)])
def test_a_legacy_day_has_the_wall_clock_times_that_existed(day: date, hours: int) -> None:
    zone = ZoneInfo("America/New_York")
    lines = list(generate_lines(20_000, day, day, duplicates=0, timezone="America/New_York"))
    shown = [datetime.fromtimestamp(event["properties"]["time"] / 1000, UTC) for event in decoded(lines)]
    assert {timestamp.date() for timestamp in shown} == {day}
    per_hour = Counter(timestamp.hour for timestamp in shown)
    assert per_hour[2] == 0 if hours == 23 else per_hour[2] > 0
    assert (per_hour[1] > 1.5 * per_hour[3]) is (hours == 25)
    for timestamp, event in zip(shown, decoded(lines), strict=True):
        instant = timestamp.replace(tzinfo=zone).timestamp() * 1000
        assert event["properties"]["mp_processing_time_ms"] > instant


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((10, JAN_10, JAN_1), "to_date 2024-01-01 is before from_date 2024-01-10"),
        ((-1, JAN_1, JAN_10), "events -1 must be >= 0"),
    ],
)
def test_invalid_arguments_are_rejected_at_once(arguments: tuple[int, date, date], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        generate_lines(*arguments)
