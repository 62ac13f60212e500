"""Everything that is one person's is found from any of its ids, and nothing of anybody else."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixpanel_etl.gdpr.people import MOST_IDS, expand

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


#: What Mixpanel writes when it learns that two ids are one person.
LINKS: tuple[Callable[[str, str], Row], ...] = (
    lambda one, other: row(one, user=other),
    lambda one, other: row(one, event="$create_alias", alias=other),
    lambda one, other: row(one, event="$identify", _identified_id=one, _anon_id=other),
    lambda one, other: row(one, event="$merge", _distinct_ids=[one, other]),
    lambda one, other: row(other, _distinct_id_before_identity=one),
)


@st.composite
def people(draw: st.DrawFn) -> tuple[list[list[str]], list[Row]]:
    """Persons of up to ten ids, and rows in any order that join each person's, with cycles."""
    persons, rows = [], []
    for number, size in enumerate(draw(st.lists(st.integers(1, 10), min_size=1, max_size=3))):
        ids = [f"p{number}-{n}" for n in range(size)]
        joined = [(ids[draw(st.integers(0, n - 1))], ids[n]) for n in range(1, size)]
        if size > 1:
            joined += draw(st.lists(st.tuples(st.sampled_from(ids), st.sampled_from(ids)), max_size=4))
        for one, other in joined:
            a, b = draw(st.permutations([one, other]))
            rows.append(draw(st.sampled_from(LINKS))(a, b))
        rows.append(row(ids[0]))
        persons.append(ids)
    return persons, draw(st.permutations(rows))


@settings(deadline=None, max_examples=15)
@given(people(), st.data())
def test_chains_and_cycles_of_links_end_with_the_whole_person(
    given: tuple[list[list[str]], list[Row]], data: st.DataObject
) -> None:
    persons, rows = given
    with tempfile.TemporaryDirectory() as lake:
        for n, some in enumerate((rows[::2], rows[1::2])):
            if some:
                table(lake, "events", f"2026-03-0{n + 1}", some)
        asked = [data.draw(st.sampled_from(ids)) for ids in persons]
        found = expand(lake, asked)
    for seed, ids in zip(asked, persons, strict=True):
        theirs = {one.removeprefix("$device:") for one in found[seed].ids}
        assert theirs == set(ids)
        assert found[seed].ids[0] == seed


def found(lake: str, seed: str) -> set[str]:
    return set(expand(lake, [seed])[seed].ids)


def test_a_chain_through_events_and_profiles_is_followed_to_its_end(tmp_path: Any) -> None:
    lake = str(tmp_path)
    table(lake, "events", "2026-03-01", [row("$device:d1", "d1"), row("u1", "d1", "u1"), row("u1", "d2", "u1")])
    table(lake, "events", "2026-03-02", [row("$device:d2", "d2"), row("u2", event="$create_alias", alias="u3")])
    table(
        lake,
        "profiles",
        "2026-03-02",
        [{"distinct_id": "u1", "properties": json.dumps({"$distinct_ids": ["u1", "u2"]})}],
        json_columns=["properties"],
    )
    everything = {"u1", "u2", "u3", "d1", "d2", "$device:d1", "$device:d2"}
    for seed in ("u3", "d1", "$device:d2"):
        assert found(lake, seed) == everything


def test_a_device_that_two_people_used_joins_neither_to_the_other(tmp_path: Any) -> None:
    lake = str(tmp_path)
    shared = [row("u1", "tablet", "u1"), row("u2", "tablet", "u2"), row("$device:tablet", "tablet")]
    table(lake, "events", "2026-03-01", [*shared, row("u1", "phone", "u1")])
    person = expand(lake, ["u1"])["u1"]
    assert set(person.ids) == {"u1", "phone"}
    assert person.shared == {"tablet": 2}
    assert found(lake, "tablet") == {"tablet"}


@pytest.mark.parametrize("nobody", ["", "undefined", "NULL", "0", "00000000-0000-0000-0000-000000000000"])
def test_an_id_that_means_nobody_leads_to_nobody(tmp_path: Any, nobody: str) -> None:
    lake = str(tmp_path)
    table(lake, "events", "2026-03-01", [row("u1", user=nobody), row("u2", user=nobody), row("u1", "d1", "u1")])
    assert found(lake, "u1") == {"u1", "d1"}


def test_an_id_that_leads_to_hundreds_is_not_followed(tmp_path: Any) -> None:
    lake = str(tmp_path)
    rows = [row(f"u{n}", user="everybody") for n in range(MOST_IDS + 2)]
    table(lake, "events", "2026-03-01", rows)
    person = expand(lake, ["u1"])["u1"]
    assert len(person.ids) <= 2
    assert "everybody" in person.shared
