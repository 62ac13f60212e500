"""Several processes work on one ledger, on a disk or in a bucket: no change is lost, and no job is created twice."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mixpanel_etl.client import Mixpanel
from mixpanel_etl.gdpr.data_subject_requests import Request
from mixpanel_etl.gdpr.intake import take_in
from mixpanel_etl.gdpr.jobs import submit
from mixpanel_etl.gdpr.ledger import Ledger
from mixpanel_etl.gdpr.ledger_entries import Entry, Job
from mixpanel_etl.sandbox import Sandbox
from mixpanel_etl.settings import Settings

from ..lake.rivals import run_rivals
from .desk import NOW


@pytest.fixture(params=["disk", "s3"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "lake") if request.param == "disk" else str(request.getfixturevalue("s3_lake"))


@pytest.fixture
def ledger(lake: str) -> Ledger:
    return Ledger(lake)


def entry(request_id: str = "R-1") -> Entry:
    request = Request(request_id=request_id, kind="deletion", requested_at=NOW, ids=("a",))
    return Entry(request=request, fingerprint="f", received_at=NOW)


def left(job: str, entry: Entry) -> Entry:
    return entry.replace(left_jobs=(*entry.left_jobs, job))


def change_often(rank: int, lake: str, times: int) -> None:
    ledger = Ledger(lake)
    for number in range(times):
        ledger.change(entry(), partial(left, f"{rank}-{number}"))


def test_the_changes_of_two_processes_are_all_in_the_ledger(ledger: Ledger) -> None:
    ledger.add(entry())
    run_rivals(change_often, ledger.lake, 15)
    assert sorted(ledger.entry("R-1").left_jobs) == sorted(f"{rank}-{n}" for rank in range(2) for n in range(15))


def test_a_request_that_ends_while_another_process_changes_it_stays_ended(ledger: Ledger) -> None:
    open_entry = ledger.add(entry())

    def change(current: Entry) -> Entry:
        if not ledger.closed():
            ledger.change(open_entry, lambda one: one.replace(cancelled_at=NOW))
        return current.replace(hold_until=NOW)

    assert ledger.change(open_entry, change).cancelled_at == NOW
    assert [one.hold_until for one in ledger.closed()] == [None]
    assert ledger.entries() == []


def test_a_request_whose_end_was_written_by_a_killed_process_is_put_away(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.add(entry())
    with monkeypatch.context() as context:
        context.setattr(Ledger, "_put_away", lambda self, entry: entry)
        ledger.change(entry(), lambda one: one.replace(cancelled_at=NOW))
    assert ledger.entries() == []
    assert [one.request_id for one in ledger.closed()] == ["R-1"]
    assert ledger.storage.names("gdpr/ledger/open", ".json") == []


def test_a_request_that_was_taken_in_twice_keeps_its_progress(ledger: Ledger) -> None:
    ledger.add(entry())
    ledger.change(entry(), lambda one: one.replace(expanded_at=NOW))
    assert ledger.add(entry()).expanded_at == NOW


def take(rank: int, lake: str, numbers: int) -> None:
    rows = [{"request_id": f"R-{n}", "kind": "deletion", "distinct_ids": f"user-{rank}"} for n in range(numbers)]
    take_in(Ledger(lake), [{"requested_at": NOW, **row} for row in rows], "test", NOW)


def test_of_two_requests_with_one_id_that_come_at_once_one_is_taken_in(tmp_path: Path) -> None:
    run_rivals(take, str(tmp_path), 12)
    taken = [one.request_id for one in Ledger(str(tmp_path)).entries()]
    assert sorted(taken) == sorted(f"R-{n}" for n in range(12))


def poll_often(rank: int, lake: str, times: int) -> None:
    ledger = Ledger(lake)
    job = ledger.job("J")
    for _ in range(times):
        ledger.change_job(job, lambda one: one.replace(polls=one.polls + 1))


def test_the_changes_of_two_processes_to_a_job_are_all_kept(ledger: Ledger) -> None:
    told: dict[str, Any] = {"compliance": "GDPR", "disclosure": "Data", "request_ids": ("R-1",), "id_count": 1}
    ledger.add_job(Job(job_id="J", kind="deletion", intended_at=NOW, **told))
    run_rivals(poll_often, ledger.lake, 8)
    assert ledger.job("J").polls == 16


def submit_all(rank: int, lake: str) -> None:
    with Mixpanel(Settings.load()) as client:
        ledger = Ledger(lake)
        submit(ledger, client.gdpr, [one.request_id for one in ledger.entries()], lambda: NOW + timedelta(hours=1))


def test_two_submissions_at_once_create_one_job(mixpanel: Sandbox, lake: str) -> None:
    ledger = Ledger(lake)
    added = ledger.add(entry())
    ledger.change(added, lambda one: one.replace(ids=("a",), expanded_at=NOW, hold_until=NOW))
    run_rivals(submit_all, lake)
    assert len([job for job in ledger.jobs() if job.tracking_id]) == 1
    asked = [seen for seen in mixpanel.requests if seen.method == "POST" and "data-deletions" in seen.path]
    assert [seen.status for seen in asked] == [201]
