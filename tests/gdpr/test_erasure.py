"""A person leaves the lake: every file, and nothing else of it."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mixpanel_etl.client import Mixpanel
from mixpanel_etl.gdpr.erasure import erase
from mixpanel_etl.gdpr.people import expand
from mixpanel_etl.gdpr.suppression import Suppression
from mixpanel_etl.lake import EventsTable
from mixpanel_etl.pull import pull_events
from mixpanel_etl.sandbox import Sandbox

from ..conftest import FIRST
from ..lakehouse import days_from
from .lakes import as_rows, event, events_of, everything, fill_other_tables

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


def test_a_person_of_ten_ids_is_found_from_each_of_them(lake: Path) -> None:
    people = expand(str(lake), [IDS[0], IDS[5], f"$device:{IDS[3]}", "nobody-we-know"])
    for one in (IDS[0], IDS[5], f"$device:{IDS[3]}"):
        assert set(people[one].ids) == {*IDS, *(f"$device:{device}" for device in DEVICES)}, one
        assert people[one].ids[0] == one
        assert people[one].shared == {}
    assert people[IDS[0]].seen_in["events.device_id"] == 18
    assert people[IDS[0]].seen_in["profiles.distinct_id"] == 1
    assert people["nobody-we-know"].ids == ("nobody-we-know",)


def test_after_an_erasure_no_byte_of_the_lake_has_an_id(lake: Path) -> None:
    ids = expand(str(lake), IDS[:1])[IDS[0]].ids
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
