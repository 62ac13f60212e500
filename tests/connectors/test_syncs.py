"""Syncs of warehouse connectors, against every way in which Mixpanel can leave us in the dark."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mixpanel_etl.client import Clock, CredentialError, Mixpanel, NotFound, Timeouts
from mixpanel_etl.connectors.sync_state import Sync
from mixpanel_etl.connectors.syncs import APPEARS_WITHIN, Syncs
from mixpanel_etl.sandbox import Fault, Project, RunOutcome, Sandbox
from mixpanel_etl.settings import Settings

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = 3_600_000_000_000


@pytest.fixture
def mixpanel_project() -> Project:
    return Project(
        warehouse_imports=[
            {"id": 101, "created": NOW},
            {"id": 102, "created": NOW, "paused": True},
            {"id": 103, "created": NOW, "run_every": HOUR},
        ]
    )


@pytest.fixture
def now(mixpanel: Sandbox) -> Clock:
    """The sandbox's clock as ours; to sleep moves both."""
    mixpanel.clock.set(NOW, frozen=True)
    return Clock(
        sleep=lambda seconds: mixpanel.clock.advance(timedelta(seconds=seconds)),
        monotonic=lambda: mixpanel.clock.now().timestamp(),
        now=mixpanel.clock.now,
    )


@pytest.fixture
def syncs(now: Clock) -> Iterator[Syncs]:
    with Mixpanel(Settings.load(), clock=now, deadline=60) as client:
        yield Syncs(client, Settings.load().lake, clock=now)


@pytest.fixture
def told() -> list[str]:
    return []


def triggers(mixpanel: Sandbox) -> int:
    return sum(request.path.endswith("/manual-sync") for request in mixpanel.requests)


def test_a_sync_is_triggered_and_followed_to_its_end(mixpanel: Sandbox, syncs: Syncs, told: list[str]) -> None:
    mixpanel.set_next_runs(101, RunOutcome(events=1234, seconds=600))
    ended = syncs.follow(syncs.request(101, "run"), told.append)
    assert (ended.status, ended.rows, ended.problem) == ("SUCCEEDED", 1234, None)
    assert (ended.started_at, ended.ended_at) == (NOW, NOW + timedelta(seconds=600))
    assert told == [
        "warehouse import 101 is triggered; its run is not in the history yet",
        "warehouse import 101 is RUNNING, began at 2026-03-01 12:00:00 UTC",
        "warehouse import 101 SUCCEEDED, began at 2026-03-01 12:00:00 UTC, 1,234 rows imported",
    ]


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (RunOutcome("FAILED", events=17), "FAILED after 17 rows. Mixpanel's API gives no reason"),
        (RunOutcome("CANCELLED"), "was CANCELLED, as pausing or changing the import"),
    ],
)
def test_a_sync_that_does_not_succeed_says_what_to_do(
    mixpanel: Sandbox, syncs: Syncs, told: list[str], outcome: RunOutcome, said: str
) -> None:
    mixpanel.set_next_runs(101, outcome)
    ended = syncs.follow(syncs.request(101, "run"), told.append)
    assert said in (ended.problem or "")
    assert "materialize this asset again" in (ended.problem or "")
    assert not ended.may_retry


def test_a_paused_import_is_not_triggered(mixpanel: Sandbox, syncs: Syncs) -> None:
    ended = syncs.request(102, "run")
    assert ended.problem == "it is paused. Resume it in Mixpanel, then materialize this asset again"
    assert triggers(mixpanel) == 0


def test_an_import_that_is_not_there_is_an_error(mixpanel: Sandbox, syncs: Syncs) -> None:
    with pytest.raises(NotFound):
        syncs.request(999, "run")
    assert syncs.kept(999) is None


def test_a_run_that_never_appears_is_given_up_and_explained(mixpanel: Sandbox, syncs: Syncs, told: list[str]) -> None:
    mixpanel.set_next_runs(101, RunOutcome("NEVER"))
    ended = syncs.follow(syncs.request(101, "run"), told.append)
    assert "Mixpanel accepted the trigger" in (ended.problem or "")
    assert "no run began within 15 minutes" in (ended.problem or "")
    assert mixpanel.clock.now() < NOW + APPEARS_WITHIN + timedelta(minutes=2)
    assert triggers(mixpanel) == 1


def test_an_answered_trigger_is_known_as_answered_whatever_the_answer_says(
    mixpanel: Sandbox, syncs: Syncs, told: list[str]
) -> None:
    mixpanel.reset([Project(warehouse_imports=[{"id": 101, "created": NOW}], sync_replies="specification")])
    mixpanel.clock.set(NOW, frozen=True)
    mixpanel.set_next_runs(101, RunOutcome("NEVER"))
    ended = syncs.follow(syncs.request(101, "run"), told.append)
    assert (ended.problem or "").startswith("Mixpanel accepted the trigger, but no run began")
    assert not ended.may_retry
    assert triggers(mixpanel) == 1


def test_a_sync_that_takes_too_long_is_given_up_and_taken_up_later(
    mixpanel: Sandbox, syncs: Syncs, told: list[str]
) -> None:
    mixpanel.set_next_runs(101, RunOutcome(seconds=25 * 3600))
    ended = syncs.follow(syncs.request(101, "run"), told.append)
    assert "still RUNNING after 24 hours" in (ended.problem or "")
    syncs.close(ended)
    again = syncs.follow(syncs.request(101, "another run"), told.append)
    assert again.status == "SUCCEEDED"
    assert triggers(mixpanel) == 1


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_times_are_read_in_any_unit(now: Clock, mixpanel: Sandbox, unit: Any, told: list[str]) -> None:
    mixpanel.reset([Project(warehouse_times=unit, warehouse_imports=[{"id": 101, "created": NOW}])])
    mixpanel.clock.set(NOW, frozen=True)
    with Mixpanel(Settings.load(), clock=now) as client:
        syncs = Syncs(client, Settings.load().lake, clock=now)
        ended = syncs.follow(syncs.request(101, "run"), told.append)
    assert (ended.started_at, ended.ended_at) == (NOW, NOW + timedelta(seconds=300))


def test_a_running_sync_is_taken_up(mixpanel: Sandbox, syncs: Syncs, told: list[str]) -> None:
    syncs.mixpanel.warehouse_connectors.manual_sync(101)  # by another process
    mixpanel.clock.advance(timedelta(seconds=60))
    ended = syncs.follow(syncs.request(101, "run"), told.append)
    assert (ended.status, ended.adopted, ended.started_at) == ("SUCCEEDED", True, NOW)
    assert triggers(mixpanel) == 1


def test_a_sync_that_began_before_the_source_was_written_is_waited_for(
    mixpanel: Sandbox, syncs: Syncs, told: list[str]
) -> None:
    syncs.mixpanel.warehouse_connectors.manual_sync(101)
    mixpanel.clock.advance(timedelta(seconds=120))
    written = mixpanel.clock.now()
    ended = syncs.follow(syncs.request(101, "run", written), told.append)
    assert "one is running since 2026-03-01 12:00:00 UTC" in told[0]
    assert ended.started_at is not None
    assert ended.started_at > written
    assert triggers(mixpanel) == 2


def test_two_at_once_trigger_one_sync(mixpanel: Sandbox, syncs: Syncs, told: list[str]) -> None:
    first, second = syncs.request(101, "run"), syncs.request(101, "another run")
    assert first.id == second.id
    ended = [syncs.follow(sync, told.append) for sync in (first, second)]
    assert [sync.status for sync in ended] == ["SUCCEEDED"] * 2
    assert triggers(mixpanel) == 1


def test_after_a_success_the_next_request_is_a_new_sync(mixpanel: Sandbox, syncs: Syncs, told: list[str]) -> None:
    for by in ("run", "another run"):
        ended = syncs.follow(syncs.request(101, by), told.append)
        syncs.close(ended)
    assert triggers(mixpanel) == 2
    assert ended.previous_start == int(NOW.timestamp())


def lost_before(mixpanel: Sandbox) -> None:
    mixpanel.add_fault(Fault("*/manual-sync", "reset", count=1))


def server_error(mixpanel: Sandbox) -> None:
    mixpanel.add_fault(Fault("*/manual-sync", "server_error", count=1, status=503))


@pytest.mark.parametrize("kind", ["truncated", "cut", "unterminated"])
def test_a_trigger_whose_answer_was_lost_is_found_in_the_history_and_not_sent_again(
    mixpanel: Sandbox, syncs: Syncs, told: list[str], kind: Any
) -> None:
    mixpanel.add_fault(Fault("*/manual-sync", kind, count=1, after=5))
    ended = syncs.follow(syncs.request(101, "run"), told.append)
    assert "but the answer was lost" in told[0]
    assert (ended.status, triggers(mixpanel)) == ("SUCCEEDED", 1)


def test_a_trigger_that_is_answered_after_we_gave_up_is_found_in_the_history(
    mixpanel: Sandbox, now: Clock, told: list[str]
) -> None:
    mixpanel.add_fault(Fault("*/manual-sync", "slow", count=1, seconds=0.4))
    with Mixpanel(Settings.load(), clock=now, timeouts=Timeouts(5, 0.2)) as client:
        impatient = Syncs(client, Settings.load().lake, clock=now)
        sync = impatient.request(101, "run")
    assert "ReadTimeout" in (sync.unanswered or "")
    with Mixpanel(Settings.load(), clock=now) as client:
        ended = Syncs(client, Settings.load().lake, clock=now).follow(sync, told.append)
    assert (ended.status, triggers(mixpanel)) == ("SUCCEEDED", 1)


def test_a_trigger_whose_answer_trickles_past_the_deadline_is_not_sent_again(
    mixpanel: Sandbox, syncs: Syncs, told: list[str]
) -> None:
    mixpanel.add_fault(Fault("*/manual-sync", "trickle", count=1, seconds=0.05))
    with Mixpanel(Settings.load(), deadline=0.2) as client:
        sync = Syncs(client, Settings.load().lake, clock=syncs.clock).request(101, "run")
    assert "bytes of the reply" in (sync.unanswered or "")
    ended = syncs.follow(sync, told.append)
    assert (ended.status, triggers(mixpanel)) == ("SUCCEEDED", 1)


@pytest.mark.parametrize("lose", [lost_before, server_error])
def test_a_trigger_that_did_not_arrive_may_be_tried_again_after_the_history_was_seen(
    mixpanel: Sandbox, syncs: Syncs, told: list[str], lose: Callable[[Sandbox], None]
) -> None:
    lose(mixpanel)
    ended = syncs.follow(syncs.request(101, "run"), told.append)
    assert "so it did not arrive" in (ended.problem or "")
    assert ended.may_retry
    syncs.close(ended)
    assert syncs.follow(syncs.request(101, "run"), told.append).status == "SUCCEEDED"
    assert triggers(mixpanel) == 2


def test_a_rejected_trigger_leaves_nothing_to_be_taken_up(mixpanel: Sandbox, syncs: Syncs, told: list[str]) -> None:
    mixpanel.add_fault(Fault("*/manual-sync", "unable_to_authenticate", count=1))
    with pytest.raises(CredentialError):
        syncs.request(101, "run")
    assert syncs.follow(syncs.request(101, "run"), told.append).status == "SUCCEEDED"


def test_who_was_killed_after_the_trigger_is_followed_by_the_next(
    mixpanel: Sandbox, syncs: Syncs, told: list[str]
) -> None:
    syncs.request(101, "a run that is killed now")
    mixpanel.clock.advance(timedelta(minutes=10))  # so that the sync has ended
    ended = syncs.follow(syncs.request(101, "another run"), told.append)
    assert (ended.status, triggers(mixpanel)) == ("SUCCEEDED", 1)


KILLED = """
import os, signal
from mixpanel_etl.client import Mixpanel
from mixpanel_etl.connectors.syncs import Syncs
from mixpanel_etl.settings import Settings

with Mixpanel(Settings.load()) as client:
    ask = client.warehouse_connectors.manual_sync
    def killed(import_id):
        {before}
        os.kill(os.getpid(), signal.SIGKILL)
    client.warehouse_connectors.manual_sync = killed
    Syncs(client, Settings.load().lake).request(101, "a run that is killed now")
"""


@pytest.mark.parametrize(("before", "retried"), [("ask(import_id)", False), ("pass", True)], ids=["after", "before"])
def test_kill_9_around_the_trigger(
    mixpanel: Sandbox, syncs: Syncs, told: list[str], before: str, retried: bool
) -> None:
    mixpanel.clock.set(datetime.now(UTC), frozen=True)
    killed = subprocess.run([sys.executable, "-c", KILLED.format(before=before)], check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    ended = syncs.follow(syncs.request(101, "another run"), told.append)
    if retried:
        assert "killed while it triggered, and no run began" in (ended.problem or "")
        assert ended.may_retry
        syncs.close(ended)
        ended = syncs.follow(syncs.request(101, "another run"), told.append)
    assert (ended.status, triggers(mixpanel)) == ("SUCCEEDED", 1)


def test_who_was_killed_before_the_source_was_written_anew_is_not_taken_up(
    mixpanel: Sandbox, syncs: Syncs, told: list[str]
) -> None:
    syncs.request(101, "a run that is killed now")
    mixpanel.clock.advance(timedelta(minutes=10))
    written = mixpanel.clock.now() - timedelta(minutes=2)
    ended = syncs.follow(syncs.request(101, "another run", written), told.append)
    assert (ended.started_at, triggers(mixpanel)) == (NOW + timedelta(minutes=10), 2)


def test_a_failure_that_nobody_saw_is_not_taken_up(mixpanel: Sandbox, syncs: Syncs, told: list[str]) -> None:
    mixpanel.set_next_runs(101, RunOutcome("FAILED"))
    syncs.request(101, "a run that is killed now")
    mixpanel.clock.advance(timedelta(minutes=10))
    assert syncs.follow(syncs.request(101, "another run"), told.append).status == "SUCCEEDED"


def test_the_sixth_of_an_hour_waits_for_the_next(mixpanel: Sandbox, syncs: Syncs, told: list[str]) -> None:
    for number in range(5):
        syncs.close(syncs.follow(syncs.request(101, f"run {number}"), lambda _: None))
    sixth = syncs.request(101, "run 6")
    assert sixth.phase == "waiting"
    assert "the 5 triggers of an hour are used up" in str(sixth)
    ended = syncs.follow(sixth, told.append)
    assert ended.status == "SUCCEEDED"
    assert ended.started_at is not None
    assert ended.started_at >= NOW + timedelta(hours=1)


def test_triggers_that_another_tool_used_up_are_waited_for(mixpanel: Sandbox, syncs: Syncs, told: list[str]) -> None:
    mixpanel.add_fault(Fault("*/manual-sync", "rate_limited", count=5))
    ended = syncs.follow(syncs.request(101, "run"), told.append)
    assert "Mixpanel allows five triggers an hour" in told[0]
    assert (ended.status, triggers(mixpanel)) == ("SUCCEEDED", 6)


def test_a_429_says_that_nothing_was_triggered_and_is_tried_again(
    mixpanel: Sandbox, syncs: Syncs, told: list[str]
) -> None:
    mixpanel.add_fault(Fault("*/manual-sync", "rate_limited", count=1))
    ended = syncs.follow(syncs.request(101, "run"), told.append)
    assert "is triggered" in told[0]
    assert (ended.status, triggers(mixpanel)) == ("SUCCEEDED", 2)


def test_an_outage_while_following_is_outlived(mixpanel: Sandbox, syncs: Syncs, told: list[str]) -> None:
    sync = syncs.request(101, "run")
    mixpanel.add_fault(Fault("*/history", "server_error", count=20))
    assert syncs.follow(sync, told.append).status == "SUCCEEDED"
    assert any("looks again" in line for line in told)


def test_a_scheduled_run_that_comes_first_does_as_well(mixpanel: Sandbox, syncs: Syncs, told: list[str]) -> None:
    mixpanel.clock.advance(timedelta(minutes=59))
    assert len(syncs.mixpanel.warehouse_connectors.history(103)) == 1
    mixpanel.set_next_runs(103, RunOutcome("NEVER"))
    ended = syncs.follow(syncs.request(103, "run"), told.append)
    assert (ended.status, ended.started_at) == ("SUCCEEDED", NOW + timedelta(hours=1))


def test_a_busy_history_of_thirty_runs_still_shows_ours(mixpanel: Sandbox, syncs: Syncs, told: list[str]) -> None:
    mixpanel.clock.advance(timedelta(hours=45, minutes=30))
    ended: Sync = syncs.follow(syncs.request(103, "run"), told.append)
    assert ended.started_at == NOW + timedelta(hours=45, minutes=30)
    assert ended.previous_start == int((NOW + timedelta(hours=45)).timestamp())
