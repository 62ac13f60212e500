"""What is a person's for certain is found, and what merely may be is listed with the row that says so."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixpanel_etl.gdpr.linked_ids import MAX_IDS, expand, expand_together

from .lakes import table

Row = dict[str, Any]


def row(distinct_id: str, device: str | None = None, user: str | None = None, event: str = "Visit", **more: Any) -> Row:
    """An event; `_id=...` stands for the property `$id`."""
    properties = {"distinct_id": distinct_id, **{re.sub("^_", "$", name): value for name, value in more.items()}}
    return {
        "event_name": event,
        "distinct_id": distinct_id,
        "device_id": device,
        "user_id": user,
        "properties": json.dumps(properties),
    }


@st.composite
def people(draw: st.DrawFn) -> tuple[dict[str, set[str]], list[Row]]:
    """Users with devices of their own, whose rows Mixpanel has resolved, in any order."""
    owned: dict[str, set[str]] = {}
    rows = []
    for number in range(draw(st.integers(1, 3))):
        user = f"user-{number}"
        owned[user] = {f"device-{number}-{n}" for n in range(draw(st.integers(0, 4)))}
        rows.append(row(user, user=user))
        for device in owned[user]:
            known = draw(st.booleans())
            before = {"_distinct_id_before_identity": f"$device:{device}"} if draw(st.booleans()) else {}
            rows += [row(user, device, user if known else None, **before)] * draw(st.integers(1, 2))
    return owned, draw(st.permutations(rows))


@settings(deadline=None, max_examples=15)
@given(people())
def test_all_devices_of_a_user_are_found_and_none_of_others(given: tuple[dict[str, set[str]], list[Row]]) -> None:
    owned, rows = given
    with tempfile.TemporaryDirectory() as lake:
        for n, some in enumerate((rows[::2], rows[1::2])):
            if some:
                table(lake, "events", f"2026-03-0{n + 1}", some)
        found = expand(lake, owned)
    for user, devices in owned.items():
        person = found[user]
        assert {one.removeprefix("$device:") for one in person.ids} == {user, *devices}
        assert (person.ids[0], person.claims, person.shared) == (user, (), {})


def test_a_claim_is_listed_and_leads_no_further(tmp_path: Path) -> None:
    lake = str(tmp_path)
    table(lake, "events", "2026-03-01", [row("u1", "d1", "u1"), row("u1", event="$create_alias", alias="u2")])
    table(lake, "events", "2026-03-02", [row("u2", "d2", "u2"), row("u2", event="$create_alias", alias="u3")])
    profile = {"distinct_id": "u1", "properties": json.dumps({"$distinct_ids": ["u1", "u4"]})}
    table(lake, "profiles", "2026-03-02", [profile], json_columns=["properties"])
    person = expand(lake, ["u1"])["u1"]
    assert person.ids == ("u1", "d1")
    claims = {one.id: (one.reason, one.event, one.place, one.file) for one in person.claims}
    assert claims == {
        "u2": ("identity_event", "$create_alias", "properties.alias", "events/date=2026-03-01/data.parquet"),
        "u4": ("profile_property", "", "properties.$distinct_ids", "profiles/date=2026-03-02/data.parquet"),
    }
    accepted = expand_together(lake, {"R-1": ["u1", "u2"]})["R-1"]
    assert accepted.ids == ("u1", "u2", "d1", "d2")
    assert [one.id for one in accepted.claims] == ["u4", "u3"]


@pytest.mark.parametrize("seed", ["phone", "$device:phone"])
def test_the_user_of_a_device_that_was_named_is_a_claim(tmp_path: Path, seed: str) -> None:
    lake = str(tmp_path)
    table(lake, "events", "2026-03-01", [row("$device:phone", "phone"), row("u1", "phone", "u1")])
    person = expand(lake, [seed])[seed]
    assert person.ids == (seed,), "Mixpanel gives the device's other name to its user"
    claims = {one.id: (one.reason, one.users) for one in person.claims}
    assert claims.pop("u1") == ("user_on_device", 1)
    assert claims in ({}, {"phone": ("same_device", 1)})
    accepted = expand_together(lake, {"R-1": [seed, "u1"]})["R-1"]
    assert (set(accepted.ids), accepted.claims) == ({"phone", "$device:phone", "u1"}, ())


def test_a_device_that_two_people_used_joins_neither_to_the_other(tmp_path: Path) -> None:
    lake = str(tmp_path)
    shared = [row("u1", "tablet", "u1"), row("u2", "tablet", "u2"), row("$device:tablet", "tablet")]
    table(lake, "events", "2026-03-01", [*shared, row("u1", "phone", "u1")])
    person = expand(lake, ["u1"])["u1"]
    assert set(person.ids) == {"u1", "phone"}
    assert person.shared == {"tablet": 2}
    assert [(one.id, one.reason, one.users) for one in person.claims] == [("tablet", "shared_device", 2)]
    tablet = expand(lake, ["tablet"])["tablet"]
    assert tablet.ids == ("tablet",)
    assert {one.id for one in tablet.claims} == {"u1", "u2"}


@pytest.mark.parametrize("reserved", ["", "undefined", "NULL", "0", "00000000-0000-0000-0000-000000000000"])
def test_a_reserved_id_leads_to_no_person(tmp_path: Path, reserved: str) -> None:
    lake = str(tmp_path)
    table(lake, "events", "2026-03-01", [row("u1", user=reserved), row("u2", user=reserved), row("u1", "d1", "u1")])
    person = expand(lake, ["u1"])["u1"]
    assert (set(person.ids), person.claims) == ({"u1", "d1"}, ())


def test_of_an_id_that_leads_to_hundreds_some_are_listed_and_all_are_counted(tmp_path: Path) -> None:
    lake = str(tmp_path)
    rows = [row(f"u{n}", user="everybody") for n in range(MAX_IDS + 20)]
    table(lake, "events", "2026-03-01", [*rows, row("everybody", "d1", "everybody")])
    person = expand(lake, ["everybody"])["everybody"]
    assert person.ids == ("everybody", "d1")
    assert (len(person.claims), person.shared) == (MAX_IDS, {"everybody": MAX_IDS + 21})
    assert expand(lake, ["u1"])["u1"].ids == ("u1",)


def test_ids_that_the_lake_never_saw_and_files_that_it_cannot_read_are_told(tmp_path: Path) -> None:
    lake = str(tmp_path)
    table(lake, "events", "2026-03-01", [row("u1", _anon_id="mentioned")])
    (tmp_path / "events/date=2026-03-02").mkdir()
    (tmp_path / "events/date=2026-03-02/data.parquet").write_bytes(b"PAR1 damaged")
    person = expand_together(lake, {"R-1": ["u1", "mentioned", "unknown"]})["R-1"]
    assert (person.unseen, person.unread) == (("mentioned", "unknown"), 1)
