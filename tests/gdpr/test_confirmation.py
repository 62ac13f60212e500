"""What is not certain waits for a person, whose decision is recorded and can be revised until it is too late."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mixpanel_etl.client import UserUpdate
from mixpanel_etl.gdpr import decisions, polling
from mixpanel_etl.gdpr.ledger import LedgerError
from mixpanel_etl.gdpr.ledger_entries import Entry
from mixpanel_etl.gdpr.request_expansion import expand_requests
from mixpanel_etl.lake import Provenance
from mixpanel_etl.sandbox import Fault, Sandbox

from .desk import NOW, Desk
from .lakes import event, table
from .test_linked_ids import row


def entry_of(desk: Desk) -> Entry:
    return desk.ledger.entry("R-1")


def certificate(desk: Desk, name: str = "R-1") -> dict[str, Any]:
    told: dict[str, Any] = json.loads(Path(desk.ledger.lake, f"gdpr/certificates/{name}.json").read_text())
    return told


@pytest.fixture
def shared(desk: Desk) -> Desk:
    """A user with a device of her own, and with one that another user has as well."""
    rows = [row("anna", "phone", "anna"), row("anna", "tablet", "anna"), row("bert", "tablet", "bert")]
    table(desk.ledger.lake, "events", "2026-01-01", rows)
    return desk


def jobs_ids(desk: Desk) -> list[set[str]]:
    return [set(desk.client.gdpr.get_deletion(job.tracking_id).distinct_ids) for job in desk.ledger.jobs()]


class TestDecisions:
    def test_what_is_certain_needs_nobody(self, shared: Desk) -> None:
        shared.ask("R-1", "bert", "tablet", "anna")
        shared.work()
        assert (shared.state("R-1"), entry_of(shared).decisions) == ("waiting", ())
        (error,) = shared.confirm({"R-1": ()})
        assert "needs no decision" in str(error)

    def test_accepted_ids_are_used_and_those_behind_them_are_shown_before_anything_is_sent(self, shared: Desk) -> None:
        shared.ask("R-1", "anna")
        shared.work()
        (claim,) = entry_of(shared).claims
        assert (claim.id, claim.number, claim.users, entry_of(shared).ids) == ("tablet", 1, 2, ("anna", "phone"))
        assert shared.confirm({"R-1": [1]}) == []
        shared.work()
        assert [one.id for one in entry_of(shared).claims if one.is_open] == ["bert"]
        assert (shared.state("R-1"), shared.creations()) == ("unconfirmed", 0)
        assert shared.confirm({"R-1": [1]}) == []
        shared.work()
        assert jobs_ids(shared) == [{"anna", "phone", "tablet"}]

    @pytest.mark.parametrize("accepted", [[], [1]])
    def test_a_decision_can_be_revised_until_mixpanel_has_started(self, shared: Desk, accepted: list[int]) -> None:
        shared.ask("R-1", "anna")
        shared.ask("R-2", "bert", "tablet", "anna")
        shared.work()
        shared.confirm({"R-1": accepted})
        shared.expand()
        shared.confirm({"R-1": accepted})  # also of bert, who comes with the tablet
        shared.work()
        assert shared.state("R-1") == "waiting"
        revised = [] if accepted else [1]
        assert shared.confirm({"R-1": revised}, by="paul") == []
        shared.expand()
        if entry_of(shared).in_doubt:
            shared.confirm({"R-1": revised}, by="paul")
        shared.work()
        assert [shared.state(name) for name in ("R-1", "R-2")] == ["waiting", "waiting"]
        assert ("tablet" in entry_of(shared).ids) == bool(revised)
        running = [job for job in shared.ledger.jobs() if job.ended_at is None and "R-1" in job.request_ids]
        sent = {one for job in running for one in shared.client.gdpr.get_deletion(job.tracking_id).distinct_ids}
        assert sent >= {"anna", "phone"} | ({"tablet"} if revised else set())
        assert {one.by for one in entry_of(shared).decisions} == {"olga", "paul"}
        shared.pass_days(0.5)
        shared.poll()
        if revised:
            (error,) = shared.confirm({"R-1": []})
            assert "has started in Mixpanel" in str(error)
            assert shared.state("R-1") == "waiting"

    def test_a_wrong_decision_changes_nothing_and_does_not_stop_the_others(self, shared: Desk) -> None:
        shared.ask("R-1", "anna")
        shared.ask("R-2", "bert")
        shared.expand()
        errors = shared.confirm({"R-1": [7], "R-2": [], "R-9": []})
        assert ["has no claim 7" in str(errors[0]), "not in the ledger" in str(errors[1])] == [True, True]
        assert [shared.state(name) for name in ("R-1", "R-2")] == ["unconfirmed", "ready"]
        decisions.cancel(shared.ledger, shared.client.gdpr, "R-1", shared.now, by="olga")
        cancelled = entry_of(shared)
        assert (cancelled.evidence, cancelled.decisions[-1].what, cancelled.decisions[-1].by) == (
            (),
            "cancelled",
            "olga",
        )


class TestRepetition:
    def test_ids_are_looked_for_again_before_the_job_and_before_the_erasure(self, desk: Desk) -> None:
        lake = desk.ledger.lake
        table(lake, "events", "2026-01-01", [row("anna", "phone", "anna")])
        desk.ask("R-1", "anna")
        desk.expand()
        table(lake, "events", "2026-01-02", [row("anna", "laptop", "anna")])
        desk.submit()
        assert jobs_ids(desk) == [{"anna", "phone", "laptop"}]
        claims = [row("anna", None, "anna", _anon_id="maybe"), row("anna", "watch", "anna")]
        table(lake, "events", "2026-01-03", claims)
        desk.pass_days(2)
        desk.work()
        assert entry_of(desk).later_ids == ("watch",)
        assert (desk.state("R-1"), entry_of(desk).in_doubt) == ("unconfirmed", ("claims",)), (
            "only the certificate waits"
        )
        assert entry_of(desk).erasures
        desk.confirm({"R-1": []})
        desk.work()
        told = certificate(desk)
        assert [(one["before"], one["new_ids"], one["new_claims"]) for one in told["ids"]["repeated"]] == [
            ("jobs", 1, 0),
            ("erasures", 1, 1),
        ]
        assert (len(told["ids"]["hashes"]), desk.creations()) == (4, 1)

    def test_an_id_that_is_accepted_later_gets_a_job_and_an_erasure_of_its_own(self, desk: Desk) -> None:
        lake = desk.ledger.lake
        table(lake, "events", "2026-01-01", [row("anna", "phone", "anna")])
        desk.ask("R-1", "anna")
        desk.work()
        table(lake, "events", "2026-01-02", [row("anna", user="anna", _anon_id="before"), row("before")])
        desk.pass_days(2)
        desk.work()
        assert desk.confirm({"R-1": [1]}) == []
        desk.work()
        assert jobs_ids(desk)[1] == {"before"}
        desk.pass_days(2)
        desk.work()
        desk.work()
        assert desk.state("R-1") == "completed"
        assert len(certificate(desk)["lake_erasures"]) == 2

    def test_data_of_an_id_that_is_accepted_later_are_delivered_as_well(self, desk: Desk, mixpanel: Sandbox) -> None:
        day = (NOW - timedelta(days=3)).date()
        mixpanel.load([event(day, "Visit", f"v-{one}", distinct_id=one) for one in ("anna", "before")])
        table(desk.ledger.lake, "events", "2026-01-01", [row("anna", user="anna")])
        desk.ask("R-1", "anna", kind="retrieval")
        desk.expand()
        table(desk.ledger.lake, "events", "2026-01-02", [row("anna", user="anna", _anon_id="before")])
        desk.work()
        desk.pass_days(2)
        desk.work()
        assert (desk.state("R-1"), desk.confirm({"R-1": [1]})) == ("unconfirmed", [])
        desk.work()
        desk.pass_days(2)
        assert desk.work() == []
        assert desk.state("R-1") == "completed"
        delivered = "".join(path.read_text() for path in desk.outbox.rglob("events.jsonl"))
        assert ('"v-anna"' in delivered, '"v-before"' in delivered) == (True, True)


class TestUnseen:
    def test_a_request_for_ids_that_nobody_ever_saw_waits_and_the_certificate_says_how_many(self, desk: Desk) -> None:
        table(desk.ledger.lake, "events", "2026-01-01", [row("anna")])
        desk.ask("R-1", "anna", "anna-with-a-typo")
        desk.expand(trusting=False)
        entry = entry_of(desk)
        assert (entry.in_doubt, desk.state("R-1")) == (("never_seen",), "unconfirmed")
        assert entry.expansion
        assert [(one.name, one.asked, one.found) for one in entry.expansion.sources] == [
            ("Mixpanel profiles", 1, 0),
            ("Mixpanel activity", 1, 0),
        ]
        desk.submit()
        assert desk.creations() == 0
        desk.work()
        desk.pass_days(2)
        desk.work()
        told = certificate(desk)
        assert (told["ids"]["never_seen"], told["ids"]["seen_in"]) == (1, {"events.distinct_id": 1})

    @pytest.mark.parametrize("where", ["profile", "event"])
    def test_what_mixpanel_has_seen_is_seen(self, desk: Desk, mixpanel: Sandbox, where: str) -> None:
        if where == "profile":
            desk.client.ingestion.engage([UserUpdate(distinct_id="anna", operator="$set", value={"a": 1})])
        else:
            mixpanel.load([event((NOW - timedelta(days=3)).date(), "Visit", "v", distinct_id="anna")])
        desk.ask("R-1", "anna")
        desk.expand(trusting=False)
        assert desk.state("R-1") == "ready"

    def test_what_mixpanel_cannot_be_asked_about_waits_too_and_says_so(self, desk: Desk, mixpanel: Sandbox) -> None:
        mixpanel.add_fault(Fault("/engage", "unable_to_authenticate", text="no anna"))
        mixpanel.add_fault(Fault("/stream/query", "unable_to_authenticate", text="no anna"))
        desk.ask("R-1", "anna")
        desk.expand(trusting=False)
        expansion = entry_of(desk).expansion
        assert desk.state("R-1") == "unconfirmed"
        assert expansion
        assert all(one.problem and "anna" not in one.problem for one in expansion.sources)


class TestLookups:
    def test_mixpanel_is_asked_too_and_the_age_of_all_answers_is_in_the_record(
        self, desk: Desk, mixpanel: Sandbox
    ) -> None:
        lake, taken = desk.ledger.lake, datetime(2026, 1, 5, tzinfo=UTC)
        desk.client.ingestion.engage([UserUpdate(distinct_id="new", operator="$set", value={"$email": "a@b.example"})])

        def snapshot(key: str, distinct_id: str, at: datetime, **request: Any) -> None:
            rows = [{"distinct_id": distinct_id, "properties": json.dumps({"$email": "A@b.example"})}]
            made_by = Provenance(requested_at=at, request=request)
            table(lake, "profiles", key, rows, json_columns=["properties"], provenance=made_by)

        snapshot("2026-01-05", "old", taken, source="engage", where='properties["x"] == 1')
        snapshot("2026-01-09", "older", taken - timedelta(days=1), source="engage")
        snapshot("2026-01-11", "company", taken + timedelta(days=9), source="engage", data_group_id="7")
        snapshot("9999", "stranger", taken + timedelta(days=9))
        desk.take({"request_id": "R-1", "kind": "access", "lookup": "a@b.example"})
        desk.expand()
        entry = entry_of(desk)
        assert {one.id: one.reason for one in entry.claims} == {"new": "lookup", "old": "lookup"}
        assert (entry.ids, desk.state("R-1")) == ((), "unconfirmed")
        assert entry.expansion
        assert [(one.name, one.as_of, one.limits) for one in entry.expansion.sources] == [
            ("profile snapshot", taken, "filtered by where"),
            ("Mixpanel profiles", NOW, ""),
        ]
        (error,) = desk.confirm({"R-1": []})
        assert "would have no id left" in str(error)

    def test_a_lookup_that_cannot_be_asked_stops_no_other_request(self, desk: Desk, mixpanel: Sandbox) -> None:
        table(desk.ledger.lake, "events", "2026-01-01", [row("bert")])
        mixpanel.add_fault(Fault("/engage", "unable_to_authenticate", text="no a@b.example"))
        desk.take({"request_id": "R-1", "kind": "access", "lookup": "a@b.example"})
        desk.ask("R-2", "bert")
        _, (error,) = expand_requests(desk.ledger, ["R-1", "R-2"], desk.directory, NOW)
        assert "a@b.example" not in str(error)
        assert [desk.state(name) for name in ("R-1", "R-2")] == ["received", "ready"]


class TestAdoption:
    @pytest.fixture
    def unclear(self, desk: Desk, mixpanel: Sandbox) -> Desk:
        """A retrieval that the ledger knows, and a deletion whose answer was lost."""
        desk.ask("R-0", "anna", kind="retrieval", requested_at=NOW - timedelta(days=1))
        desk.work()
        desk.pass_days(2)
        desk.work()
        mixpanel.add_fault(Fault("/data-deletions/v3.0", "cut", after=0, count=1))
        desk.ask("R-1", "anna")
        desk.work()
        return desk

    @pytest.mark.parametrize(
        ("other", "said"),
        [
            ("ids", "1 of the 1 ids are not in it, and 1 others are"),
            ("retrieval", "is the retrieval job"),
            ("compliance", "under CCPA, not GDPR"),
            ("nothing", "knows no deletion"),
            ("project", "of project"),
        ],
    )
    def test_a_job_of_others_is_not_adopted(self, unclear: Desk, other: str, said: str) -> None:
        gdpr = unclear.client.gdpr
        creations: dict[str, Callable[[], str]] = {
            "ids": lambda: gdpr.create_deletion(["bert"]),
            "retrieval": lambda: unclear.ledger.jobs()[0].tracking_id,
            "compliance": lambda: gdpr.create_deletion(["anna"], "CCPA"),
            "nothing": lambda: "no-such-job",
            "project": lambda: gdpr.create_deletion(["anna"]),
        }
        found = creations[other]()
        (job,) = [one for one in unclear.ledger.jobs() if one.kind == "deletion"]
        unclear.pass_days(2)
        project_id = 1 if other == "project" else None
        with pytest.raises(LedgerError, match=said) as raised:
            decisions.adopt(unclear.ledger, gdpr, job.job_id, found, unclear.now(), project_id=project_id, by="olga")
        assert "bert" not in str(raised.value)
        assert unclear.state("R-1") == "unclear"

    def test_an_adoption_can_be_undone_until_the_job_has_ended_and_is_in_the_certificate(self, unclear: Desk) -> None:
        gdpr = unclear.client.gdpr
        (job,) = [one for one in unclear.ledger.jobs() if one.kind == "deletion"]
        first, second = gdpr.create_deletion(["anna"]), gdpr.create_deletion(["anna"])
        for found in (first, second):
            decisions.adopt(unclear.ledger, gdpr, job.job_id, found, unclear.now(), by="olga")
        decisions.undo_adoption(unclear.ledger, job.job_id, unclear.now(), by="olga")
        assert unclear.state("R-1") == "unclear"
        decisions.adopt(unclear.ledger, gdpr, job.job_id, first, unclear.now(), by="paul")
        unclear.pass_days(2)
        unclear.work()
        with pytest.raises(LedgerError, match="has ended in SUCCESS"):
            decisions.undo_adoption(unclear.ledger, job.job_id, unclear.now(), by="olga")
        told = certificate(unclear)
        made = [(one["what"], one["by"]) for one in told["decisions"] if "adopt" in one["what"]]
        assert made == [*[("adopted", "olga")] * 2, ("adoption undone", "olga"), ("adopted", "paul")]
        markdown = Path(unclear.ledger.lake, "gdpr/certificates/R-1.md").read_text()
        assert f"{first} (given by hand)" in markdown


def test_a_job_that_fails_again_and_again_is_halved_until_the_bad_request_is_found(
    desk: Desk, mixpanel: Sandbox
) -> None:
    table(desk.ledger.lake, "profiles", "2026-01-01", [{"distinct_id": f"user-{n}"} for n in range(8)])
    for n in range(8):
        desk.ask(f"R-{n}", f"user-{n}")
    mixpanel.set_next_gdpr_outcome("FAILURE")
    desk.work()
    for failing in (8, 4, 2):
        desk.pass_days(2)
        desk.work()
        (job,) = [one for one in desk.ledger.jobs() if one.status == "FAILURE" and len(one.request_ids) == failing]
        said = polling.trouble(job, desk.now(), timedelta(days=30))
        assert f"{failing} requests with {failing} ids are not done (R-0, R-1" in said
        assert f"gdpr retry --job {job.job_id}" in said
        assert len(decisions.retry_job(desk.ledger, job.job_id, desk.now(), by="olga")) == failing
        mixpanel.set_next_gdpr_outcome("FAILURE")
        desk.work()
    desk.pass_days(2)
    desk.work()
    assert [desk.state(f"R-{n}") for n in range(8)] == ["failed", *["completed"] * 7]
