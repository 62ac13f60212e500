"""Mixpanel's jobs: few for many requests, each once, followed for as long as it takes."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixpanel_etl.client import Deletion, Mixpanel
from mixpanel_etl.gdpr import decisions, polling
from mixpanel_etl.gdpr.data_subject_requests import Request
from mixpanel_etl.gdpr.jobs import MAX_IDS_PER_JOB, MaybeCreated, NotCreated, pack, submit
from mixpanel_etl.gdpr.ledger import Ledger, LedgerError
from mixpanel_etl.gdpr.ledger_entries import Entry, Job
from mixpanel_etl.gdpr.progress import open_requests
from mixpanel_etl.lake.storage import Disk
from mixpanel_etl.sandbox import Fault, Project, Sandbox
from mixpanel_etl.sandbox.apis.gdpr.models import GdprJobs
from mixpanel_etl.settings import Settings

from .desk import NOW, Desk
from .lakes import table

LATE = timedelta(days=30)


def entry(number: int, kind: str, ids: list[str], disclosure: str = "Data") -> Entry:
    fields: dict[str, Any] = {"kind": kind, "disclosure": disclosure}
    request = Request(request_id=f"R-{number}", requested_at=NOW, ids=tuple(ids), **fields)
    return Entry(request=request, fingerprint="f", received_at=NOW, ids=tuple(ids), expanded_at=NOW)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["deletion", "retrieval"]),
            st.sampled_from(["Data", "Sources"]),
            st.integers(1, 4500),
            st.integers(0, 3),
        ),
        max_size=12,
    )
)
def test_packs_hold_every_id_of_every_request_within_the_limits(wanted: list[tuple[str, str, int, int]]) -> None:
    entries = [
        entry(number, kind, [f"{owner}-{n}" for n in range(count)], disclosure)
        for number, (kind, disclosure, count, owner) in enumerate(wanted)
    ]
    packs = list(pack(entries))
    assert all(0 < len(each.ids) <= MAX_IDS_PER_JOB[each.kind] for each in packs)
    for one in entries:
        theirs = [each for each in packs if one in each.entries]
        assert {name for each in theirs for name in each.ids} >= set(one.ids)
        assert all(each.kind == one.request.kind for each in theirs)
        if one.request.disclosure != "Data" and one.request.kind == "retrieval":
            assert all(each.entries == (one,) for each in theirs)


def test_five_thousand_requests_at_once_need_three_jobs(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda _: None)  # ten thousand files, of which none has to outlive this machine
    users = [f"user-{n}" for n in range(5_000)]
    table(desk.ledger.lake, "profiles", "2026-01-31", [{"distinct_id": user} for user in users])
    desk.take(*({"request_id": f"R-{n}", "kind": "deletion", "distinct_ids": user} for n, user in enumerate(users)))
    desk.expand()
    jobs, errors = desk.submit()
    assert [(job.id_count, len(job.request_ids)) for job in jobs] == [(1999, 1999), (1999, 1999), (1002, 1002)]
    assert (errors, desk.submit(), desk.creations()) == ([], ([], []), 3)
    assert {one.state(desk.now()) for one in desk.open()} == {"waiting"}


def test_a_person_with_more_ids_than_fit_into_a_job_is_in_several(desk: Desk) -> None:
    desk.ask("R-1", *(f"id-{n}" for n in range(4_100)))
    desk.expand()
    jobs, _ = desk.submit()
    assert [job.id_count for job in jobs] == [1999, 1999, 102]
    desk.pass_days(2)
    desk.work()
    assert desk.state("R-1") == "completed"


class TestShapesOfReplies:
    @pytest.fixture
    def mixpanel_project(self) -> Project:
        return Project(enforce_budgets=False, gdpr_replies="reference")

    def test_the_shapes_of_the_reference_pages_work_too(self, desk: Desk) -> None:
        desk.ask("R-1", "anna")
        desk.ask("R-2", "bert", kind="retrieval")
        desk.work()
        desk.pass_days(2)
        assert desk.work() == []
        assert [desk.state("R-1"), desk.state("R-2")] == ["completed", "completed"]


class TestScans:
    @pytest.fixture
    def mixpanel_project(self) -> Project:
        return Project(enforce_budgets=True)

    def test_retrievals_wait_until_outstanding_scans_allow_another(self, desk: Desk, mixpanel: Sandbox) -> None:
        mixpanel.load([b'{"event":"old","properties":{"time":1640995200,"distinct_id":"x","$insert_id":"1"}}'])
        desk.ask("R-1", "anna", kind="retrieval")
        desk.work()
        desk.ask("R-2", "bert", kind="retrieval")
        desk.ask("R-3", "carl", kind="retrieval")
        (error,) = desk.work()
        assert isinstance(error, NotCreated)
        assert error.retryable
        assert "five years" in str(error)
        assert [desk.state(name) for name in ("R-1", "R-2", "R-3")] == ["waiting", "ready", "ready"]
        asked = len(mixpanel.requests)
        assert desk.submit() == ([], [])
        assert len(mixpanel.requests) == asked, "nothing is sent while it is paused"
        desk.pass_days(2)
        desk.work()
        desk.work()
        assert {job.request_ids for job in desk.ledger.jobs()} == {("R-1",), ("R-2", "R-3")}

    def test_polls_keep_to_one_request_a_second(self, desk: Desk, mixpanel: Sandbox) -> None:
        for n in range(4):
            desk.ask(f"R-{n}", f"user-{n}")
            desk.work()
        desk.pass_days(0.5)
        desk.poll()
        assert not [request for request in mixpanel.requests if request.status == 429]


def test_the_persons_data_are_retrieved_before_they_are_deleted(desk: Desk) -> None:
    desk.ask("R-1", "anna")
    desk.ask("R-2", "anna", kind="retrieval")
    desk.work()
    assert [desk.state("R-1"), desk.state("R-2")] == ["ready", "waiting"]
    desk.pass_days(2)
    desk.work()
    desk.work()
    assert [desk.state("R-1"), desk.state("R-2")] == ["waiting", "completed"]


def test_an_answer_that_is_lost_makes_no_second_job_but_asks_a_person(desk: Desk, mixpanel: Sandbox) -> None:
    mixpanel.add_fault(Fault("/data-deletions/v3.0", "cut", after=0, count=1))
    desk.ask("R-1", "anna")
    (error,) = desk.work()
    assert isinstance(error, MaybeCreated)
    assert "anna" not in str(error)
    for _ in range(3):
        desk.pass_days(1)
        desk.work()
    (job,) = desk.ledger.jobs()
    assert desk.state("R-1") == "unclear"
    assert f"gdpr adopt {job.job_id}" in polling.trouble(job, desk.now(), LATE)
    tracking_id = desk.client.gdpr.create_deletion(["anna"])  # Mixpanel's list shows it to the person
    decisions.adopt(desk.ledger, desk.client.gdpr, job.job_id, tracking_id, desk.now(), by="olga")
    desk.pass_days(2)
    desk.work()
    assert desk.state("R-1") == "completed"


@pytest.mark.parametrize(
    "fault",
    [
        Fault("/data-deletions/v3.0", "trickle", seconds=0.05, count=1),
        Fault("/data-deletions/v3.0", "truncated", after=5, count=1),
        Fault("/data-deletions/v3.0", "reset", count=1),
        Fault("/data-deletions/v3.0", "error_in_200", count=1),
    ],
    ids=lambda fault: fault.kind,
)
def test_no_second_job_is_created_while_the_first_may_exist(desk: Desk, mixpanel: Sandbox, fault: Fault) -> None:
    mixpanel.add_fault(fault)
    desk.ask("R-1", "anna")
    desk.expand()
    with Mixpanel(Settings.load(), deadline=0.2) as impatient:
        _, (error,) = submit(desk.ledger, impatient.gdpr, ["R-1"], desk.now)
    assert isinstance(error, MaybeCreated)
    desk.pass_days(1)
    desk.work()
    assert sum(request.path.endswith("/data-deletions/v3.0") for request in mixpanel.requests) == 1
    assert desk.state("R-1") == "unclear"


def test_a_429_makes_no_unclear_job(desk: Desk, mixpanel: Sandbox) -> None:
    mixpanel.add_fault(Fault("/data-deletions/v3.0", "rate_limited", count=1))
    desk.ask("R-1", "anna")
    assert desk.work() == []
    assert (desk.creations(), desk.state("R-1")) == (1, "waiting")


def test_a_job_that_mixpanel_does_not_list_is_sent_again_when_a_person_says_so(desk: Desk, mixpanel: Sandbox) -> None:
    mixpanel.add_fault(Fault("/data-deletions/v3.0", "server_error", count=1))
    desk.ask("R-1", "anna")
    desk.work()
    (job,) = desk.ledger.jobs()
    sent = decisions.send_again(desk.ledger, desk.client.gdpr, job.job_id, desk.now, by="olga")
    assert (desk.creations(), desk.state("R-1")) == (1, "waiting")
    with pytest.raises(LedgerError, match=sent.tracking_id):
        decisions.send_again(desk.ledger, desk.client.gdpr, job.job_id, desk.now, by="olga")


def test_what_mixpanel_rejects_is_asked_again_after_a_growing_pause(desk: Desk, mixpanel: Sandbox) -> None:
    mixpanel.add_fault(Fault("/data-deletions/v3.0", "unable_to_authenticate", count=2))
    desk.ask("R-1", "anna")
    waits = []
    for _ in range(2):
        (error,) = desk.work()
        assert isinstance(error, NotCreated)
        pause = desk.ledger.pause("deletion")
        assert pause
        waits.append((pause.until - desk.now()).total_seconds() / 60)
        mixpanel.clock.set(pause.until, frozen=True)
    assert waits == [10, 20]
    desk.work()
    assert (desk.state("R-1"), desk.ledger.pause("deletion"), desk.creations()) == ("waiting", None, 1)


class TestStatuses:
    def test_a_job_is_followed_through_its_statuses(self, desk: Desk) -> None:
        desk.ask("R-1", "anna")
        desk.work()
        seen = []
        for _ in range(30):
            desk.pass_days(1 / 24)
            seen += [job.status for job in desk.poll()]
        assert list(dict.fromkeys(seen)) == ["STAGING", "STARTED", "SUCCESS"]

    @pytest.mark.parametrize("outcome", ["FAILURE", "REVOKED"])
    def test_a_job_that_ends_badly_needs_a_person_and_can_be_tried_again(
        self, desk: Desk, mixpanel: Sandbox, outcome: str
    ) -> None:
        desk.ask("R-1", "anna")
        if outcome == "FAILURE":
            mixpanel.set_next_gdpr_outcome("FAILURE")
        desk.work()
        if outcome == "REVOKED":
            desk.client.gdpr.cancel_deletion(desk.ledger.jobs()[0].tracking_id)  # by another person
        desk.pass_days(2)
        desk.work()
        (job,) = desk.ledger.jobs()
        assert (desk.state("R-1"), job.status) == ("failed", outcome)
        assert f"ended in {outcome}" in polling.trouble(job, desk.now(), LATE)
        decisions.retry(desk.ledger, "R-1", desk.now(), by="olga")
        desk.work()
        assert (desk.state("R-1"), desk.creations()) == ("waiting", 2)
        desk.pass_days(2)
        desk.work()
        assert desk.state("R-1") == "completed"

    @pytest.mark.parametrize("status", ["NOT_FOUND", "UNKNOWN", "QUEUED_AGAIN", ""])
    def test_a_status_that_ends_nothing_is_noted_and_asked_about_again(self, desk: Desk, status: str) -> None:
        class Mixpanel:
            def get_deletion(self, tracking_id: str) -> Deletion:
                return Deletion(status=status, tracking_id=tracking_id)

        desk.ask("R-1", "anna")
        desk.work()
        desk.pass_days(1)
        (job,) = polling.poll(desk.ledger, Mixpanel(), desk.now)  # type: ignore[arg-type]
        assert (job.status, desk.state("R-1")) == (status or "UNKNOWN", "waiting")
        assert job.next_poll_at
        assert job.next_poll_at > desk.now()
        assert status in polling.trouble(job, desk.now(), LATE)

    def test_a_poll_that_fails_is_repeated_later_and_names_nobody(self, desk: Desk, mixpanel: Sandbox) -> None:
        desk.ask("R-1", "anna")
        desk.work()
        mixpanel.add_fault(Fault("/data-deletions/v3.0/*", "server_error", text="no anna here"))
        desk.pass_days(2)
        (job,) = desk.poll()
        assert job.problem == "ServerError (500)"
        assert desk.poll() == []
        mixpanel.clear_faults()
        desk.pass_days(1)
        desk.work()
        assert desk.state("R-1") == "completed"


class TestYear:
    @pytest.fixture
    def mixpanel_project(self) -> Project:
        return Project(enforce_budgets=False, gdpr_stage_seconds=365 * 86_400 / 24)

    def test_a_year_of_polling_asks_often_at_first_and_then_every_six_hours(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("os.fsync", lambda _: None)
        desk.ask("R-1", "anna")
        desk.expand()
        ((job,), _) = desk.submit()
        times = []
        while job.ended_at is None:
            desk.ledger = Ledger(desk.ledger.lake)  # as after a restart
            (job,) = desk.poll()
            times.append(desk.now() - NOW)
            assert job.next_poll_at
            desk.sandbox.clock.set(job.next_poll_at, frozen=True)
        assert job.status == "SUCCESS"
        assert 5 <= sum(time < timedelta(minutes=10) for time in times) <= 11
        assert len(times) < 1_600
        pauses = [later - earlier for earlier, later in pairwise(times)]
        assert timedelta(hours=6) <= max(pauses) < timedelta(hours=6, minutes=1)
        late = job.replace(ended_at=None, status="STARTED")
        assert "has not ended for 365 days" in polling.trouble(late, desk.now(), LATE)


class TestCancellation:
    def test_before_it_goes_to_mixpanel_nothing_is_sent(self, desk: Desk, mixpanel: Sandbox) -> None:
        desk.ask("R-1", "anna")
        desk.expand(hold=timedelta(hours=48))
        desk.submit()
        assert (desk.state("R-1"), desk.creations()) == ("held", 0)
        decisions.cancel(desk.ledger, desk.client.gdpr, "R-1", desk.now, by="olga")
        desk.pass_days(3)
        desk.work()
        assert (desk.state("R-1"), desk.creations()) == ("cancelled", 0)
        entry = desk.ledger.entry("R-1")
        assert (entry.ids, entry.request.ids, len(entry.hashes)) == ((), (), 1)

    def test_before_mixpanel_has_started_it_is_revoked_and_the_others_get_another_job(self, desk: Desk) -> None:
        desk.ask("R-1", "anna")
        desk.ask("R-2", "bert")
        desk.work()
        (shared,) = desk.ledger.jobs()
        desk.pass_days(1.5 / 24)  # STAGING
        decisions.cancel(desk.ledger, desk.client.gdpr, "R-1", desk.now, by="olga")
        assert desk.client.gdpr.get_deletion(shared.tracking_id).status == "REVOKED"
        desk.work()
        assert [desk.state("R-1"), desk.state("R-2")] == ["cancelled", "waiting"]
        assert [job.request_ids for job in desk.ledger.jobs()] == [("R-1", "R-2"), ("R-2",)]

    def test_once_started_it_goes_on_and_says_so(self, desk: Desk) -> None:
        desk.ask("R-1", "anna")
        desk.work()
        desk.pass_days(3 / 24)
        with pytest.raises(LedgerError, match="has started in Mixpanel"):
            decisions.cancel(desk.ledger, desk.client.gdpr, "R-1", desk.now, by="olga")
        desk.pass_days(1)
        desk.work()
        assert desk.state("R-1") == "completed"

    def test_one_that_was_interrupted_is_finished_by_the_next(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        desk.ask("R-1", "anna")
        desk.work()

        def killed(*_: object) -> Job:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(Ledger, "change_job", killed)  # after Mixpanel has cancelled it
            with pytest.raises(KeyboardInterrupt):
                decisions.cancel(desk.ledger, desk.client.gdpr, "R-1", desk.now, by="olga")
        desk.work()
        assert desk.creations() == 1
        decisions.cancel(desk.ledger, desk.client.gdpr, "R-1", desk.now, by="olga")
        assert desk.state("R-1") == "cancelled"

    def test_a_retrieval_is_not_delivered(self, desk: Desk) -> None:
        desk.ask("R-1", "anna", kind="retrieval")
        desk.work()
        decisions.cancel(desk.ledger, desk.client.gdpr, "R-1", desk.now, by="olga")
        desk.pass_days(2)
        desk.work()
        assert not list(desk.outbox.rglob("*.jsonl"))
        with pytest.raises(LedgerError, match="cancelled already"):
            decisions.cancel(desk.ledger, desk.client.gdpr, "R-1", desk.now, by="olga")


def test_a_crash_anywhere_makes_no_second_job_and_ends_in_a_certificate(
    desk: Desk, mixpanel: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed at every write of ledger and certificate, before and after it happened."""
    counter = {"left": 10**9}

    write = Disk.write

    def killing(*arguments: Any) -> str:
        counter["left"] -= 1
        if counter["left"] == 1:
            raise KeyboardInterrupt
        version = write(*arguments)
        if counter["left"] == 0:
            raise KeyboardInterrupt
        return version

    monkeypatch.setattr(Disk, "write", killing)
    unclear = killed = 0
    for number in range(1, 30):
        name = f"R-{number}"
        counter["left"], before = 10**9, desk.creations()
        try:
            counter["left"] = number + 1
            desk.ask(name, f"person{number}")
            desk.work()
            desk.pass_days(2)
            desk.work()
        except KeyboardInterrupt:
            killed += 1
        counter["left"] = 10**9
        desk.ask(name, f"person{number}")
        desk.work()
        desk.pass_days(2)
        desk.work()
        if desk.state(name) == "unclear":  # a person looks into Mixpanel's list
            unclear += 1
            (job,) = [job for job in desk.ledger.jobs() if name in job.request_ids]
            (intent,) = [one for one in open_requests(desk.ledger) if one.entry.request_id == name]
            assert polling.trouble(job, desk.now(), LATE)
            if desk.creations() > before:
                decisions.adopt(
                    desk.ledger, desk.client.gdpr, job.job_id, _last_tracking_id(mixpanel), desk.now(), by="olga"
                )
            else:
                decisions.send_again(desk.ledger, desk.client.gdpr, intent.jobs[0].job_id, desk.now, by="olga")
            desk.pass_days(2)
            desk.work()
        assert (desk.state(name), desk.creations() - before) == ("completed", 1), number
        if killed < number:
            break
    assert killed >= 10
    assert unclear >= 1


def _last_tracking_id(mixpanel: Sandbox) -> str:
    return list(mixpanel._running.api_state(GdprJobs)._jobs)[-1]
