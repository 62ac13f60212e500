"""Tables of single-file partitions."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from mixpanel_etl.lake import ConfigurationError, EventsTable, ForeignFile, Provenance, Table, UnreadableFile

SCHEMA = pa.schema([pa.field("step", pa.int64()), pa.field("event", pa.string())])
ASKED = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(params=["disk", "s3"])
def funnels(request: pytest.FixtureRequest, tmp_path: Path) -> Table:
    root = str(tmp_path) if request.param == "disk" else request.getfixturevalue("s3_lake")
    return Table(root, "reports/signups", SCHEMA)


def rows(*events: str) -> pa.Table:
    return pa.table({"step": range(len(events)), "event": events}, schema=SCHEMA)


def asked(minutes: int = 0, project_id: int | None = 1) -> Provenance:
    return Provenance(
        requested_at=ASKED + timedelta(minutes=minutes), project_id=project_id, request={"kind": "funnel"}
    )


def test_what_is_written_is_read_back_with_its_provenance(funnels: Table) -> None:
    written = funnels.write("2026-02-01", rows("Visit", "Pay"), asked())
    assert written == funnels.partition("2026-02-01")
    assert (written.rows, written.requested_at, written.provenance["kind"]) == (2, ASKED, "funnel")
    assert funnels.keys() == ["2026-02-01"]
    assert funnels.scan().collect().rows() == [(0, "Visit", "2026-02-01"), (1, "Pay", "2026-02-01")]


def test_a_partition_without_rows_is_not_a_missing_one(funnels: Table) -> None:
    assert funnels.partition("2026-02-01") is None
    assert funnels.scan().collect().is_empty()
    assert funnels.write("2026-02-01", rows(), asked()).rows == 0
    assert funnels.keys() == ["2026-02-01"]


def test_the_later_request_wins_whatever_the_order_of_publication(funnels: Table) -> None:
    funnels.write("2026-02-01", rows("later"), asked(minutes=1))
    assert funnels.write("2026-02-01", rows("earlier", "earlier"), asked()).rows == 1
    assert funnels.scan().collect()["event"].to_list() == ["later"]


def test_another_projects_partition_is_not_overwritten(funnels: Table) -> None:
    funnels.write("2026-02-01", rows("Visit"), asked())
    with pytest.raises(ForeignFile, match="project 1, not 2"):
        funnels.write("2026-02-01", rows("Other"), asked(minutes=1, project_id=2))


def test_rows_that_fail_on_the_way_leave_what_was_there(funnels: Table) -> None:
    def broken() -> Iterator[pa.RecordBatch]:
        yield from rows("half").to_batches()
        raise ConnectionError

    funnels.write("2026-02-01", rows("whole"), asked())
    with pytest.raises(ConnectionError):
        funnels.write("2026-02-01", broken(), asked(minutes=1))
    assert funnels.scan().collect()["event"].to_list() == ["whole"]


def test_only_the_partitions_asked_for_are_read(funnels: Table) -> None:
    for key in ("2026-02-01", "2026-02-02", "2026-02-03"):
        funnels.write(key, rows(key), asked())
    assert funnels.scan(["2026-02-02", "2026-02-09"]).collect()["event"].to_list() == ["2026-02-02"]


@pytest.mark.parametrize("key", ["a/b", "ü ß", "x=y", "100%", "..", "2026-02-01"])
def test_any_text_can_be_a_key(funnels: Table, key: str) -> None:
    assert funnels.write(key, rows("Visit"), asked()).key == key
    assert funnels.keys() == [key]
    assert funnels.scan([key]).collect()["date"].to_list() == [key]


def test_a_reply_is_kept_beside_the_rows_and_is_no_partition(funnels: Table) -> None:
    assert funnels.reply("2026-02-01_2026-02-09") is None
    funnels.keep_reply("2026-02-01_2026-02-09", b'{"data": 1}')
    assert funnels.reply("2026-02-01_2026-02-09") == b'{"data": 1}'
    assert funnels.keys() == []


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    table = Table(str(tmp_path), "profiles", SCHEMA)
    uri = table.write("2026-02-01", rows("Visit"), asked()).uri
    Path(uri).write_bytes(b"PAR1")
    with pytest.raises(UnreadableFile, match="2026-02-01"):
        table.partition("2026-02-01")


def test_nothing_but_whole_files_is_left(tmp_path: Path) -> None:
    table = Table(str(tmp_path), "profiles", SCHEMA)
    table.write("2026-02-01", rows("Visit"), asked())
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == {
        "data.parquet",
        "profiles.json",
        "_format.json",
    }


def test_a_removed_file_is_gone_and_removing_it_again_does_no_harm(funnels: Table) -> None:
    funnels.write("2026-02-01", rows("Visit"), asked())
    for _ in range(2):
        funnels.storage.remove("reports/signups/date=2026-02-01/data.parquet")
        assert funnels.keys() == []


BAD_NAMES = [
    "",
    "../x",
    "/x",
    "a//b",
    "a/./b",
    "a/../b",
    "a/",
    ".",
    "..",
    "a\0b",
    "a\\b",
    "_a",
    ".a",
    "a/_b",
    "a/.b",
    "a=b",
]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_table_does_not_leave_the_lake(lake: Path, name: str) -> None:
    for made in (lambda: Table(str(lake), name, pa.schema([])), lambda: EventsTable(str(lake), name)):
        with pytest.raises(ConfigurationError, match="must be a folder of the lake, such as events"):
            made()
    with pytest.raises(ConfigurationError, match="column"):
        Table(str(lake), "t", pa.schema([]), column=name)
