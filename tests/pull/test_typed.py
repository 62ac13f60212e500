"""Events with typed columns: what fits is typed, what does not is kept, and nothing is lost on the way."""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixpanel_etl.client import Schema, SchemaProperty
from mixpanel_etl.lake import Table
from mixpanel_etl.lake.event_columns import CORE_SCHEMA, JSON
from mixpanel_etl.lake.person_columns import names_a_person
from mixpanel_etl.pull.typed import Seen, columns_of, declared_types, drift, settled_columns, typed_schema
from mixpanel_etl.pull.typed.typed_rows import Typing

ALL_TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")


def events(*properties: dict[str, Any] | str) -> pa.RecordBatch:
    """Rows as the lake has them, given their properties or the text of these."""
    strings = [text if isinstance(text, str) else json.dumps(text) for text in properties]
    rows = len(strings)
    columns: dict[str, pa.Array] = {
        "time": pa.array([datetime(2026, 1, 1, tzinfo=UTC)] * rows, CORE_SCHEMA.field("time").type),
        "properties": pa.ExtensionArray.from_storage(JSON, pa.array(strings, pa.string())),
    }
    arrays = [columns.get(field.name, pa.nulls(rows, field.type)) for field in CORE_SCHEMA]
    return pa.record_batch(arrays, schema=CORE_SCHEMA)


def typed(types: dict[str, list[str]], *properties: dict[str, Any] | str) -> tuple[list[dict[str, Any]], Seen]:
    """The typed rows, without the columns of all events and without nulls; and what was seen."""
    seen = Seen()
    typing = Typing(columns_of({name: frozenset(kinds) for name, kinds in types.items()}), seen)
    batch = typing.batch(events(*properties))
    batch.validate(full=True)
    rows = batch.select(typing.schema.names[6:]).to_pylist()
    return [{name: value for name, value in row.items() if value is not None} for row in rows], seen


@pytest.mark.parametrize(
    ("declared", "value", "column"),
    [
        (["string"], "x", "x"),
        (["string"], "", ""),
        (["number"], 3, 3.0),
        (["number"], 2.5, 2.5),
        (["integer"], 3, 3),
        (["integer"], 3.0, 3),
        (["integer"], -(2**63), -(2**63)),
        (["integer", "number"], 3, 3.0),
        (["boolean"], False, False),
        (["array"], [1, {"a": 2}], '[1, {"a": 2}]'),
        (["object"], {"a": []}, '{"a": []}'),
        (["string", "null"], "x", "x"),
        (["string", "number"], 3, "3"),
        (["string", "number"], "3", "3"),
        (["string", "boolean"], True, "true"),
        (["string", "array"], [1], "[1]"),
    ],
)
def test_a_value_that_fits_is_in_its_column_and_nowhere_else(declared: list[str], value: Any, column: Any) -> None:
    rows, seen = typed({"p": declared}, {"p": value})
    assert rows == [{"p": column}]
    assert type(rows[0]["p"]) is type(column)
    assert not seen.unfit


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        (["string"], "3"),
        (["string"], "true"),
        (["string"], "{}"),
        (["number"], '"3"'),
        (["number"], "true"),
        (["number"], "9007199254740993"),  # a double would hold another number
        (["number"], "1e400"),
        (["integer"], "3.5"),
        (["integer"], "9223372036854775808"),
        (["integer"], "9007199254740993.0"),  # decoded, it would be another number
        (["integer"], "true"),
        (["boolean"], "1"),
        (["boolean"], '"yes"'),
        (["array"], "{}"),
        (["object"], "[]"),
        (["string"], '"\\ud83d"'),  # half of a surrogate pair
        (["string", "number"], "true"),
    ],
)
def test_a_value_that_does_not_fit_is_counted_and_kept_byte_for_byte(declared: list[str], value: str) -> None:
    rows, seen = typed({"p": declared}, f'{{"q": 1, "p": {value}}}', {"q": 2})
    assert rows[0] == {"other_properties": f'{{"q":1,"p":{value}}}'}
    assert seen.unfit == {"p": 1}
    assert seen.rows == 2


def test_properties_without_a_column_keep_their_text() -> None:
    rows, _ = typed(
        {"a": ["integer"]}, '{"a": 1, "b": 1.50, "c": null, "\\u00fc": "\\u00fc", "time": 5, "$user_id": "u"}'
    )
    assert rows == [{"a": 1, "other_properties": '{"b":1.50,"c":null,"ü":"\\u00fc"}'}]


def test_an_event_with_a_name_that_is_no_text_keeps_all_properties_in_json() -> None:
    text = '{"a": 1, "\\ud83d": 2}'
    rows, _ = typed({"a": ["integer"]}, text, {"a": 2})
    assert rows == [{"other_properties": text}, {"a": 2}]


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=4,
)
names = st.sampled_from(["a", "A", "$a", "mp_a", "b c", "登録", "user_id", "time", "other_properties", "date"])


@settings(max_examples=150, deadline=None)
@given(
    declared=st.dictionaries(names, st.sets(st.sampled_from(ALL_TYPES), min_size=1), max_size=6),
    rows=st.lists(st.dictionaries(names, values, max_size=6), min_size=1, max_size=4),
)
def test_columns_and_json_together_hold_every_value(declared: dict[str, set[str]], rows: list[dict[str, Any]]) -> None:
    columns = columns_of({name: frozenset(kinds) for name, kinds in declared.items()})
    seen = Seen()
    batch = Typing(columns, seen).batch(events(*rows))
    batch.validate(full=True)
    assert len({name.lower() for name in batch.schema.names}) == len(batch.schema.names)
    for found, row in zip(batch.to_pylist(), rows, strict=True):
        kept = json.loads(found["other_properties"] or "{}")
        for column in columns:
            value = found[column.name]
            if value is not None:
                is_text = column.arrow == pa.string() and isinstance(row[column.source], str)
                as_json = column.arrow in (JSON, pa.string()) and not is_text
                kept[column.source] = json.loads(value) if as_json else value
        want = {
            name: value for name, value in row.items() if name not in ("time",) and (value is not None or name in kept)
        }
        assert kept == want
    assert Seen.read(json.loads(json.dumps(seen.plain()))).plain() == seen.plain()


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.dictionaries(names, values, max_size=6), min_size=1, max_size=4))
def test_with_the_types_that_were_seen_only_what_no_column_can_hold_does_not_fit(rows: list[dict[str, Any]]) -> None:
    seen = Seen()
    Typing([], seen).look(events(*rows))
    again = Seen()
    Typing(columns_of(seen.property_types()), again).batch(events(*rows))
    for name, unfit in again.unfit.items():
        held = [row[name] for row in rows if row.get(name) is not None]
        # A double holds integers to 2**53 only, and 64 bits are the end of integers.
        assert unfit <= sum(type(value) is int and abs(value) > 2**53 for value in held)


def test_columns_that_name_persons_are_known_by_their_names() -> None:
    sources = ["$identified_id", "$anon_id", "$distinct_ids", "$distinct_id_before_identity", "mp_original_distinct_id"]
    columns = columns_of({source: frozenset({"string"}) for source in sources})
    assert all(names_a_person(column.name) for column in columns)
    assert {"distinct_id", "device_id", "user_id"} <= set(typed_schema(columns).names)


def test_drift_tells_what_is_undeclared_unseen_and_of_another_type() -> None:
    schema = Schema(
        properties={
            "amount": SchemaProperty(type="number"),
            "is_member": SchemaProperty(type="boolean"),
            "coupon": SchemaProperty(type="string"),
            "$city": SchemaProperty(type="string"),
        }
    )
    rows: list[dict[str, Any]] = [
        {"amount": 3, "is_member": True, "$city": "x", "$browser": "y", "extra": [1], "time": 1},
        {"amount": 3.5, "is_member": "yes", "coupon": None, "mp_lib": "z", "distinct_id": "u"},
    ]
    _, seen = typed({name: list(kinds) for name, kinds in declared_types(schema).items()}, *rows)
    found = drift(declared_types(schema), seen)
    assert found.undeclared == {"extra": {"array": 1}}
    assert found.unseen == ("coupon",)
    assert found.differing == {"is_member": (frozenset({"boolean"}), {"string": 1})}
    assert not drift(declared_types(schema), Seen())


def test_of_countless_names_the_most_frequent_ones_are_kept() -> None:
    seen = Seen()
    for start in range(0, 12_000, 1_000):
        rows: list[dict[str, Any]] = [{f"id {n}": 1, "often": 1} for n in range(start, start + 1_000)]
        Typing([], seen).look(events(*rows))
    kept = seen.plain()["types"]
    assert len(kept) == 1_000
    assert kept["often"] == {"integer": 12_000}
    assert len(msgspec.json.encode(seen.plain())) < 50_000


def decide(lake: str, sources: list[str]) -> dict[str, str]:
    """What a process decides on: column by property."""
    types = {source: frozenset({"string"}) for source in sources}
    columns = settled_columns(Table(lake, "events_typed/buy", typed_schema([])), types)
    return {column.source: column.name for column in columns}


def test_processes_that_decide_at_once_agree_on_what_columns_hold(tmp_path: Path) -> None:
    sources = ["username", "userName", "USERNAME", "$user", "mp_user", "user-name", "user name"]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as processes:
        halves = [sources[::2], sources[1::2], sources[::-1], sources]
        decided = list(processes.map(decide, [str(tmp_path)] * len(halves), halves))
    names = decide(str(tmp_path), sources)
    assert len(set(names.values())) == len(sources)
    for known in decided:
        assert known == {source: names[source] for source in known}
