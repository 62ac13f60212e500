"""The unit of failure is the day: an odd line holds back the days to which it may belong, and no others."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from mixpanel_etl.gdpr.erasure import erase
from mixpanel_etl.gdpr.suppression_list import Suppression
from mixpanel_etl.lake import DaysMalformed, DaysMixed, EventsTable, MalformedLine, OutsideWindow, TerminatedEarly

from .exports import DAY, days_from, line, ms, pull, request, stored

DAYS = days_from(DAY, 4)
#: Five events of each of the days, in their order.
GOOD = [line(ms(day, second), insert_id=f"{day}-{second}") for day in DAYS for second in range(5)]
WINDOW = request(DAYS[0], DAYS[-1])


def _at(day: date, text: bytes) -> bytes:
    """A line with the time of a day that is not JSON."""
    return b'{"event":"x","properties":{"time":%d,"s":"%s"}}\n' % (ms(day), text)


# Each in the middle of the second day.
ODD = {
    "a raw tab in a string": _at(DAYS[1], b"a\tb"),
    "a raw line break in a string": _at(DAYS[1], b"a\nb"),
    "bytes that are not UTF-8": _at(DAYS[1], b"caf\xe9"),
    "NaN": b'{"event":"x","properties":{"time":%d,"n":NaN}}\n' % ms(DAYS[1]),
    "an event without time": b'{"event":"x","properties":{"distinct_id":"d"}}\n',
    "a list": b"[1]\n",
    "a page of HTML": b"<html>\n<body>502</body>\n</html>\n",
    "an object that is not closed": b'{"event":"x"\n',
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_an_odd_line_holds_its_day_back_and_no_other(table: EventsTable, odd: bytes) -> None:
    lines = [*GOOD[:7], odd, *GOOD[7:]]
    with pytest.raises(DaysMalformed, match=rf"{DAYS[1]}: line 8 of the export .*set_aside_malformed=true") as raised:
        pull(table, lines, WINDOW)
    assert list(raised.value.days) == [DAYS[1]]
    assert table.days() == [DAYS[0], DAYS[2], DAYS[3]]
    assert [len(stored(table, day)) for day in table.days()] == [5, 5, 5]


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_an_odd_line_is_kept_as_it_came_where_that_is_wanted(table: EventsTable, odd: bytes) -> None:
    published = pull(table, [*GOOD[:7], odd, *GOOD[7:]], WINDOW, set_aside_malformed=True)
    assert [(day.rows, day.malformed) for day in published] == [(5, 0), (5, odd.count(b"\n")), (5, 0), (5, 0)]
    assert table.malformed() == {DAYS[1]: odd.splitlines()}
    pull(table, GOOD, request(DAYS[0], DAYS[-1], later=1))
    assert table.malformed() == {}


@pytest.mark.parametrize(("day", "edge"), [(DAY - timedelta(days=3000), DAYS[0]), (DAY + timedelta(days=4), DAYS[3])])
def test_a_stray_event_holds_the_nearest_day_back_and_no_other(table: EventsTable, day: date, edge: date) -> None:
    stray = line(ms(day), insert_id="stray")
    lines = [*GOOD[:7], stray, *GOOD[7:]]
    with pytest.raises(DaysMalformed, match=f"line 8 of the export is an event of {day}, which was not asked for"):
        pull(table, lines, WINDOW)
    assert table.days() == [one for one in DAYS if one != edge]
    pull(table, lines, WINDOW, set_aside_malformed=True)
    assert table.malformed([edge]) == {edge: [stray.rstrip()]}
    assert [len(stored(table, one)) for one in DAYS] == [5, 5, 5, 5]


def test_events_just_outside_the_window_show_the_wrong_zone_and_nothing_is_published(table: EventsTable) -> None:
    strays = [line(ms(DAY, -60 * n), insert_id=f"s{n}") for n in range(1, 4)]
    with pytest.raises(OutsideWindow, match="3 events lie outside"):
        pull(table, [*strays, *GOOD], WINDOW, set_aside_malformed=True)
    assert table.days() == []


@pytest.mark.parametrize(
    ("place", "odd", "held"),
    [
        (5, b"<html>\n", DAYS[:2]),  # it says no time: the day before or the day after
        (5, _at(DAYS[1], b"\t"), DAYS[1:2]),
        (0, b"<html>\n", DAYS[:1]),
        (20, b"<html>\n", DAYS[3:]),
        (5, _at(DAYS[3], b"\t"), DAYS[:2]),  # what it says cannot be true
    ],
)
def test_a_line_between_days_holds_all_back_to_which_it_may_belong(
    table: EventsTable, place: int, odd: bytes, held: list[date]
) -> None:
    with pytest.raises(DaysMalformed) as raised:
        pull(table, [*GOOD[:place], odd, *GOOD[place:]], WINDOW)
    assert list(raised.value.days) == held
    assert table.days() == [day for day in DAYS if day not in held]


@pytest.mark.parametrize("end", [b"<html>\n", b"<html>", b'{"event":"x","properties":{"time":%d,\n' % ms(DAYS[1], 9)])
def test_after_a_line_at_the_end_days_may_be_missing_and_none_of_them_is_published(
    table: EventsTable, end: bytes
) -> None:
    with pytest.raises(DaysMalformed) as raised:
        pull(table, [*GOOD[:10], end], WINDOW)
    assert list(raised.value.days) == DAYS[1:]
    assert table.days() == DAYS[:1]


def test_a_line_cut_in_the_middle_is_a_response_that_ended_early(table: EventsTable) -> None:
    with pytest.raises(TerminatedEarly):
        pull(table, [*GOOD[:10], GOOD[10][:-9]], WINDOW, set_aside_malformed=True)
    assert table.days() == []


def test_where_days_come_mixed_the_day_of_a_line_is_not_guessed(table: EventsTable) -> None:
    lines = [*GOOD[5:], *GOOD[:5], _at(DAYS[1], b"\t")]
    with pytest.raises(DaysMixed):
        pull(table, lines, WINDOW, set_aside_malformed=True)
    assert table.days() == []


def test_a_response_without_any_event_is_no_export(table: EventsTable) -> None:
    with pytest.raises(MalformedLine, match="line 1 of the export"):
        pull(table, [b"<html>\n"], WINDOW, set_aside_malformed=True)
    assert table.days() == []


def test_lines_that_are_set_aside_count_when_the_day_is_compared_with_what_the_lake_has(table: EventsTable) -> None:
    pull(table, GOOD, WINDOW)
    lines = [*GOOD[:5], _at(DAYS[1], b"\t"), *GOOD[6:]]
    published = pull(table, lines, request(DAYS[0], DAYS[-1], later=1), set_aside_malformed=True)
    assert (published[1].rows, published[1].malformed) == (4, 1)


def test_a_person_is_erased_from_lines_that_were_set_aside_and_kept_out_of_new_ones(table: EventsTable) -> None:
    theirs = b'{"event":"x","properties":{"time":%d,"distinct_id":"anna-4711","s":"caf\xe9"}}\n' % ms(DAYS[1])
    other = theirs.replace(b"anna-4711", b"bert-4712")
    pull(table, [*GOOD[:7], theirs, other, *GOOD[7:]], WINDOW, set_aside_malformed=True)
    done = erase(table.lake, ["anna-4711"])
    assert (done.remaining, done.unread) == (0, ())
    assert table.malformed() == {DAYS[1]: [other.rstrip()]}
    Suppression(table.lake).add(["anna-4711"], datetime.now(UTC) + timedelta(days=1))
    again = request(DAYS[0], DAYS[-1], later=1)
    pull(table, [*GOOD[:7], theirs, other, *GOOD[7:]], again, set_aside_malformed=True)
    assert table.malformed() == {DAYS[1]: [other.rstrip()]}
