"""Days of a request, and the wall-clock times of old projects as UTC."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixpanel_etl.lake import ConfigurationError, DaysMalformed, EventsTable, OutsideWindow, Window
from mixpanel_etl.lake.export_window import day_number, day_of

from .exports import DAY, days_from, files, line, ms, pull, request, stored

SPRING, AUTUMN = date(2026, 3, 8), date(2026, 11, 1)  # of the United States
ZONES = ["America/Los_Angeles", "Asia/Kolkata", "Europe/Berlin", "Australia/Lord_Howe", "Pacific/Apia", "US/Pacific"]


def exported(timestamp: datetime, zone: str) -> int:
    """A timestamp as a project created before 2023 exports it: its wall clock, read as if it were UTC.

    Source: mixpanel-api.md#project-time.
    """
    wall = timestamp.astimezone(ZoneInfo(zone)).replace(tzinfo=UTC)
    return round(wall.timestamp() * 1000)


def first_of(timestamp: datetime, zone: str) -> datetime:
    """The first timestamp at which the wall clock showed what it shows now."""
    return timestamp.astimezone(ZoneInfo(zone)).replace(fold=0).astimezone(UTC)


@given(st.sampled_from(ZONES), st.datetimes(datetime(1991, 1, 1), datetime(2036, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_wall_clock_times_become_the_utc_times_that_zoneinfo_says(zone: str, timestamp: datetime) -> None:
    timestamp = timestamp.replace(microsecond=timestamp.microsecond // 1000 * 1000)
    converted = Window(DAY, DAY, zone).utc(pa.array([exported(timestamp, zone)], pa.int64()))
    assert converted.to_pylist() == [first_of(timestamp, zone)]


@pytest.mark.parametrize("change", [SPRING, AUTUMN])
@pytest.mark.parametrize("zone", ["America/Los_Angeles", "Asia/Kolkata"])
def test_an_old_project_keeps_every_event_across_a_change_of_its_clocks(
    table: EventsTable, zone: str, change: date
) -> None:
    first, last = change - timedelta(days=1), change + timedelta(days=1)
    begin = datetime(first.year, first.month, first.day, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    end = datetime(last.year, last.month, last.day, tzinfo=ZoneInfo(zone)) + timedelta(days=1)
    timestamps = [
        begin + timedelta(minutes=10 * n) for n in range(int((end.astimezone(UTC) - begin) / timedelta(minutes=10)))
    ]
    expected = defaultdict(list)
    for timestamp in timestamps:
        expected[timestamp.astimezone(ZoneInfo(zone)).date()].append(first_of(timestamp, zone))
    pull(table, [line(exported(timestamp, zone)) for timestamp in timestamps], request(first, last, zone))
    assert {day: [row["time"] for row in stored(table, day)] for day in table.days()} == expected
    assert len(timestamps) == 3 * 144 + (0 if zone == "Asia/Kolkata" else {SPRING: -6, AUTUMN: 6}[change])


def test_a_time_that_no_wall_clock_showed_is_read_as_the_end_of_the_gap() -> None:
    never = ms(SPRING, 2.5 * 3600)
    converted = Window(SPRING, SPRING, "America/Los_Angeles").utc(pa.array([never], pa.int64()))
    assert converted.to_pylist() == [datetime(2026, 3, 8, 10, tzinfo=UTC)]


def test_the_zone_is_told_in_the_file_and_its_times_are_utc(table: EventsTable) -> None:
    (published,) = pull(table, [line(ms(DAY, 60))], request(zone="Asia/Kolkata"))
    assert published.provenance["zone"] == "Asia/Kolkata"
    assert published.first_time == datetime(2026, 3, 4, 18, 31, tzinfo=UTC)


def test_events_outside_the_days_asked_for_fail_with_their_count_and_the_setting_to_check(table: EventsTable) -> None:
    lines = [line(ms(DAY, -1)), line(ms(DAY, 5)), line(ms(DAY, 86_400)), line(ms(DAY, -3_600))]
    with pytest.raises(OutsideWindow) as raised:
        pull(table, lines)
    text = str(raised.value)
    assert text.startswith("3 events lie outside the days asked for (2026-03-05..2026-03-05, cut in UTC)")
    assert "2026-03-04, 2026-03-06" in text
    assert "MIXPANEL_TIMEZONE" in text
    assert table.days() == files(table.storage._root) == []  # type: ignore[attr-defined]


def test_an_event_outside_the_days_asked_for_is_named_and_kept_out(table: EventsTable) -> None:
    with pytest.raises(DaysMalformed, match="line 2 of the export is an event of 2026-03-04, which was not asked for"):
        pull(table, [line(ms(DAY, 5)), line(ms(DAY, -1))])


def test_events_at_the_very_edges_of_the_window_are_inside(table: EventsTable) -> None:
    (published,) = pull(table, [line(ms(DAY)), line(ms(DAY, 86_399.999))])
    assert published.rows == 2


def test_events_of_a_far_future_are_outside_and_named(table: EventsTable) -> None:
    with pytest.raises(DaysMalformed, match="9999-12-31"):
        pull(table, [line(253_402_300_799_999)])


@pytest.mark.parametrize(
    "zone", ["", ".", "America", "Mars/Olympus", "../etc/passwd", "/etc/passwd", "Europe/Berlin\0"]
)
def test_an_unknown_zone_is_refused(zone: str) -> None:
    with pytest.raises(ConfigurationError, match="IANA name such as Europe/Berlin"):
        Window(DAY, DAY, zone)


def test_days_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="from_date 2026-03-05 is after to_date 2026-03-04"):
        Window(DAY, DAY - timedelta(days=1))


@given(st.dates(date(1971, 1, 1), date(9000, 1, 1)), st.integers(2, 200))
def test_halves_hold_every_day_once_and_keep_the_zone(first: date, length: int) -> None:
    window = Window(first, first + timedelta(days=length - 1), "Asia/Kolkata")
    one, two = window.halves()
    assert [*one, *two] == list(window) == days_from(first, length)
    assert abs(len(one) - len(two)) <= 1
    assert one.zone == two.zone == window.zone


@given(st.dates())
def test_a_day_and_its_number_are_the_same(day: date) -> None:
    assert day_of(day_number(day)) == day
