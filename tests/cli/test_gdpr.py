"""`mixpanel-etl gdpr`, as typed."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import partial
from importlib import import_module
from pathlib import Path

import pytest

from mixpanel_etl.client import Mixpanel
from mixpanel_etl.gdpr.intake import rejected_table
from mixpanel_etl.gdpr.ledger import Ledger
from mixpanel_etl.sandbox import Fault, Sandbox

from ..gdpr.desk import Desk, desk
from ..gdpr.lakes import table
from ..gdpr.test_linked_ids import row
from .test_commands import run

__all__ = ["desk"]


@pytest.fixture(autouse=True)
def _hasty(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The waits of the commands pass in a moment, too, and their lines are not folded."""
    commands = import_module("mixpanel_etl.cli.gdpr")
    monkeypatch.setattr(commands.console, "_width", 200)
    monkeypatch.setattr(commands, "Mixpanel", partial(Mixpanel, clock=desk.clock))


@pytest.fixture
def open_desk(desk: Desk) -> Desk:
    """Two deletions at this machine's time, which share a job in Mixpanel; and one that is rejected."""
    desk.sandbox.clock.set(datetime.now(UTC), frozen=True)
    for name, one in (("R-1", "anna-4711"), ("R-2", "bert-4712")):
        desk.ask(name, one, requested_at=desk.now())
    desk.ask("R-3", "carl-4713", kind="shred")
    desk.work()
    return desk


def test_status_shows_deadlines_jobs_and_rejections_and_no_person(open_desk: Desk) -> None:
    code, said = run("gdpr", "status")
    assert code == 0
    assert [line.split()[:3] for line in said.splitlines()[1:3]] == [
        ["R-1", "deletion", "waiting"],
        ["R-2", "deletion", "waiting"],
    ]
    assert "R-3 from desk: its kind is 'shred'" in said
    assert not any(one in said for one in ("anna-4711", "bert-4712", "carl-4713"))
    assert "R-1" not in run("gdpr", "status", "R-3")[1]
    told = [json.loads(line) for line in run("gdpr", "status", "--json")[1].splitlines()]
    assert [(one["request_id"], one["state"], len(one["jobs"])) for one in told] == [
        ("R-1", "waiting", 1),
        ("R-2", "waiting", 1),
    ]
    code, said = run("gdpr", "status", "R-9")
    assert code == 1
    assert "not in the ledger" in said


def test_status_fits_into_80_columns(open_desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_module("mixpanel_etl.cli.gdpr").console, "_width", 80)
    open_desk.ask("C-2026-11-30-0000000001", "dora-4714", kind="retrieval", requested_at=open_desk.now())
    rejected_table(open_desk.ledger.lake).remove(rejected_table(open_desk.ledger.lake).keys()[0])
    open_desk.work()
    lines = run("gdpr", "status")[1].splitlines()
    assert lines[0].split() == ["request", "kind", "state", "deadline", "days", "ids"]
    assert [line.split()[0] for line in lines[1:4]] == ["R-1", "R-2", "C-2026-11-30-0000000001"]
    assert max(map(len, lines)) <= 80


@pytest.fixture
def claimed(desk: Desk) -> Desk:
    """Two requests, each with a claim that a stranger can have made."""
    desk.sandbox.clock.set(datetime.now(UTC), frozen=True)
    rows = [row(name, user=name, _anon_id=f"before-{name}") for name in ("anna-4711", "bert-4712")]
    table(desk.ledger.lake, "events", "2026-01-01", rows)
    for name, one in (("R-1", "anna-4711"), ("R-2", "bert-4712")):
        desk.ask(name, one, requested_at=desk.now())
    desk.work()
    return desk


def test_confirm_shows_the_evidence_and_decides_nothing_without_a_choice(claimed: Desk) -> None:
    code, said = run("gdpr", "status")
    assert code == 0
    assert "request R-1 waits for your decision: 1 claimed id (a property of an event; anybody can send it)" in said
    assert "anna-4711" not in said
    code, said = run("gdpr", "confirm", "R-1")
    assert code == 0
    lines = [line.strip() for line in said.splitlines()]
    assert "claim    1 before-anna-4711" in lines
    place = "properties.$anon_id beside anna-4711: row 0 of events/date=2026-01-01/data.parquet"
    assert place in lines
    assert "1 row says so; it joins 2 known users" in lines
    assert "bert-4712" not in said
    told = [json.loads(line) for line in run("gdpr", "confirm", "--json")[1].splitlines()]
    assert [(one["request_id"], [claim["id"] for claim in one["claims"]]) for one in told] == [
        ("R-1", ["before-anna-4711"]),
        ("R-2", ["before-bert-4712"]),
    ]
    assert [claimed.state(name) for name in ("R-1", "R-2")] == ["unconfirmed", "unconfirmed"]


def test_confirm_decides_about_several_requests_at_once(claimed: Desk, tmp_path: Path) -> None:
    code, said = run("gdpr", "confirm", "R-1", "R-2", "--claims", "none", "--by", "olga")
    assert (code, [claimed.state(name) for name in ("R-1", "R-2")]) == (0, ["ready", "ready"])
    assert "request R-1 is confirmed with 0 of its claims" in said
    assert {one.decisions[-1].by for one in claimed.ledger.entries()} == {"olga"}
    decided = tmp_path / "decided.csv"
    decided.write_text("request_id,claims\nR-1,1\nR-2,none\nR-9,none\n")
    code, said = run("gdpr", "confirm", "--from", str(decided))
    assert (code, "'R-9' is not in the ledger" in said) == (1, True)
    assert [len(one.accepted) for one in claimed.ledger.entries()] == [1, 0]
    assert all(one.decisions[-1].by for one in claimed.ledger.entries())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["R-1", "--claims", "one"], "'one' must be numbers like 1,3, `none` or `all`"),
        (["R-1", "--claims", "9"], "has no claim 9; its claims: 1"),
        (["--claims", "all"], "give request_ids with --claims"),
        (["R-7"], "'R-7' is not in the ledger"),
    ],
)
def test_a_choice_that_cannot_be_is_told_with_what_is_allowed(claimed: Desk, arguments: list[str], said: str) -> None:
    code, told = run("gdpr", "confirm", *arguments)
    assert (code, said in told) == (1, True)
    assert claimed.state("R-1") == "unconfirmed"


def test_a_failed_job_is_tried_again_as_a_whole(open_desk: Desk) -> None:
    open_desk.client.gdpr.cancel_deletion(open_desk.ledger.jobs()[0].tracking_id)
    open_desk.pass_days(1)
    open_desk.work()
    job = open_desk.ledger.jobs()[0].job_id
    code, said = run("gdpr", "retry", "--job", job)
    assert (code, said.strip()) == (0, f"2 requests of {job} get another Mixpanel job; the sensor creates it")
    open_desk.work()
    assert [open_desk.state(name) for name in ("R-1", "R-2")] == ["waiting", "waiting"]


def test_cancel_revokes_in_mixpanel_and_says_when_it_is_too_late(open_desk: Desk) -> None:
    code, said = run("gdpr", "cancel", "R-1")
    assert (code, said.strip()) == (0, "request R-1 is cancelled")
    assert open_desk.state("R-1") == "cancelled"
    assert "cancelled" in run("gdpr", "status", "R-1")[1]
    open_desk.submit()
    open_desk.pass_days(0.5)
    code, said = run("gdpr", "cancel", "R-2")
    assert code == 1
    assert "has started in Mixpanel" in said


def test_a_job_of_which_nobody_knows_is_named_with_the_commands_that_help(mixpanel: Sandbox, desk: Desk) -> None:
    desk.sandbox.clock.set(datetime.now(UTC), frozen=True)
    mixpanel.add_fault(Fault("/data-deletions/v3.0", "server_error", count=1))
    desk.ask("R-1", "anna-4711", requested_at=desk.now())
    desk.work()
    (job,) = desk.ledger.jobs()
    assert f"mixpanel-etl gdpr resend {job.job_id}" in run("gdpr", "status")[1]
    code, said = run("gdpr", "resend", job.job_id)
    assert code == 0
    assert Ledger(desk.ledger.lake).job(job.job_id).tracking_id in said
    code, said = run("gdpr", "adopt", job.job_id, "another")
    assert code == 1
    assert "has the tracking id" in said


def test_status_says_what_a_deletion_waits_for(open_desk: Desk) -> None:
    for name, kind in (("R-5", "retrieval"), ("R-6", "deletion")):
        open_desk.ask(name, "dora-4714", kind=kind, requested_at=open_desk.now())
    open_desk.work()
    assert "request R-6 waits for the data that R-5 retrieves" in run("gdpr", "status")[1]


def test_only_what_has_failed_is_tried_again(open_desk: Desk) -> None:
    code, said = run("gdpr", "retry", "R-1")
    assert code == 1
    assert "R-1 is waiting" in said
    open_desk.client.gdpr.cancel_deletion(open_desk.ledger.jobs()[0].tracking_id)
    open_desk.pass_days(1)
    open_desk.work()
    assert run("gdpr", "retry", "R-1")[0] == 0
    open_desk.work()
    assert open_desk.state("R-1") == "waiting"
