"""What an auditor gets: all that was done for a request, and not who asked."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mixpanel_etl.gdpr import certificate, fulfilment
from mixpanel_etl.gdpr.hashed_ids import hashed
from mixpanel_etl.gdpr.ledger_entries import Entry
from mixpanel_etl.lake import EventsTable, leases
from mixpanel_etl.lake.errors import LeaseHeld
from mixpanel_etl.lake.storage import storage
from mixpanel_etl.pull import pull_events
from mixpanel_etl.sandbox import Sandbox

from .desk import NOW, Desk
from .lakes import event

DAYS = [date(2026, 1, 1), date(2026, 1, 2)]
PEOPLE = ["anna-4711", "bert-4712", "carl-4713"]


@pytest.fixture(params=["disk", "s3"])
def filled(
    request: pytest.FixtureRequest, mixpanel: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Desk]:
    """A lake of two days and three people: one in both, one in the first, one in the second."""
    if request.param == "s3":
        monkeypatch.setenv("MIXPANEL_LAKE", request.getfixturevalue("s3_lake"))
    desk = Desk(mixpanel, tmp_path / "outbox")
    for n, (person, day) in enumerate([("anna-4711", 0), ("anna-4711", 1), ("bert-4712", 0), ("carl-4713", 1)]):
        mixpanel.load([event(DAYS[day], "Visit", f"v{n}", distinct_id=person)])
    list(pull_events(desk.client, EventsTable(desk.ledger.lake), DAYS))
    yield desk
    desk.client.close()


def read(desk: Desk, name: str) -> str:
    with storage(desk.ledger.lake).open(f"gdpr/certificates/{name}") as file:
        return file.read().decode()


def test_a_certificate_says_what_was_done_when_and_not_to_whom(filled: Desk) -> None:
    filled.ask("R-1", "anna-4711", requested_at=NOW - timedelta(days=29))
    filled.ask("R-2", "bert-4712")
    filled.work()
    filled.pass_days(2)
    filled.work()
    told, (job,) = json.loads(read(filled, "R-1.json")), filled.ledger.jobs()
    assert told["ids"]["hashes"] == [hashed(filled.ledger.lake, "anna-4711")]
    assert (told["ids"]["asked"], told["ids"]["total"], told["ids"]["seen_in"]) == (1, 1, {"events.distinct_id": 2})
    (listed,) = told["mixpanel_jobs"]
    assert (listed["tracking_id"], listed["status"], listed["requests"]) == (job.tracking_id, "SUCCESS", 2)
    (erasure,) = told["lake_erasures"]
    assert (erasure["requests"], erasure["remaining"], told["final_scan"]) == (2, 0, "found nothing")
    assert (erasure["tables"]["events"]["rows_removed"], len(erasure["tables"]["events"]["files"])) == (3, 2)
    assert (told["in_time"], json.loads(read(filled, "R-2.json"))["in_time"]) == (False, True)
    text = read(filled, "R-1.md")
    assert "**after the deadline**" in text
    assert "| events | 2 | 2 | 3 | 0 |" in text
    everything = "".join(read(filled, f"{name}{end}") for name in ("R-1", "R-2") for end in (".json", ".md"))
    assert not [person for person in PEOPLE if person in everything]
    assert EventsTable(filled.ledger.lake).scan().collect()["distinct_id"].to_list() == ["carl-4713"]
    closed = filled.ledger.entry("R-1")
    assert (closed.ids, closed.request.ids) == ((), ())
    assert filled.ledger.entries() == []


class TestAtOnce:
    def test_the_lake_is_erased_before_mixpanel_is_done_and_once_more_after(self, desk: Desk) -> None:
        desk.ask("R-1", "anna-4711")
        desk.expand()
        desk.submit()
        (one,) = desk.open()
        assert (one.due(desk.now()), one.due(desk.now(), "at_once")) == (None, "erasures")
        fulfilment.erase_from_lake(desk.ledger, [one], desk.now())
        (one,) = desk.open()
        assert one.due(desk.now(), "at_once") is None
        assert datetime.fromisoformat(one.entry.erasures[0]["suppressed_until"]) == desk.now() + timedelta(days=60)
        desk.pass_days(2)
        desk.work()
        told = json.loads(read(desk, "R-1.json"))
        assert len(told["lake_erasures"]) == 2
        assert certificate.as_markdown(told).count("## The lake") == 2

    def test_two_processes_erase_one_after_the_other_and_leave_one_record(self, desk: Desk) -> None:
        desk.ask("R-1", "anna-4711")
        desk.expand()
        desk.submit()
        seen_by_both = desk.open()

        def erase_too(_: int) -> list[Entry]:
            return fulfilment.erase_from_lake(desk.ledger, seen_by_both, desk.now())

        with ThreadPoolExecutor(2) as both:
            done = list(both.map(erase_too, range(2)))
        assert sorted(len(entries) for entries in done) == [0, 1]
        assert len(desk.ledger.entry("R-1").erasures) == 1

    def test_an_erasure_waits_for_another_one_and_says_which_process_it_is(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(leases, "WAIT_SECONDS", 0.0)
        desk.ask("R-1", "anna-4711")
        desk.expand()
        desk.submit()
        with (
            desk.ledger.locked("erasures"),
            pytest.raises(LeaseHeld, match=f"erasures is held by process {os.getpid()}"),
        ):
            fulfilment.erase_from_lake(desk.ledger, desk.open(), desk.now())
        assert desk.ledger.entry("R-1").erasures == ()
        with desk.ledger.locked("deliveries"), desk.ledger.locked("certificates"):  # of others, which don't hold it up
            fulfilment.erase_from_lake(desk.ledger, desk.open(), desk.now())
        assert len(desk.ledger.entry("R-1").erasures) == 1

    def test_a_request_of_which_an_id_remains_waits_alone_and_the_others_are_certified(self, desk: Desk) -> None:
        misnamed = Path(desk.ledger.lake) / "by/date=bert-4712/data.parquet"
        misnamed.parent.mkdir(parents=True)
        pq.write_table(pa.table({"n": [1]}), misnamed)
        desk.ask("R-1", "anna-4711")
        desk.ask("R-2", "bert-4712")
        desk.expand()
        desk.submit()
        with pytest.raises(fulfilment.NotErased, match=r"1 of 2 requests .* files in by are called after") as held:
            fulfilment.erase_from_lake(desk.ledger, desk.open(), desk.now())
        assert "bert-4712" not in str(held.value)
        assert {one.entry.request_id: len(one.entry.erasures) for one in desk.open()} == {"R-1": 1, "R-2": 0}
        misnamed.rename(misnamed.parents[1] / "data.parquet")
        misnamed.parent.rmdir()
        desk.pass_days(2)
        desk.work()
        assert {name: desk.state(name) for name in ("R-1", "R-2")} == {"R-1": "completed", "R-2": "completed"}
        told = json.loads(read(desk, "R-2.json"))
        assert (told["final_scan"], any("base64" in limit for limit in told["scope"]["limits"])) == (
            "found nothing",
            True,
        )
        assert "## What this does not prove" in read(desk, "R-2.md")

    def test_a_file_that_cannot_be_read_keeps_every_request_open_and_is_named(self, desk: Desk) -> None:
        Path(desk.ledger.lake).mkdir(exist_ok=True)
        (Path(desk.ledger.lake) / "copy.zip").write_bytes(b"PK\x03\x04\xff\xff")
        desk.ask("R-1", "anna-4711")
        desk.expand()
        desk.submit()
        with pytest.raises(fulfilment.NotErased, match=r"copy\.zip"):
            fulfilment.erase_from_lake(desk.ledger, desk.open(), desk.now())
        assert desk.open()[0].entry.erasures == ()
