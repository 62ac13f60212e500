"""`mixpanel-etl gdpr`, as typed."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from functools import partial

import pytest

from mixpanel_etl.client import Mixpanel
from mixpanel_etl.gdpr.ledger import Ledger
from mixpanel_etl.sandbox import Fault, Sandbox

from ..gdpr.desk import Desk, desk
from .test_commands import run

__all__ = ["desk"]


@pytest.fixture(autouse=True)
def _hasty(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The waits of the commands pass in a moment, too, and their lines are not folded."""
    commands = sys.modules["mixpanel_etl.cli.gdpr"]  # the package has the group of commands under this name
    monkeypatch.setattr(commands.console, "_width", 200)
    monkeypatch.setattr(commands, "Mixpanel", partial(Mixpanel, clock=desk.clock))


@pytest.fixture
def open_desk(desk: Desk) -> Desk:
    """Two deletions at this machine's time, which share a job in Mixpanel; and one that is refused."""
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
    code, said = run("gdpr", "status", "R-9")
    assert code == 1
    assert "not in the ledger" in said


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
