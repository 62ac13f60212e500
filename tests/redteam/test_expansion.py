"""To whom ids belong: strangers can send any event with any ids, and get and remove nothing of others by it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixpanel_etl.gdpr.intake import take_in
from mixpanel_etl.gdpr.jobs import submittable
from mixpanel_etl.gdpr.ledger import Ledger
from mixpanel_etl.gdpr.linked_ids import expand, expand_together
from mixpanel_etl.gdpr.profile_lookups import Found
from mixpanel_etl.gdpr.progress import open_requests
from mixpanel_etl.gdpr.request_expansion import expand_requests
from mixpanel_etl.lake.person_columns import ID_PROPERTY_NAMES

from ..gdpr.desk import NOW, Desk, desk
from ..gdpr.lakes import table

__all__ = ["desk"]

Row = dict[str, Any]
NAMES = sorted({*ID_PROPERTY_NAMES, "$distinct_id", "alias", "$user_id", "$device_id", "distinct_id"} - {"distinct_id"})
EVENTS = ["page view", "$identify", "$create_alias", "$merge", "$mp_link"]


def row(name: str, distinct_id: str | None, device: str | None, user: str | None, **properties: Any) -> Row:
    """An exported event."""
    return {
        "event_name": name,
        "distinct_id": distinct_id,
        "device_id": device,
        "user_id": user,
        "properties": json.dumps({"distinct_id": distinct_id, **properties}),
    }


VICTIM = ["victim", "tablet", "$device:tablet", "old-name", "visitor", "$device:visitor"]
VICTIMS_ROWS = [
    row("buy", "victim", "tablet", "victim"),
    row("look", "$device:tablet", "tablet", None),
    row("$create_alias", "victim", None, "victim", alias="old-name"),
    row("look", "$device:visitor", "visitor", None),
]
ATTACKER = ["attacker", "laptop", "$device:laptop"]


@st.composite
def streams(draw: st.DrawFn) -> list[Row]:
    """Events of an attacker, who has the public token and knows all ids of the victim."""
    ids = st.sampled_from([*VICTIM, *ATTACKER])
    value = st.one_of(ids, st.lists(ids, min_size=1, max_size=3))
    rows = []
    for _ in range(draw(st.integers(1, 8))):
        sent: dict[str, Any] = draw(st.dictionaries(st.sampled_from(NAMES), value, max_size=3))
        columns = [draw(st.one_of(st.none(), ids)) for _ in range(3)]
        rows.append(row(draw(st.sampled_from(EVENTS)), *columns, **sent))
    return rows


class AllSeen:
    """The worst case of a `Directory`: Mixpanel has seen every id."""

    def look_up(self, values: Collection[str]) -> Found:
        raise AssertionError(values)

    def seen(self, ids: Collection[str]) -> Found:
        return Found({one: (one,) for one in ids})


@settings(deadline=None, max_examples=30)
@given(streams(), st.sets(st.sampled_from(ATTACKER), min_size=1))
def test_whatever_an_attacker_sends_no_id_of_a_victim_is_ever_certain(stream: list[Row], asked: set[str]) -> None:
    profiles = [{"distinct_id": one, "properties": json.dumps({"$distinct_ids": VICTIM})} for one in asked]
    with tempfile.TemporaryDirectory() as lake:
        table(lake, "events", "2026-03-01", [*VICTIMS_ROWS, *stream])
        table(lake, "profiles", "2026-03-01", profiles, json_columns=["properties"])
        person = expand_together(lake, {"R-1": sorted(asked)})["R-1"]
        ledger = Ledger(lake)
        request = {"request_id": "R-1", "kind": "access", "distinct_ids": sorted(asked), "requested_at": NOW}
        take_in(ledger, [request], "test", NOW)
        expand_requests(ledger, ["R-1"], AllSeen(), NOW)
        (one,) = open_requests(ledger)
        assert (one.state(NOW), submittable(ledger, [one], NOW)) == ("unconfirmed", [])
        assert not set(VICTIM) & set(one.entry.ids)
    assert not set(VICTIM) & set(person.ids)
    claimed = {one.id for one in person.claims}
    assert claimed >= {"victim", "tablet"}, "what the profile claims is listed"
    for claim in person.claims:
        assert claim.file
        assert claim.rows >= 1
        assert {claim.tied_to, f"$device:{claim.tied_to}"} & set(person.ids)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("values", ["victim", ["attacker", "victim"]])
def test_a_property_of_an_ordinary_event_gives_no_id_to_anybody(tmp_path: Path, name: str, values: object) -> None:
    lake = str(tmp_path)
    rows = [*VICTIMS_ROWS, row("page view", "attacker", "laptop", "attacker", **{name: values})]
    table(lake, "events", "2026-03-01", rows)
    person = expand(lake, ["attacker"])["attacker"]
    assert set(person.ids) == {"attacker", "laptop"}
    found = {one.id: one for one in person.claims}
    if name not in ("$user_id", "$device_id", "alias"):  # the columns have these, or no event but one
        claim = found["victim"]
        assert (claim.reason, claim.place, claim.row) == ("event_property", f"properties.{name}", 4)
        assert (claim.tied_to, claim.users, claim.file) == ("attacker", 2, "events/date=2026-03-01/data.parquet")
    back = expand(lake, ["victim"])["victim"]
    assert not {"attacker", "laptop"} & set(back.ids)


@pytest.mark.parametrize(
    ("sent", "reason", "users"),
    [
        (row("page view", "attacker", "tablet", "attacker"), "shared_device", 2),
        (row("page view", "attacker", "visitor", "attacker"), "unresolved_device", 1),
        (row("page view", "attacker", "victim", "attacker"), "shared_device", 2),
        (row("page view", "attacker", "old-name", "attacker"), "shared_device", 2),
        (row("page view", "attacker", None, "victim"), "same_row", 2),
        (row("page view", "victim", None, "attacker"), "same_row", 2),
        (row("page view", "victim", "laptop", "victim"), "user_on_device", 1),
        (row("$identify", "attacker", None, None, **{"$anon_id": "victim"}), "identity_event", 2),
        (row("$create_alias", "attacker", None, None, alias="victim"), "identity_event", 2),
        (row("$merge", "attacker", None, None, **{"$distinct_ids": ["attacker", "victim"]}), "identity_event", 2),
        (
            row("page view", "attacker", "fresh", "attacker", **{"$identity_failure_reason": "taken"}),
            "rejected_by_mixpanel",
            2,
        ),
    ],
)
def test_what_a_stranger_can_send_is_a_claim_with_the_row_that_makes_it(
    tmp_path: Path, sent: Row, reason: str, users: int
) -> None:
    lake = str(tmp_path)
    table(lake, "events", "2026-03-01", [*VICTIMS_ROWS, sent])
    asked = ["attacker", "laptop"]
    person = expand_together(lake, {"R-1": asked})["R-1"]
    assert list(person.ids) == asked
    (claim,) = [one for one in person.claims if one.reason == reason]
    assert (claim.row, claim.users) == (4, users)


def test_a_device_is_certain_only_while_all_its_rows_are_the_users(tmp_path: Path) -> None:
    lake = str(tmp_path)
    own = [row("buy", "anna", "phone", "anna", **{"$distinct_id_before_identity": "$device:phone"})]
    table(lake, "events", "2026-03-01", own)
    person = expand(lake, ["anna"])["anna"]
    assert person.ids == ("anna", "$device:phone", "phone")
    assert [(one.id, one.reason, one.row) for one in person.evidence if one.id == "phone"] == [
        ("phone", "own_device", 0)
    ]
    table(lake, "events", "2026-03-02", [row("look", None, None, None, **{"$device_ids": ["phone"]})])
    assert "phone" not in expand(lake, ["anna"])["anna"].ids


@pytest.mark.parametrize("asked", ["$device:victim", "$device:attacker", "visitor"])
def test_the_other_name_of_a_device_is_no_way_to_a_user(tmp_path: Path, asked: str) -> None:
    """A stranger may give a device the name of a user, and a user to a device."""
    lake = str(tmp_path)
    named = [row("look", "$device:victim", "victim", None), row("buy", "third", "attacker", "third")]
    linked = row("buy", "third", "visitor", "third")
    alone = {"distinct_id": "victim", "properties": "{}"}
    table(lake, "profiles", "2026-03-01", [alone], json_columns=["properties"])
    table(lake, "events", "2026-03-01", [*named, linked, row("look", "$device:visitor", "visitor", None)])
    assert expand(lake, [asked])[asked].ids == (asked,)


@pytest.fixture
def attacked(desk: Desk) -> Desk:
    """A lake in which an attacker claims to be the victim."""
    sent = row("page view", "attacker", "laptop", "attacker", **{"$identified_id": "victim"})
    table(desk.ledger.lake, "events", "2026-01-01", [*VICTIMS_ROWS, sent])
    return desk


@pytest.mark.parametrize("kind", ["deletion", "retrieval"])
def test_nothing_is_sent_for_a_claim_until_a_person_decides_and_then_only_what_was_accepted(
    attacked: Desk, kind: str
) -> None:
    attacked.ask("R-1", "attacker", kind=kind)
    for _ in range(3):
        attacked.work()
        attacked.pass_days(1)
    assert (attacked.state("R-1"), attacked.creations()) == ("unconfirmed", 0)
    assert attacked.confirm({"R-1": ()}, by="olga") == []
    attacked.work()
    (one,) = attacked.open()
    assert set(one.entry.ids) == {"attacker", "laptop"}
    assert (attacked.state("R-1"), attacked.creations()) == ("waiting", 1)
    attacked.pass_days(2)
    attacked.work()
    certificate = Path(attacked.ledger.lake, "gdpr/certificates/R-1.json").read_text()
    told = json.loads(certificate)
    assert (told["ids"]["claimed"], told["ids"]["accepted"], told["ids"]["total"]) == (1, 0, 2)
    (decision,) = told["decisions"]
    assert (decision["what"], decision["by"], decision["declined"]) == ("confirmed", "olga", 1)
    assert "victim" not in certificate
