"""Only what Mixpanel's numbers confirm is acknowledged, and a rejection is attributed to the rows that caused it."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pyarrow as pa
import pytest

from mixpanel_etl.client import BadRequest, Clock, Mixpanel, MixpanelError, ReplyError
from mixpanel_etl.push.event_mapping import EventMapping
from mixpanel_etl.push.identity_links import IdentityMapping
from mixpanel_etl.push.profile_mapping import ProfileMapping
from mixpanel_etl.push.profile_push import ProfilePush, push_profiles
from mixpanel_etl.push.push_error import PushError
from mixpanel_etl.push.row_push import PushedRows, RowPush, preview_rows, push_rows
from mixpanel_etl.sandbox import Fault, Project, Sandbox
from mixpanel_etl.settings import Settings

DAY = datetime(2026, 2, 1, tzinfo=UTC)
CLOCK = Clock(sleep=lambda _: None)
MAPPING = EventMapping(event_column="event", time="at", key=["id"], distinct_id="user")


@pytest.fixture(params=["simplified"])
def mixpanel_project(request: pytest.FixtureRequest) -> Project:
    return Project(enforce_budgets=False, id_merge=request.param)


def reader(rows: list[dict[str, Any]]) -> pa.RecordBatchReader:
    table = pa.Table.from_pylist(rows)
    return pa.RecordBatchReader.from_batches(table.schema, table.to_batches())


def events(count: int, **names: str) -> list[dict[str, Any]]:
    """Rows of which those at the numbers `_n` have another name."""
    return [
        {"id": f"o-{n}", "at": DAY + timedelta(seconds=n), "user": f"u{n}", "event": names.get(f"_{n}", "Order")}
        for n in range(count)
    ]


def pushed(client: Mixpanel, rows: list[dict[str, Any]], **options: Any) -> tuple[PushedRows, RowPush]:
    push = RowPush("orders", options.pop("mapping", MAPPING), Settings.load().lake, clock=CLOCK, **options)
    return push_rows(client, reader(rows), push, "2026-02-01"), push


def users(count: int) -> list[dict[str, Any]]:
    return [{"id": f"u{n}", "points": n} for n in range(count)]


def profiles(operator: Any = "$set", group_key: str | None = None) -> ProfilePush:
    mapping = ProfileMapping("id", group_key, properties={"$set": {}, operator: {"points": "points"}})
    return ProfilePush("users", mapping, Settings.load().lake, clock=CLOCK)


class TestNumbersThatDoNotAddUp:
    @pytest.mark.parametrize("group_key", [None, "company"])
    def test_one_good_of_2000_is_no_acknowledgement_of_2000(
        self, mixpanel: Sandbox, client: Mixpanel, group_key: str | None
    ) -> None:
        route = "/groups" if group_key else "/engage"
        mixpanel.add_fault(Fault(route, "partially_accepted", count=1, rows=1))
        told = push_profiles(client, reader(users(2_000)), profiles(group_key=group_key))
        assert (told.rejected, told.done) == (0, 2_000)
        held = mixpanel.group_profiles("company") if group_key else mixpanel.profiles()
        assert len(held) == 2_000

    def test_what_is_not_acknowledged_in_any_way_stops_the_push_and_is_sent_again(
        self, mixpanel: Sandbox, client: Mixpanel
    ) -> None:
        mixpanel.add_fault(Fault("/engage", "partially_accepted", rows=0))
        push = profiles()
        told = push_profiles(client, reader(users(3)), push)
        assert (told.rejected, mixpanel.profiles()) == (3, {})
        mixpanel.clear_faults()
        assert push_profiles(client, reader(users(3)), push).changed == 3
        assert len(mixpanel.profiles()) == 3

    def test_a_relative_update_that_a_number_leaves_open_is_unconfirmed_and_not_sent_twice(
        self, mixpanel: Sandbox, client: Mixpanel
    ) -> None:
        mixpanel.add_fault(Fault("/engage", "partially_accepted", count=1, rows=7))
        told = push_profiles(client, reader(users(20)), profiles("$add"))
        assert (told.rejected, told.unconfirmed) == (20, 20)
        assert sum(request.path == "/engage" for request in mixpanel.requests) == 1

    def test_a_relative_batch_of_which_nothing_was_taken_is_halved(self, mixpanel: Sandbox, client: Mixpanel) -> None:
        mixpanel.add_fault(Fault("/engage", "partially_accepted", count=1, rows=0))
        assert push_profiles(client, reader(users(20)), profiles("$add")).rejected == 0
        assert {name: held.properties["points"] for name, held in mixpanel.profiles().items()} == {
            f"u{n}": n for n in range(20)
        }

    def test_events_that_a_200_does_not_count_are_sent_again(self, mixpanel: Sandbox, client: Mixpanel) -> None:
        mixpanel.add_fault(Fault("/import", "partially_accepted", count=1, rows=7))
        told, _ = pushed(client, events(500))
        assert (told.sent, mixpanel.count()) == (500, 507)
        assert len(mixpanel.deduplicated(DAY.date(), DAY.date())) == 500

    @pytest.mark.parametrize("number", [0, 501])
    def test_a_200_with_another_number_is_no_acknowledgement(
        self, mixpanel: Sandbox, client: Mixpanel, number: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        reply = {"code": 200, "num_records_imported": number, "status": "OK"}
        monkeypatch.setattr(client.ingestion, "_json", lambda *_, **__: reply)
        with pytest.raises(ReplyError, match=f"{number} of 500"):
            pushed(client, events(500))

    @pytest.mark.parametrize("reply", [{}, None, {"code": 200}, {"code": 200, "status": "error"}, {"status": "OK"}])
    def test_a_lookup_table_is_replaced_only_when_mixpanel_says_so(
        self, client: Mixpanel, reply: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(client.ingestion, "_json", lambda *_, **__: reply)
        with pytest.raises(ReplyError, match="does not say that the table was replaced"):
            client.ingestion.replace_lookup_table(uuid.UUID(int=1), ["id"], [["a"]])


class TestRefusals:
    def test_identity_events_do_not_go_where_they_are_not_allowed(self, mixpanel: Sandbox, client: Mixpanel) -> None:
        told, push = pushed(client, events(501, _77="$identify"))
        assert (told.sent, told.rejected, mixpanel.count()) == (500, 1, 500)
        (rejected_row,) = push.rejected_rows.scan().collect().to_dicts()
        assert rejected_row["id"] == "o-77"
        assert "$identify is an identity event" in rejected_row["message"]

    def test_a_dry_run_counts_identity_events(self, mixpanel: Sandbox, client: Mixpanel) -> None:
        push = RowPush("orders", MAPPING, Settings.load().lake)
        told = preview_rows(reader(events(10, _3="$identify", _4="$merge", _5="$merge")), push, "2026-02-01")
        assert {text.partition(":")[0]: count for text, count in told.altered.items()} == {"$identify": 1, "$merge": 2}
        assert not mixpanel.requests

    def test_a_rejected_batch_is_halved_until_the_rejected_rows_are_found(
        self, mixpanel: Sandbox, client: Mixpanel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # As if Mixpanel did not say which ID merge the project has.
        monkeypatch.setattr(client.identity, "foreign_events", frozenset)
        names = {"_0": "$identify", "_1": "$identify", "_250": "$merge", "_499": "$create_alias"}
        told, push = pushed(client, events(500, **names))
        assert (told.sent, told.rejected, mixpanel.count()) == (496, 4, 496)
        rejected = push.rejected_rows.scan().sort("id").collect().to_dicts()
        assert [rejected_row["id"] for rejected_row in rejected] == ["o-0", "o-1", "o-250", "o-499"]
        assert all("Simplified ID Merge" in rejected_row["message"] for rejected_row in rejected)
        assert len(mixpanel.requests) < 100

    @pytest.mark.parametrize("text", ["project_id is invalid", "Unable to authenticate request", "Invalid request"])
    @pytest.mark.parametrize("route", ["/import", "/engage"])
    def test_a_400_about_the_request_itself_stops_the_push_and_rejects_no_row(
        self, mixpanel: Sandbox, client: Mixpanel, route: str, text: str
    ) -> None:
        mixpanel.add_fault(Fault(route, "bad_request", text=text))
        rows, people = RowPush("orders", MAPPING, Settings.load().lake), profiles()
        with pytest.raises(MixpanelError, match=text):
            _ = pushed(client, events(500)) if route == "/import" else push_profiles(client, reader(users(500)), people)
        for push in (rows, people):
            assert push.rejected_rows.scan().collect().is_empty()
        assert len(mixpanel.requests) < 40

    def test_a_400_that_goes_away_with_smaller_batches_costs_no_row(self, mixpanel: Sandbox, client: Mixpanel) -> None:
        mixpanel.add_fault(Fault("/import", "bad_request", count=3, text="Malformed"))
        told, _ = pushed(client, events(500))
        assert (told.sent, told.rejected) == (500, 0)


class TestLinks:
    ROWS: ClassVar = [{"user": f"u{n}", "other": f"v{n}"} for n in range(2_500)]

    def links(self, client: Mixpanel, rows: list[dict[str, Any]], link: Any = "merge") -> PushedRows:
        return pushed(client, rows, mapping=IdentityMapping(link, "user", "other"))[0]

    @pytest.mark.parametrize("mixpanel_project", ["original"], indirect=True)
    def test_links_go_in_batches_of_2000_and_only_new_ones(self, mixpanel: Sandbox, client: Mixpanel) -> None:
        told = self.links(client, self.ROWS)
        assert (told.sent, told.requests) == (2_500, 2)
        mixpanel.clear_requests()
        told = self.links(client, [*self.ROWS, {"user": "new", "other": "newer"}])
        assert (told.rows, told.sent, told.skipped, told.requests) == (2_501, 1, 2_500, 1)
        assert sum(request.path == "/import" for request in mixpanel.requests) == 2  # one asks for the ID merge

    @pytest.mark.parametrize("mixpanel_project", ["original"], indirect=True)
    @pytest.mark.parametrize(
        ("link", "other"), [("merge", "b"), ("alias", "b"), ("identify", "7c9e6679-7425-40de-944b-e07fc1f90ae7")]
    )
    def test_every_kind_of_link_has_its_effect(
        self, mixpanel: Sandbox, client: Mixpanel, link: Any, other: str
    ) -> None:
        rows = events(2)
        rows[0]["user"], rows[1]["user"] = "a", other
        pushed(client, rows)
        assert self.links(client, [{"user": "a", "other": other}], link).sent == 1
        kept = mixpanel.deduplicated(DAY.date(), datetime.now(UTC).date())
        assert len({event.distinct_id for event in kept if event.event == "Order"}) == 1

    @pytest.mark.parametrize(
        ("mixpanel_project", "link"),
        [("simplified", "merge"), ("simplified", "alias"), ("legacy", "merge"), ("legacy", "identify")],
        indirect=["mixpanel_project"],
    )
    def test_links_are_rejected_plainly_where_the_project_ignores_them(
        self, mixpanel: Sandbox, client: Mixpanel, link: Any
    ) -> None:
        with pytest.raises(PushError, match="ID Merge, which ignores"):
            self.links(client, self.ROWS, link)
        assert mixpanel.count() == 0
        assert len(mixpanel.requests) <= 2

    @pytest.mark.parametrize("mixpanel_project", ["legacy"], indirect=True)
    def test_aliases_go_into_a_legacy_project(self, mixpanel: Sandbox, client: Mixpanel) -> None:
        assert self.links(client, self.ROWS[:3], "alias").sent == 3

    @pytest.mark.parametrize("mixpanel_project", ["original", "legacy", "simplified"], indirect=True)
    def test_to_ask_for_the_id_merge_changes_nothing(self, mixpanel: Sandbox, client: Mixpanel) -> None:
        assert client.identity.id_merge() == mixpanel.projects[0].id_merge
        assert mixpanel.count() == 0

    @pytest.mark.parametrize("mixpanel_project", ["original"], indirect=True)
    def test_a_link_that_mixpanel_rejects_is_kept_and_sent_again(
        self, mixpanel: Sandbox, client: Mixpanel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        mixpanel.add_fault(Fault("/import", "bad_request", skip=1, count=1, text="Malformed"))
        told = self.links(client, [{"user": "a", "other": "b"}])
        assert (told.sent, told.rejected) == (0, 1)
        assert self.links(client, [{"user": "a", "other": "b"}]).sent == 1


def test_a_400_says_what_mixpanel_says_of_records_without_place(mixpanel: Sandbox, client: Mixpanel) -> None:
    with pytest.raises(BadRequest, match="not supported in projects with Simplified ID Merge"):
        client.identity.merge("a", "b")
