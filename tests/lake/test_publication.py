"""What another process does between the looks and the acts of a publication, on a disk and in a bucket alike."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from mixpanel_etl.gdpr.erasure import erase
from mixpanel_etl.gdpr.suppression_list import Suppression
from mixpanel_etl.lake import DaysHeldBack, EventsTable, Provenance, Table, events_table, partitioned_table, publication
from mixpanel_etl.lake import day_file as dayfile
from mixpanel_etl.lake.bucket import _S3Draft
from mixpanel_etl.lake.disk import _DiskDraft
from mixpanel_etl.lake.errors import WriteConflict
from mixpanel_etl.lake.staged_pages import Pages

from .exports import DAY, REQUESTED_AT, line, pull, request

pytestmark = pytest.mark.slow

SCHEMA = pa.schema([("distinct_id", pa.string()), ("n", pa.int64())])
UNTIL = REQUESTED_AT + timedelta(days=10_000)


@pytest.fixture(params=["disk", "s3"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "lake") if request.param == "disk" else str(request.getfixturevalue("s3_lake"))


@pytest.fixture
def table(lake: str) -> EventsTable:
    return EventsTable(lake)


@pytest.fixture
def before_it(monkeypatch: pytest.MonkeyPatch, lake: str) -> Callable[[Callable[[], object]], None]:
    """Let something happen right before the next draft becomes visible, when everything has been looked at."""
    owner: Any = _S3Draft if lake.startswith("s3:") else _DiskDraft
    original = owner.publish

    def arrange(act: Callable[[], object]) -> None:
        waiting = [act]

        def publish(*arguments: Any) -> str:
            if waiting:
                waiting.pop()()
            return str(original(*arguments))

        monkeypatch.setattr(owner, "publish", publish)

    return arrange


def count(table: EventsTable) -> int:
    return table.scan().collect().height


def write(table: Table, later: int, rows: int, key: str = "k") -> None:
    content = pa.Table.from_pylist([{"distinct_id": f"u{n}", "n": later} for n in range(rows)], SCHEMA)
    table.write(key, content, Provenance(requested_at=REQUESTED_AT + timedelta(minutes=later)))


@pytest.mark.parametrize("before", [0, 2])
def test_the_later_request_wins_though_the_older_one_ends_last(
    table: EventsTable, before_it: Callable[..., None], before: int
) -> None:
    if before:
        pull(table, [line(n=0)] * before, request(later=0))
    before_it(lambda: pull(table, [line(n=2)] * 5, request(later=2)))
    assert pull(table, [line(n=1)] * 3, request(later=1))[0].rows == 5
    assert count(table) == 5


def test_nothing_shrinks_though_it_grew_at_the_last_moment(table: EventsTable, before_it: Callable[..., None]) -> None:
    pull(table, [line(n=0)] * 2, request(later=0))
    before_it(lambda: pull(table, [line(n=1)] * 5, request(later=1)))
    with pytest.raises(DaysHeldBack, match="5 rows -> 3"):
        pull(table, [line(n=2)] * 3, request(later=2))
    assert count(table) == 5


def test_the_later_request_of_a_partition_wins_though_the_older_one_ends_last(
    lake: str, before_it: Callable[..., None]
) -> None:
    table = Table(lake, "reports/r", SCHEMA, column="part")
    before_it(lambda: write(table, later=2, rows=5))
    write(table, later=1, rows=3)
    assert sum(batch.num_rows for batch in table.batches("k")) == 5


@pytest.mark.parametrize("there", [True, False])
def test_a_publication_that_began_before_an_erasure_does_not_bring_the_person_back(
    table: EventsTable, before_it: Callable[..., None], there: bool
) -> None:
    lines = [line(distinct_id=who) for who in ("person-1", "other", "other-2", "person-1")]
    if there:
        pull(table, lines, request(later=0))

    def forget() -> None:
        Suppression(table.lake).add(["person-1"], UNTIL)
        assert erase(table.lake, ["person-1"]).remaining == 0

    before_it(forget)
    assert pull(table, lines, request(later=1))[0].rows == 2
    assert sorted(table.scan().collect()["distinct_id"]) == ["other", "other-2"]
    assert erase(table.lake, ["person-1"]).rows_removed == 0


def test_a_person_who_is_suppressed_during_each_publication_is_in_none(
    table: EventsTable, before_it: Callable[..., None], lake: str
) -> None:
    people = [f"person-{n}" for n in range(3)]

    def forget() -> None:
        Suppression(lake).add([people.pop()], UNTIL)
        before_it(forget if people else lambda: None)

    lines = [line(distinct_id=who) for who in (*people, "other")]
    before_it(forget)
    pull(table, lines)
    assert people == []
    assert set(table.scan().collect()["distinct_id"]) == {"other"}


def test_an_erasure_takes_a_file_anew_that_was_replaced_meanwhile(
    table: EventsTable, before_it: Callable[..., None]
) -> None:
    lines = [line(distinct_id=who) for who in ("person-1", "other")]
    pull(table, lines, request(later=0))
    before_it(lambda: pull(table, [*lines, line(distinct_id="new")], request(later=1)))
    assert erase(table.lake, ["person-1"]).remaining == 0
    assert sorted(table.scan().collect()["distinct_id"]) == ["new", "other"]


def test_a_day_that_is_replaced_while_it_is_read_is_read_again(
    table: EventsTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    pull(table, [line(n=0)] * 2, request(later=0))
    original, waiting = dayfile.read_day, [True]

    def read_day(*arguments: Any) -> Any:
        if waiting:
            waiting.pop()
            pull(table, [line(n=1)] * 4, request(later=1))
        return original(*arguments)

    monkeypatch.setattr(events_table, "read_day", read_day)
    found = table.day(DAY)
    assert found
    assert found.rows == (2 if not table.lake.startswith("s3:") else 4)


def test_rows_are_those_of_one_file_though_it_is_replaced_while_they_are_read(lake: str) -> None:
    table = Table(lake, "t", SCHEMA)
    write(table, later=1, rows=30_000)
    seen: list[int] = []
    for batch in table.batches("k"):
        if not seen:
            write(table, later=2, rows=20_000)
        seen += batch.column("n").to_pylist()
    assert seen == [1] * 30_000
    assert sum(batch.num_rows for batch in table.batches("k")) == 20_000


def page(n: int) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([{"distinct_id": f"u{n}", "n": n}], SCHEMA)


def test_two_runs_that_ask_the_same_question_do_not_mix_their_pages(lake: str) -> None:
    table = Table(lake, "profiles", SCHEMA)
    one, other = Pages(table, "k", {"q": 1}), Pages(table, "k", {"q": 1})
    one.keep(page(0), "session-1", REQUESTED_AT, last=False)
    with pytest.raises(WriteConflict):
        other.keep(page(1), "session-2", REQUESTED_AT + timedelta(minutes=1), last=False)
    one.keep(page(2), "session-1", REQUESTED_AT, last=True)
    assert [batch.column("n").to_pylist() for batch in one.batches()] == [[0], [2]]


def test_pages_of_an_answer_that_another_run_began_are_replaced(lake: str) -> None:
    table = Table(lake, "profiles", SCHEMA)
    for minute, numbers in ((0, range(4)), (1, range(1))):
        pages = Pages(table, "k", {"q": 1})
        pages.number, pages.requested_at = 0, None
        pages._left = {name: table.storage.version(name) for name in pages._names()}
        for number in numbers:
            pages.keep(page(number), "s", REQUESTED_AT + timedelta(minutes=minute), last=False)
    found = Pages(table, "k", {"q": 1})
    assert found.number == 1
    for number in (7, 8, 9, 10):
        found.keep(page(number), "s", REQUESTED_AT, last=False)
    assert [batch.column("n").to_pylist() for batch in found.batches()] == [[0], [7], [8], [9], [10]]


def test_a_file_that_others_replace_again_and_again_is_given_up_in_the_end(
    table: EventsTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publication, "_REPLACE_SECONDS", 0.0)

    def rejected(*_: object) -> str:
        raise WriteConflict("x")

    monkeypatch.setattr(partitioned_table, "publish", rejected)
    with pytest.raises(WriteConflict, match=r"events\.parquet"):
        pull(table, [line()])
