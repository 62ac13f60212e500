"""Published days: which request wins, which is rejected, and what a file says of itself."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from itertools import permutations
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mixpanel_etl.lake import ConfigurationError, DaysHeldBack, EventsTable, ForeignFile, UnreadableFile

from .exports import DAY, REQUESTED_AT, contents, days_from, line, ms, pull, request, stored


def test_a_file_tells_which_request_wrote_it_and_what_it_holds(table: EventsTable) -> None:
    asked = request(
        last=DAY + timedelta(days=1), run_id="run-1", project_id=7, events=("A", "Ö"), where='x == "y"', version="1.2"
    )
    lines = [
        line(ms(DAY, 5), insert_id="i", processing=ms(DAY, 70)),
        line(ms(DAY, 5), insert_id="i", processing=ms(DAY, 90)),
        line(ms(DAY, 9.5), insert_id="j"),
    ]
    told, empty = pull(table, lines, asked)
    midnight = datetime(2026, 3, 5, tzinfo=UTC)
    path = Path(table.uri) / f"date={DAY}/events.parquet"
    assert told == table.day(DAY)
    assert (told.uri, told.bytes) == (str(path), path.stat().st_size)
    assert (told.rows, told.duplicates, empty.rows, empty.duplicates) == (2, 1, 0, 0)
    assert told.first_time == midnight + timedelta(seconds=5)
    assert told.last_time == midnight + timedelta(seconds=9.5)
    assert told.newest_processing_time == midnight + timedelta(seconds=90)
    assert told.provenance == {
        "requested_at": "2026-06-01T00:00:00+00:00",
        "from_date": "2026-03-05",
        "to_date": "2026-03-06",
        "zone": "UTC",
        "run_id": "run-1",
        "project_id": 7,
        "events": ["A", "Ö"],
        "where": 'x == "y"',
        "version": "1.2",
    }


@pytest.mark.parametrize("order", list(permutations([0, 1, 2])))
def test_the_latest_request_wins_whatever_the_order_of_publication(table: EventsTable, order: tuple[int, ...]) -> None:
    for later in order:
        (told,) = pull(table, [line(n=later)] * (3 - later), request(later=later), allow_shrink=True)
        assert told == table.day(DAY)
    assert [json.loads(row["properties"])["n"] for row in stored(table)] == [2]


def test_an_older_request_is_told_what_is_there_and_not_that_it_shrinks(table: EventsTable) -> None:
    pull(table, [line()] * 3, request(later=5))
    (told,) = pull(table, [line()], request())
    assert told.rows == 3


def test_the_same_request_may_publish_again(table: EventsTable) -> None:
    pull(table, [line(n=1)])
    pull(table, [line(n=2)])
    assert [json.loads(row["properties"])["n"] for row in stored(table)] == [2]


def test_another_project_is_refused_and_changes_nothing(table: EventsTable, lake: Path) -> None:
    pull(table, [line()], request(project_id=1))
    before = contents(lake)
    with pytest.raises(ForeignFile, match=r"date=2026-03-05/events.parquet was written by .*project 1, not 2"):
        pull(table, [line()] * 2, request(later=1, project_id=2), allow_shrink=True)
    assert contents(lake) == before


def test_a_file_of_this_layout_that_someone_else_wrote_is_guarded_and_replaced(table: EventsTable) -> None:
    path = Path(table.uri) / f"date={DAY}/events.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(pa.table({"event_name": ["a", "b"]}), path)
    there = table.day(DAY)
    assert there
    assert (there.rows, there.provenance, there.first_time) == (2, {}, None)
    with pytest.raises(DaysHeldBack):
        pull(table, [line()])
    assert pull(table, [line()] * 2)[0].rows == 2


@pytest.mark.parametrize("damage", [b"", b"PAR1", b"no parquet at all" * 100])
def test_a_damaged_file_is_named_with_what_to_do(table: EventsTable, damage: bytes) -> None:
    pull(table, [line()])
    path = Path(table.uri) / f"date={DAY}/events.parquet"
    path.write_bytes(damage)
    with pytest.raises(UnreadableFile, match=r"date=2026-03-05/events.parquet is not a Parquet file .*Move it away"):
        table.day(DAY)
    with pytest.raises(UnreadableFile):
        pull(table, [line()], request(later=1))
    path.unlink()
    assert pull(table, [line()], request(later=1))[0].rows == 1


def test_a_day_that_was_never_published_is_none_and_an_empty_one_is_not(table: EventsTable) -> None:
    assert table.day(DAY) is None
    assert table.days() == []
    with pytest.raises(FileNotFoundError):
        table.file_schema(DAY)
    pull(table, [])
    assert table.day(DAY) is not None


def test_only_files_in_their_place_are_days(table: EventsTable) -> None:
    pull(table, [line()])
    whole = (Path(table.uri) / f"date={DAY}/events.parquet").read_bytes()
    for name in [
        "old/date=2026-01-01/events.parquet",
        "date=2026-01-02/copy.parquet",
        "date=__HIVE_DEFAULT_PARTITION__/events.parquet",
        "2026-01-03/events.parquet",
        "date=2026-01-04/deeper/events.parquet",
    ]:
        path = Path(table.uri) / name
        path.parent.mkdir(parents=True)
        path.write_bytes(whole)
    assert table.days() == [DAY]
    assert table.scan().collect().height == 1


def test_tables_of_one_lake_do_not_see_each_other(table: EventsTable) -> None:
    others = [EventsTable(table.lake, name) for name in ("events_eu", "eu/events")]
    for n, other in enumerate([table, *others]):
        pull(other, [line()] * (n + 1))
    assert [other.scan().collect().height for other in [table, *others]] == [1, 2, 3]
    assert all(other.days() == [DAY] for other in [table, *others])


def test_days_are_sorted(table: EventsTable) -> None:
    days = [date(2026, 3, 5), date(1999, 12, 31), date(2027, 1, 1)]
    for day in days:
        pull(table, [], request(day))
    assert table.days() == sorted(days)


def test_a_table_of_unknown_place_is_refused_before_anything_is_written() -> None:
    with pytest.raises(ConfigurationError, match="use a path, file:///path or s3://bucket/prefix"):
        EventsTable("gs://bucket/lake")
    with pytest.raises(ConfigurationError):
        EventsTable("s3://")


def test_a_file_uri_is_a_path(table: EventsTable, lake: Path) -> None:
    pull(EventsTable(f"file://{lake}"), [line()])
    assert table.days() == [DAY]


def test_of_one_request_the_days_carry_the_same_moment(table: EventsTable) -> None:
    days = days_from(DAY, 3)
    told = pull(table, [], request(days[0], days[-1]))
    assert {day.provenance["requested_at"] for day in told} == {REQUESTED_AT.isoformat()}
