"""Pages: kept one by one, found again, never mixed with those of another answer."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixpanel_etl.gdpr.suppression_list import Suppression
from mixpanel_etl.lake import Table
from mixpanel_etl.lake.repeated_rows import without_repeats
from mixpanel_etl.lake.staged_pages import Pages, discard_others

DAY = "2026-03-01"
ASKED = datetime(2026, 3, 1, 12, tzinfo=UTC)
SCHEMA = pa.schema([pa.field("distinct_id", pa.string(), nullable=False)])


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return Table(str(tmp_path), "profiles", SCHEMA)


def page(*ids: str) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array(ids, pa.string())], schema=SCHEMA)


def keep(pages: Pages, *ids: str, session: str = "s", at: datetime = ASKED, last: bool = False) -> None:
    pages.keep(page(*ids), session, at, last=last)


def ids(pages: Pages) -> list[str]:
    return [name for batch in pages.batches() for name in batch.column(0).to_pylist()]


def test_pages_are_found_again_with_all_that_is_needed_to_go_on(table: Table) -> None:
    pages = Pages(table, DAY, {"where": "x"})
    assert (pages.number, pages.session, pages.complete, pages.requested_at) == (0, "", False, None)
    keep(pages, "a", "b")
    keep(pages, "c", session="t", at=ASKED + timedelta(hours=1))
    again = Pages(table, DAY, {"where": "x"})
    assert (again.number, again.rows, again.session, again.complete) == (2, 3, "t", False)
    assert again.requested_at == ASKED
    keep(again, last=True)
    assert Pages(table, DAY, {"where": "x"}).complete
    assert ids(again) == ["a", "b", "c"]


def test_another_day_question_or_schema_has_none_of_them(table: Table) -> None:
    keep(Pages(table, DAY, {"where": "x"}), "a")
    wider = Table(table.lake, table.name, SCHEMA.append(pa.field("plan", pa.string())))
    assert Pages(table, "2026-03-02", {"where": "x"}).number == 0
    assert Pages(table, DAY, {"where": "y"}).number == 0
    assert Pages(wider, DAY, {"where": "x"}).number == 0


def test_pages_that_another_answer_left_behind_are_not_taken_for_the_next_ones(table: Table) -> None:
    one, other = Pages(table, DAY, {}), Pages(table, DAY, {})
    keep(one, "a", at=ASKED)
    keep(one, "b", at=ASKED)
    other.discard()
    keep(other, "c", at=ASKED + timedelta(minutes=1))
    keep(one, "d", at=ASKED)
    found = Pages(table, DAY, {})
    assert (found.number, ids(found)) == (1, ["c"])


def test_discarded_pages_are_gone_and_others_stay(table: Table) -> None:
    mine, theirs = Pages(table, DAY, {"of": "mine"}), Pages(table, DAY, {"of": "theirs"})
    keep(mine, "a")
    keep(theirs, "b")
    discard_others(table, [mine])
    assert (Pages(table, DAY, {"of": "mine"}).number, Pages(table, DAY, {"of": "theirs"}).number) == (1, 0)
    mine.discard()
    assert table.storage.names("", "") == ["_format.json"]


def test_no_page_has_a_person_who_was_erased_a_moment_ago(table: Table) -> None:
    Suppression(table.lake).add(["b"], datetime.now(UTC) + timedelta(days=30))
    pages = Pages(table, DAY, {})
    keep(pages, "a", "b")
    assert (pages.rows, ids(pages)) == (1, ["a"])


def test_a_page_can_be_searched_for_a_person_by_its_bloom_filter(table: Table) -> None:
    keep(Pages(table, DAY, {}), "a")
    (name,) = table.storage.names("profiles/_pages", "")
    with table.storage.open(name) as file:
        assert pq.read_metadata(file).row_group(0).column(0).bloom_filter_length


def test_pages_on_s3(s3_lake: str) -> None:
    table = Table(s3_lake, "profiles", SCHEMA)
    keep(Pages(table, DAY, {}), "a")
    again = Pages(table, DAY, {})
    keep(again, "b", last=True)
    assert (Pages(table, DAY, {}).complete, ids(again)) == (True, ["a", "b"])
    again.discard()
    assert table.storage.names("", "") == ["_format.json"]


@settings(max_examples=100)
@given(batches=st.lists(st.lists(st.sampled_from("abcdef") | st.text(max_size=2), max_size=4), max_size=4))
def test_of_rows_with_one_id_the_first_stays(batches: list[list[str]]) -> None:
    def read() -> Iterator[pa.RecordBatch]:
        return (page(*batch) for batch in batches)

    kept = [name for batch in without_repeats(read, "distinct_id") for name in batch.column(0).to_pylist()]
    assert kept == list(dict.fromkeys(name for batch in batches for name in batch))
