"""A person leaves the lake: every file, and nothing else of it."""

from __future__ import annotations

import gzip
import hashlib
import json
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mixpanel_etl.client import Mixpanel
from mixpanel_etl.gdpr import lake_files as files
from mixpanel_etl.gdpr.erasure import erase
from mixpanel_etl.gdpr.linked_ids import expand, expand_together
from mixpanel_etl.gdpr.suppression_list import Suppression
from mixpanel_etl.lake import EventsTable, Provenance, Table
from mixpanel_etl.lake.staged_pages import Pages
from mixpanel_etl.lake.storage import storage
from mixpanel_etl.pull import pull_events
from mixpanel_etl.pull.profile_snapshots import profile_schema
from mixpanel_etl.sandbox import Sandbox

from ..conftest import FIRST
from ..lakehouse import days_from
from .lakes import ASKED, as_rows, event, events_of, everything, fill_other_tables, table

DAYS = days_from(FIRST, 20)
DEVICES = [hashlib.md5(f"device {n}".encode()).hexdigest() for n in range(9)]
IDS = ["anna-4711", *DEVICES]


@pytest.fixture
def shop(mixpanel: Sandbox) -> Sandbox:
    """Twenty days of a shop, in six of which a person of ten ids was there: one user, nine devices."""
    mixpanel.generate(600, DAYS[0], DAYS[-1])
    for n, device in enumerate(DEVICES):
        day = DAYS[n % 6]
        mixpanel.load([event(day, "Visit", f"a{n}", distinct_id=f"$device:{device}", device=device)])
        mixpanel.load([event(day, "Log in", f"b{n}", distinct_id="anna-4711", device=device, user="anna-4711")])
    mixpanel.load([event(DAYS[9], "Invite", "c", distinct_id="other", invited="anna-4711")])
    return mixpanel


@pytest.fixture
def lake(shop: Sandbox, client: Mixpanel, table: EventsTable) -> Path:
    list(pull_events(client, table, DAYS))
    fill_other_tables(table.lake, IDS)
    return Path(table.lake)


def inodes(lake: Path) -> dict[str, int]:
    return {str(path.relative_to(lake)): path.stat().st_ino for path in lake.rglob("*") if path.is_file()}


def test_of_a_person_of_ten_ids_all_are_claimed_and_found_once_they_are_accepted(lake: Path) -> None:
    user = expand(str(lake), [IDS[0], "unknown-id"])
    assert {one.id: one.reason for one in user[IDS[0]].claims} == dict.fromkeys(DEVICES, "unresolved_device")
    assert user[IDS[0]].shared == {}
    assert user["unknown-id"].ids == ("unknown-id",)
    accepted = expand_together(str(lake), {"R-1": IDS})["R-1"]
    assert set(accepted.ids) == {*IDS, *(f"$device:{device}" for device in DEVICES)}
    assert (accepted.claims, accepted.shared) == ((), {})
    assert accepted.seen_in["events.device_id"] == 18
    assert accepted.seen_in["profiles.distinct_id"] == 1


def test_after_an_erasure_no_byte_of_the_lake_has_an_id(lake: Path) -> None:
    ids = expand_together(str(lake), {"R-1": IDS})["R-1"].ids
    before = {path: as_rows(lake / path) for path in inodes(lake) if path.endswith(".parquet")}
    files = inodes(lake)
    told = erase(str(lake), ids)
    assert (told.remaining, told.unread) == (0, ())
    for name, content in everything(lake).items():
        assert not [one for one in IDS if one.encode() in content], name
    assert told.tables["events"].files_rewritten == 7
    assert (told.tables["events"].rows_removed, told.tables["events"].values_blanked) == (18, 1)
    changed = {name for name, inode in inodes(lake).items() if files.get(name) not in (inode, None)}
    assert changed == {name for table in told.tables.values() for name in table.files}
    for name, rows in before.items():
        kept = [row for row in rows if not any(one in str(row) for one in IDS) or row.get("distinct_id") == "other"]
        held = as_rows(lake / name)
        assert [{**row, "properties": 0} for row in held] == [{**row, "properties": 0} for row in kept], name
        assert name.endswith(f"{DAYS[9]}/events.parquet") or held == kept


def test_an_erasure_again_changes_nothing(lake: Path) -> None:
    erase(str(lake), IDS)
    files = inodes(lake)
    again = erase(str(lake), IDS)
    assert inodes(lake) == files
    assert (again.files_rewritten, again.rows_removed, again.remaining) == (0, 0, 0)
    assert again.tables["events"].rows_removed_before == 18


def test_a_re_export_does_not_bring_the_person_back(lake: Path, client: Mixpanel, table: EventsTable) -> None:
    soon = datetime.now(UTC) + timedelta(days=30)
    Suppression(str(lake)).add(IDS, soon)
    erase(str(lake), IDS)
    rows = events_of(str(lake)).height
    published = list(pull_events(client, table, DAYS))
    assert sum(day.rows for day in published) == rows == events_of(str(lake)).height
    assert erase(str(lake), IDS).rows_removed == 0


def clean(lake: Path) -> bool:
    return not [one for one in IDS for content in everything(lake).values() if one.encode() in content]


@pytest.mark.parametrize("die", ["reading", "writing", "closing", "renaming", "renamed"])
def test_a_killed_erasure_leaves_whole_files_and_the_next_one_ends_it(lake: Path, die: str) -> None:
    rows = events_of(str(lake)).height
    killed = subprocess.run([sys.executable, "-c", KILLED, str(lake), die, *IDS], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert rows - 18 <= events_of(str(lake)).height <= rows
    told = erase(str(lake), IDS)
    assert clean(lake)
    assert told.remaining == 0
    assert list((lake / ".drafts").iterdir()) == []
    events = told.tables["events"]
    assert events.rows_removed + events.rows_removed_before == 18
    assert events.files_rewritten + events.files_rewritten_before == 7
    assert events_of(str(lake)).height == rows - 18


KILLED = """
import itertools, os, pathlib, signal, sys
import pyarrow.parquet as pq
from mixpanel_etl.gdpr import erasure
from mixpanel_etl.gdpr import lake_files as files

def dying(function, times, *, after=False):
    calls = itertools.count(1)  # of several threads
    def replaced(*arguments, **options):
        last = next(calls) == times
        if last and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = function(*arguments, **options)
        if last:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    return replaced

lake, die, *ids = sys.argv[1:]
if die == "reading":
    files.LakeFile.look = dying(files.LakeFile.look, 10)
elif die == "writing":
    pq.ParquetWriter.write_table = dying(pq.ParquetWriter.write_table, 3)
elif die == "closing":
    pq.ParquetWriter.close = dying(pq.ParquetWriter.close, 3)
else:
    pathlib.Path.replace = dying(pathlib.Path.replace, 3, after=die == "renamed")
erasure.erase(lake, ids)
"""


def test_an_export_that_ends_during_the_erasure_does_not_bring_the_person_back(
    lake: Path, client: Mixpanel, table: EventsTable
) -> None:
    Suppression(str(lake)).add(IDS, datetime.now(UTC) + timedelta(days=30))
    pulled: list[Any] = []

    def pull(done: int, _: int) -> None:
        if done == 15 and not pulled:
            pulled.extend(pull_events(client, table, DAYS))

    assert erase(str(lake), IDS, on_progress=pull).remaining == 0
    assert len(pulled) == len(DAYS)
    for name, content in everything(lake).items():
        # Other people's rows that mention an id are theirs to keep: the next erasure blanks it.
        assert f"date={DAYS[9]}" in name or not [one for one in IDS if one.encode() in content]


def test_no_table_takes_suppressed_people_in_until_the_date(tmp_path: Path) -> None:
    lake = str(tmp_path)
    soon = datetime.now(UTC) + timedelta(days=30)
    Suppression(lake).add(IDS, soon)
    fill_other_tables(lake, IDS)
    rows = {
        str(path.relative_to(lake)): as_rows(path)
        for path in tmp_path.rglob("*.parquet")
        if "rejected" not in str(path)
    }
    assert len(rows) == 6
    for name, kept in rows.items():
        assert not [one for one in IDS if one in str(kept)], name
        assert "other" in str(kept) or name.startswith("reports/activity")
    assert Suppression(lake).holds(IDS[0])
    assert not Suppression(lake).holds(IDS[0], now=soon)
    assert Suppression(lake).expire(soon) == 1
    fill_other_tables(lake, IDS)
    assert as_rows(tmp_path / "profiles/date=2026-03-01/data.parquet")[0]["distinct_id"] == IDS[0]


def test_pages_of_a_snapshot_that_was_interrupted_are_erased_and_gone_on_with(tmp_path: Path) -> None:
    lake = str(tmp_path)
    profiles = Table(lake, "profiles", profile_schema())
    pages = Pages(profiles, "2026-03-01", {"project_id": 1})
    for n, who in enumerate((IDS[0], IDS[1], "other")):
        row = {"distinct_id": who, "last_seen": None, "properties": json.dumps({"$distinct_id": who})}
        plain = pa.schema([f.with_type(pa.string()) if f.name == "properties" else f for f in profiles.schema])
        batch = pa.RecordBatch.from_pylist([row], plain).cast(profiles.schema)
        pages.keep(batch, "session", ASKED, last=n == 2)
    told = erase(lake, IDS)
    assert (told.tables["profiles"].files_rewritten, told.remaining) == (2, 0)
    again = Pages(profiles, "2026-03-01", {"project_id": 1})
    assert (again.number, again.complete, again.session, again.requested_at) == (3, True, "session", ASKED)
    assert [row["distinct_id"] for batch in again.batches() for row in batch.to_pylist()] == ["other"]


def test_a_table_that_nobody_told_of_is_erased_by_what_it_holds(tmp_path: Path) -> None:
    lake = str(tmp_path)
    who = [{"person": IDS[0], "seen": 1}], [{"person": "other", "seen": 2}]
    table(lake, "made/tomorrow", "a", [{"nested": one, "n": n} for n, one in enumerate(who)])
    by_user = Table(lake, "by", pa.schema([("n", pa.int64())]), column="user_id")
    by_user.write(IDS[1], pa.table({"n": [1]}), Provenance(requested_at=ASKED))
    (tmp_path / "notes.log").write_text(f"at {IDS[0]}: no\nat {IDS[0]}0: yes\n")
    told = erase(lake, IDS)
    assert (told.remaining, told.rows_removed) == (0, 3)
    assert as_rows(tmp_path / "made/tomorrow/date=a/data.parquet") == [{"nested": who[1], "n": 1}]
    assert (tmp_path / "notes.log").read_text() == f"at {IDS[0]}0: yes\n"
    assert not by_user.keys()


def test_files_that_cannot_be_read_are_named_and_the_others_erased(lake: Path) -> None:
    (lake / "broken").mkdir()
    (lake / "broken/data.parquet").write_bytes(b"PAR1 no more")
    (lake / "broken/copy.zip").write_bytes(b"PK\x03\x04\xff\xff")
    (lake / "broken/cut.json.gz").write_bytes(gzip.compress(b"{}" * 100)[:-9])
    day = lake / f"events/date={DAYS[12]}/events.parquet"
    content = bytearray(day.read_bytes())
    content[200:400] = bytes(200)
    day.write_bytes(content)
    told = erase(str(lake), IDS)
    broken = {"broken/data.parquet", "broken/copy.zip", "broken/cut.json.gz", str(day.relative_to(lake))}
    assert set(told.unread) == broken
    assert told.remaining == 4
    assert told.tables["events"].rows_removed == 18


def test_a_rewritten_file_keeps_its_provenance_and_its_make(lake: Path, table: EventsTable) -> None:
    before, old = table.day(DAYS[0]), pq.read_metadata(table.uri + f"/date={DAYS[0]}/events.parquet")
    erase(str(lake), IDS)
    after, new = table.day(DAYS[0]), pq.read_metadata(table.uri + f"/date={DAYS[0]}/events.parquet")
    assert before
    assert after
    assert after.provenance == before.provenance
    assert after.rows == before.rows - 4
    assert new.schema.to_arrow_schema() == old.schema.to_arrow_schema()
    columns = [(group.row_group(0).column(n)) for group in (old, new) for n in range(old.num_columns)]
    make = [(c.compression, c.bloom_filter_length is not None, c.has_dictionary_page) for c in columns]
    assert make[: old.num_columns] == make[old.num_columns :]


def test_a_lake_on_s3_is_erased_even_if_a_file_is_replaced_meanwhile(
    s3_lake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_other_tables(s3_lake, IDS)
    erasing = files.LakeFile._without
    raced: list[str] = []

    def racing(file: files.LakeFile, *arguments: Any) -> Any:
        done = erasing(file, *arguments)
        if file.name.startswith("cohort_members") and not raced:
            raced.append(file.name)
            rows = [{"cohort_id": 2, "distinct_id": one} for one in (IDS[3], "new")]
            later = Provenance(requested_at=ASKED + timedelta(hours=1), project_id=1)
            made = Table(s3_lake, "cohort_members", pa.Table.from_pylist(rows).schema)
            made.write("2026-03-01", pa.Table.from_pylist(rows), later)
        return done

    monkeypatch.setattr(files.LakeFile, "_without", racing)
    told = erase(s3_lake, IDS)
    assert raced
    assert (told.remaining, told.unread) == (0, ())
    store = storage(s3_lake)
    for name in store.names("", ""):
        with store.open(name) as handle:
            content = handle.read()
        packed = gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content
        assert not [one for one in IDS if one.encode() in packed], name
    with store.open("cohort_members/date=2026-03-01/data.parquet") as handle:
        assert pq.read_table(handle).to_pylist() == [{"cohort_id": 2, "distinct_id": "new"}]


@pytest.mark.parametrize("ids", [[], ["anna-4711", ""]])
def test_nobody_and_everybody_are_no_person(tmp_path: Path, ids: list[str]) -> None:
    with pytest.raises(ValueError, match="an empty id is everybody's"):
        erase(str(tmp_path), ids)
