"""From the bytes of an export to its days: all of them after the last byte, or none."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from itertools import chain
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixpanel_etl.lake import (
    ConfigurationError,
    DaysHeldBack,
    DaysMixed,
    EventsTable,
    LakeError,
    OutsideWindow,
    PublishedDay,
    TerminatedEarly,
    ingest,
    shuffle,
)
from mixpanel_etl.lake import export_decoder as decode_module

from .exports import DAY, contents, cut, days_from, files, line, ms, pull, request, stored
from .hostile import Hostile, events

pytestmark = pytest.mark.slow

FOREVER = 100


class LazyWorker:
    """An executor that is as late as it may be: work is done when its result is asked for."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self._submitted: list[LazyWork] = []

    def submit(self, work: Callable[[], None]) -> LazyWork:
        self._submitted.append(LazyWork(work))
        return self._submitted[-1]

    def shutdown(self) -> None:
        for work in self._submitted:
            work.result()


class LazyWork:
    def __init__(self, work: Callable[[], None]) -> None:
        self._work: Callable[[], None] | None = work

    def result(self) -> None:
        work, self._work = self._work, None
        if work:
            work()


@settings(max_examples=25)
@given(st.lists(events(), max_size=8), st.lists(st.integers(1, 4000), min_size=1, max_size=4), st.integers(1, 4000))
def test_hostile_events_are_in_the_lake_as_they_were_sent(
    table: EventsTable, sent: list[Hostile], sizes: list[int], block: int
) -> None:
    data = b"\n".join(event.line for event in sent)
    with patch.object(decode_module, "BLOCK_BYTES", block), patch.object(shuffle, "BUDGET_BYTES", block):
        (published,) = pull(table, cut(data, sizes), allow_shrink=True)
    expected = [event.row for event in sent]
    found = [{**row, "time": _ms(row["time"]), "processing_time": _ms(row["processing_time"])} for row in stored(table)]
    if published.duplicates:
        rest = iter(expected)
        assert all(row in rest for row in found)  # in their order, though some are left out
        assert len(found) + published.duplicates == len(expected)
    else:
        assert found == expected


def _ms(timestamp: Any) -> int | None:
    return None if timestamp is None else round(timestamp.timestamp() * 1000)


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 7), st.integers(1, 9)), max_size=40),
    st.sampled_from([1, 300, 1000, 3000, 32 << 20]),
    st.sampled_from([1, 200, 700, 1 << 20]),
    st.sampled_from([1, 4]),
    st.booleans(),
)
def test_every_row_is_on_its_day_once_and_in_order_however_days_come_mixed(  # noqa: PLR0917
    table: EventsTable, runs: list[tuple[int, int]], budget: int, block: int, mixed: int, lazy: bool
) -> None:
    """Each run is a number of rows of one day, a third of them copies of an event seen before."""
    days = [day for day, count in runs for _ in range(count)]
    lines = [line(ms(DAY, 86_400 * day), insert_id=f"i{n % 3 and n}", n=n) for n, day in enumerate(days)]
    expected = defaultdict(list)
    for n, day in enumerate(days):
        if n % 3 or not any(other % 3 == 0 and days[other] == day for other in range(n + 1, len(days))):
            expected[day].append(n)
    with (
        patch.object(shuffle, "BUDGET_BYTES", budget),
        patch.object(shuffle, "_MIXED_BYTES", budget),
        patch.object(shuffle, "_MIXED_DAYS", mixed),
        patch.object(decode_module, "BLOCK_BYTES", block),
        patch.object(shuffle, "ThreadPoolExecutor", LazyWorker if lazy else ThreadPoolExecutor),
    ):
        published = pull(table, lines, request(DAY, DAY + timedelta(days=7)), allow_shrink=True)
    for number, told in enumerate(published):
        found = [json.loads(row["properties"])["n"] for row in stored(table, told.day)]
        assert found == expected[number]
        assert (told.rows, told.duplicates) == (len(found), days.count(number) - len(found))


def test_a_hundred_days_line_by_line_become_a_hundred_files_of_decent_row_groups(table: EventsTable) -> None:
    days, per_day = days_from(DAY, 100), 60
    lines = [line(ms(day, n), n=n) for n in range(per_day) for day in days]
    with patch.object(shuffle, "_MIXED_BYTES", 20_000), patch.object(decode_module, "BLOCK_BYTES", 10_000):
        published = pull(table, cut(b"".join(lines), [4096]), request(days[0], days[-1]))
    assert [(day.day, day.rows) for day in published] == [(day, per_day) for day in days]
    for day in days:
        assert [json.loads(row["properties"])["n"] for row in stored(table, day)] == list(range(per_day))
        assert pq.read_metadata(f"{table.uri}/date={day}/events.parquet").num_row_groups == 1


def test_a_day_of_the_window_without_events_gets_a_file_without_rows(table: EventsTable) -> None:
    last = DAY + timedelta(days=2)
    published = pull(table, [line(ms(DAY + timedelta(days=1)))], request(DAY, last))
    assert [day.rows for day in published] == [0, 1, 0]
    assert table.days() == days_from(DAY, 3)
    empty = table.day(DAY)
    assert empty
    assert (empty.rows, empty.first_time, empty.newest_processing_time) == (0, None, None)


def test_an_export_without_events_publishes_every_day_empty(table: EventsTable) -> None:
    assert [day.rows for day in pull(table, [], request(DAY, DAY + timedelta(days=1)))] == [0, 0]


def test_progress_counts_the_rows_as_they_are_decoded(table: EventsTable) -> None:
    counted: list[tuple[int, date]] = []
    with patch.object(decode_module, "BLOCK_BYTES", 1):
        pull(table, [line(), line() + line(), b"\n"], on_rows=lambda *told: counted.append(told))
    assert counted == [(1, DAY), (2, DAY)]


@pytest.fixture
def filled(table: EventsTable) -> EventsTable:
    """A table with one day published, of three events."""
    pull(table, [line(n=n) for n in range(3)])
    return table


BAD_ENDINGS: list[tuple[list[bytes], type[Exception]]] = [
    ([b"terminated early\n"], TerminatedEarly),
    ([line()[:-9]], TerminatedEarly),
    ([b"\x00garbage\n", line()], DaysMixed),
    ([b"<html>\n<body>502 Bad Gateway</body>\n</html>\n"], DaysMixed),
    ([b'{"event":"Visit","properties":{"distinct_id":"d"}}\n'], DaysMixed),
    ([line(ms(DAY, -1))] * 3, OutsideWindow),
]


@pytest.mark.parametrize("budget", [1, 32 << 20])
@pytest.mark.parametrize(("ending", "kind"), BAD_ENDINGS)
def test_a_response_that_is_not_whole_changes_nothing(
    filled: EventsTable, lake: Path, ending: list[bytes], kind: type[Exception], budget: int
) -> None:
    before = contents(lake)
    good = [line(ms(DAY, n + 86_400 * (n % 3))) for n in range(50)]
    with (
        patch.object(shuffle, "BUDGET_BYTES", budget),
        patch.object(decode_module, "BLOCK_BYTES", 1),
        pytest.raises(kind),
    ):
        pull(filled, [*good, *ending], request(DAY, DAY + timedelta(days=2), later=1))
    assert contents(lake) == before


def test_an_error_of_the_source_passes_through_and_changes_nothing(filled: EventsTable, lake: Path) -> None:
    class Broken(Exception):
        pass

    def chunks() -> Iterator[bytes]:
        yield from [line()] * 10
        raise Broken

    before = contents(lake)
    with pytest.raises(Broken):
        pull(filled, chunks(), request(later=1))
    assert contents(lake) == before


def test_the_source_is_not_read_any_more_when_an_error_is_raised(table: EventsTable) -> None:
    taken = []
    source = (taken.append(n) or chunk for n, chunk in enumerate(chain([b"terminated early\n"], [line()] * 1000)))  # type: ignore[func-returns-value]
    with patch.object(decode_module, "BLOCK_BYTES", 1), pytest.raises(TerminatedEarly):
        pull(table, source)
    so_far = len(taken)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("read", "shuffle", "publish"))]
    assert len(taken) == so_far < 1000


def test_whoever_stops_listening_leaves_whole_days_and_no_draft(table: EventsTable, lake: Path) -> None:
    days = days_from(DAY, 20)
    listener = ingest((line(ms(day)) for day in days), table, request(days[0], days[-1]))
    first = next(listener)
    assert isinstance(listener, Generator)
    listener.close()
    assert first.day in table.days()
    assert all(table.day(day).rows == 1 for day in table.days())  # type: ignore[union-attr]
    assert files(lake / ".drafts") == []


def test_days_under_way_are_finished_and_told_when_one_fails(table: EventsTable) -> None:
    days = days_from(DAY, 30)
    publish = EventsTable.publish
    told: list[PublishedDay] = []

    def failing(self: EventsTable, day: Any, *arguments: Any, **options: Any) -> PublishedDay:
        if day == days[3]:
            raise OSError(28, "No space left on device")
        return publish(self, day, *arguments, **options)

    with patch.object(EventsTable, "publish", failing), pytest.raises(OSError, match="No space left"):
        told.extend(ingest([], table, request(days[0], days[-1])))
    assert sorted(day.day for day in told) == table.days()
    assert days[3] not in table.days()


def test_a_failure_is_told_before_days_that_are_held_back(filled: EventsTable) -> None:
    def failing(*_: Any, **__: Any) -> None:
        raise LakeError("failed")

    with patch.object(EventsTable, "publish", failing), pytest.raises(LakeError, match="failed"):
        pull(filled, [], request(later=1))


def test_days_that_would_shrink_are_held_back_and_all_others_published(filled: EventsTable, lake: Path) -> None:
    days = days_from(DAY - timedelta(days=1), 3)
    before = (lake / f"events/date={DAY}/events.parquet").read_bytes()
    told: list[PublishedDay] = []
    with pytest.raises(
        DaysHeldBack, match=r"2026-03-05 \(3 rows -> 2; 0 explained .*, 0 tolerated\).*allow_shrink=true"
    ) as raised:
        told.extend(ingest([line(), line()], filled, request(days[0], days[-1], later=1)))
    assert raised.value.days == {DAY: (3, 2)}
    assert sorted(day.day for day in told) == [days[0], days[2]]
    assert filled.days() == days
    assert (lake / f"events/date={DAY}/events.parquet").read_bytes() == before


def test_a_copy_that_compaction_took_away_is_no_loss(table: EventsTable) -> None:
    """Mixpanel's compaction leaves one of the rows of a day that agree in event, distinct_id and $insert_id."""
    twice = [line(ms(DAY, second), insert_id="twice", distinct_id="u") for second in (1, 2)]
    others = [line(ms(DAY, n), insert_id=f"i{n}", distinct_id="u") for n in range(10, 20)]
    late = line(ms(DAY, 30), insert_id="late", distinct_id="u")
    assert pull(table, [*twice, *others])[0].rows == 12
    (published,) = pull(table, [twice[1], *others], request(later=1))
    assert published.rows == 11
    pull(table, [*twice, *others, late], request(later=2))
    with pytest.raises(DaysHeldBack, match=r"13 rows -> 11; 1 explained by copies and erasures, 0 tolerated"):
        pull(table, [twice[1], *others[1:], late], request(later=3))


def test_rows_without_a_telling_insert_id_are_a_loss(table: EventsTable) -> None:
    pull(table, [line(ms(DAY, n), insert_id="undefined", distinct_id="u") for n in range(3)])
    with pytest.raises(DaysHeldBack):
        pull(table, [line(ms(DAY, 0), insert_id="undefined", distinct_id="u")], request(later=1))


def test_the_tolerance_is_a_setting_of_the_table_and_stands_in_the_message(table: EventsTable) -> None:
    tolerant = EventsTable(table.lake, shrink_tolerance=0.02)
    pull(tolerant, [line(ms(DAY, n)) for n in range(100)])
    with pytest.raises(DaysHeldBack, match=r"100 rows -> 97; 0 explained .*, 2 tolerated"):
        pull(tolerant, [line(ms(DAY, n)) for n in range(97)], request(later=1))
    assert pull(tolerant, [line(ms(DAY, n)) for n in range(98)], request(later=2))[0].rows == 98
    with pytest.raises(ConfigurationError, match="shrink_tolerance must be a share from 0 to 1, not 50"):
        EventsTable(table.lake, shrink_tolerance=50)


@pytest.mark.parametrize("reserved", ["", " ", "undefined", "NULL", "None", "0", f"{0:08}-0000-0000-0000-{0:012}"])
def test_an_insert_id_that_says_nothing_makes_no_copies(table: EventsTable, reserved: str) -> None:
    (published,) = pull(table, [line(ms(DAY, 1), insert_id=reserved, distinct_id="u", n=n) for n in range(3)])
    assert (published.rows, published.duplicates) == (3, 0)


def test_a_day_shrinks_when_that_is_allowed(filled: EventsTable) -> None:
    (published,) = pull(filled, [line()], request(later=1), allow_shrink=True)
    assert published.rows == len(stored(filled)) == 1


def test_copies_that_are_gone_do_not_count_as_shrinking(table: EventsTable) -> None:
    pull(table, [line(insert_id="i")] * 5)
    (published,) = pull(table, [line(insert_id="i")], request(later=1))
    assert (published.rows, published.duplicates) == (1, 0)
