"""Rows as events: what is sent of each value, and what is rejected before it is sent."""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixpanel_etl.client.ingestion.events import INSERT_ID
from mixpanel_etl.push.event_mapping import EventMapping
from mixpanel_etl.push.push_error import PushError
from mixpanel_etl.push.repeated_events import Repeats
from mixpanel_etl.reserved_ids import RESERVED_IDS

NOW = datetime(2026, 3, 1, tzinfo=UTC)
TIME = datetime(2026, 2, 1, 12, 30, tzinfo=UTC)
BASE: dict[str, Any] = {"event": "Order", "time": "at", "key": ["id"], "distinct_id": "user"}


def encoded(row: dict[str, Any], schema: pa.Schema | None = None, **mapping: Any) -> dict[str, Any]:
    """The one event of a row: as Mixpanel gets it, and what is wrong."""
    table = pa.Table.from_pylist([{"id": 1, "at": TIME, "user": "ada", **row}], schema)
    resolved = EventMapping(**{**BASE, **mapping}).of(table.schema)
    found = resolved.encode(table.to_batches()[0], NOW).to_dicts()[0]
    assert "\n" not in found["line"]
    return {**found, "sent": json.loads(found["line"])}


def properties(row: dict[str, Any], schema: pa.Schema | None = None, **mapping: Any) -> dict[str, Any]:
    found = encoded(row, schema, **mapping)
    assert found["message"] is None
    return {
        name: value
        for name, value in found["sent"]["properties"].items()
        if name not in ("time", "ip", "$insert_id", "distinct_id")
    }


def test_a_row_becomes_an_event_with_its_columns_as_properties() -> None:
    found = encoded({"amount": 12.5, "plan": None, "paid": True})
    assert found["sent"] == {
        "event": "Order",
        "properties": {
            "time": 1769949000000,
            "$insert_id": "1",
            "ip": "0",
            "distinct_id": "ada",
            "id": 1,
            "amount": 12.5,
            "paid": True,
        },
    }


def test_nulls_are_sent_by_choice() -> None:
    schema = pa.schema(
        [("id", pa.int64()), ("at", pa.timestamp("us", "UTC")), ("user", pa.string()), ("plan", pa.string())]
    )
    assert properties({"plan": None}, schema, nulls="send") == {"id": 1, "plan": None}


@pytest.mark.parametrize(
    ("value", "kind", "sent"),
    [
        (Decimal("12.50"), pa.decimal128(10, 2), 12.5),
        (Decimal(12), pa.decimal128(10, 0), 12),
        (date(2026, 1, 31), pa.date32(), "2026-01-31"),
        (TIME.replace(tzinfo=None), pa.timestamp("us"), "2026-02-01T12:30:00"),
        (
            datetime(2026, 1, 31, 13, tzinfo=ZoneInfo("Europe/Berlin")),
            pa.timestamp("us", "UTC"),
            "2026-01-31T12:00:00Z",
        ),
        (["a", None, "b"], pa.list_(pa.string()), ["a", None, "b"]),
        ({"a": 1, "b": None}, pa.struct([("a", pa.int64()), ("b", pa.int64())]), {"a": 1, "b": None}),
        ('say "null":null, or\n\\', pa.string(), 'say "null":null, or\n\\'),
        (2**63 - 1, pa.int64(), 2**63 - 1),
    ],
    ids=str,
)
def test_each_value_is_sent_as_mixpanel_reads_it(value: Any, kind: pa.DataType, sent: Any) -> None:
    schema = pa.schema(
        [
            ("id", pa.int64()),
            ("at", pa.timestamp("us", "UTC")),
            ("user", pa.string()),
            ("value", kind),
            ("none", pa.int8()),
        ]
    )
    assert properties({"value": value, "none": None}, schema) == {"id": 1, "value": sent}


def test_what_is_json_already_is_sent_as_it_is() -> None:
    schema = pa.schema(
        [("id", pa.int64()), ("at", pa.timestamp("us", "UTC")), ("user", pa.string()), ("cart", pa.json_(pa.string()))]
    )
    storage = pa.array(['{"items": [1,\n 2],\n "gone": null}'])
    table = pa.Table.from_arrays(
        [
            pa.array([1]),
            pa.array([TIME], schema.field("at").type),
            pa.array(["ada"]),
            pa.ExtensionArray.from_storage(pa.json_(), storage),
        ],
        schema=schema,
    )
    found = EventMapping(**BASE).of(schema).encode(table.to_batches()[0], NOW)
    assert json.loads(found["line"][0])["properties"]["cart"] == {"items": [1, 2], "gone": None}


@pytest.mark.parametrize(
    ("at", "kind", "mapping", "sent"),
    [
        (
            TIME.replace(tzinfo=None),
            pa.timestamp("us"),
            {"time_zone": "Europe/Berlin"},
            datetime(2026, 2, 1, 11, 30, tzinfo=UTC),
        ),
        (date(2026, 2, 1), pa.date32(), {"time_zone": "America/New_York"}, datetime(2026, 2, 1, 5, tzinfo=UTC)),
        (date(2026, 2, 1), pa.date32(), {}, datetime(2026, 2, 1, tzinfo=UTC)),
        (1769949000, pa.int64(), {"time_unit": "s"}, TIME),
        (1769949000000, pa.int64(), {"time_unit": "ms"}, TIME),
        (1769949000000000, pa.int64(), {"time_unit": "us"}, TIME),
        (1769949000.5, pa.float64(), {"time_unit": "s"}, TIME + timedelta(milliseconds=500)),
    ],
    ids=["local", "date", "date in UTC", "s", "ms", "us", "fractions"],
)
def test_times_of_every_kind(at: Any, kind: pa.DataType, mapping: dict[str, Any], sent: datetime) -> None:
    schema = pa.schema([("id", pa.int64()), ("at", kind), ("user", pa.string())])
    found = encoded({"at": at}, schema, **mapping)
    assert found["sent"]["properties"]["time"] == sent.timestamp() * 1000


@pytest.mark.parametrize(
    ("row", "field", "said"),
    [
        ({"at": None}, "at", "no time"),
        ({"at": datetime(1970, 6, 1, tzinfo=UTC)}, "at", "before 1971"),
        ({"at": NOW + timedelta(hours=2)}, "at", "in the future"),
        ({"id": None}, "id", "key is null"),
        ({"user": None}, "user", "id is missing"),
        ({"user": "undefined"}, "user", "placeholder id"),
        ({"note": "x" * 1_100_000}, "", "smaller than 1 MB"),
        ({"tree": {"a": {"b": {"c": {"d": 1}}}}}, "tree", "deeper than 3 levels"),
        ({"tags": ["x"] * 300}, "tags", "300 elements"),
        ({"total": Decimal(2**64)}, "total", "more than 64 bits"),
        ({f"p{n}": n for n in range(260)}, "", "at most 254"),
    ],
    ids=lambda value: value if isinstance(value, str) and value else "row",
)
def test_what_mixpanel_would_not_take_is_rejected_before(row: dict[str, Any], field: str, said: str) -> None:
    kinds = {"id": pa.int64(), "at": pa.timestamp("us", "UTC"), "user": pa.string()}
    table = pa.Table.from_pylist([{"id": 1, "at": TIME, "user": "ada", **row}])
    schema = pa.schema([(name, kinds.get(name, table.schema.field(name).type)) for name in table.schema.names])
    found = encoded(row, schema)
    assert said in found["message"]
    assert found["field"] == field


def test_nulls_that_are_sent_count_as_properties() -> None:
    kinds = {"id": pa.int64(), "at": pa.timestamp("us", "UTC"), "user": pa.string()}
    schema = pa.schema([*kinds.items(), *((f"p{n}", pa.int8()) for n in range(260))])
    assert encoded({}, schema, nulls="skip")["message"] is None
    assert "265 properties" in encoded({}, schema, nulls="send")["message"]


def test_an_enum_names_events() -> None:
    kinds = {"id": pa.int64(), "at": pa.timestamp("us", "UTC"), "user": pa.string()}
    schema = pa.schema([*kinds.items(), ("kind", pa.dictionary(pa.int8(), pa.string()))])
    assert encoded({"kind": "Refund"}, schema, event=None, event_column="kind")["sent"]["event"] == "Refund"


@pytest.mark.parametrize("names", [["amount", "amount"], ["$user_id", "amount"]], ids=["twice", "reserved"])
def test_columns_that_cannot_be_properties_are_told(names: list[str]) -> None:
    kinds = [("id", pa.int64()), ("at", pa.timestamp("us", "UTC")), ("user", pa.string())]
    schema = pa.schema([*kinds, *((name, pa.string()) for name in names)])
    with pytest.raises(PushError, match=r"name (one of them|it) otherwise"):
        EventMapping(**BASE).of(schema)


@pytest.mark.parametrize(
    ("mapping", "said"),
    [
        ({"time": "when"}, "no column 'when'"),
        ({"distinct_id": None}, "id is missing"),
        ({"key": []}, "key is missing"),
        ({"event_column": "event"}, "one of event"),
        ({"time": "local"}, "has no time zone"),
        ({"time": "id"}, "give time_unit"),
        ({"time": "user"}, "cast it to a timestamp"),
        ({"time_unit": "s"}, "leave it out"),
        ({"time_zone": "Berlin"}, "IANA name"),
        ({"nulls": "drop"}, "skip, send"),
        ({"properties": {"id": "time"}}, "field of its own"),
        ({"properties": {"id": "a", "user": "a"}}, "two columns"),
        ({"distinct_id": "amount"}, "a text"),
        ({"properties": {"blob": "blob"}}, "JSON does not have"),
    ],
)
def test_a_mapping_that_does_not_fit_is_told_before_anything_is_sent(mapping: dict[str, Any], said: str) -> None:
    schema = pa.schema(
        [
            ("id", pa.int64()),
            ("at", pa.timestamp("us", "UTC")),
            ("user", pa.string()),
            ("local", pa.timestamp("us")),
            ("amount", pa.float64()),
            ("blob", pa.binary()),
        ]
    )
    with pytest.raises(PushError, match=said):
        EventMapping(**{**BASE, **mapping}).of(schema)


@settings(deadline=None)
@given(st.lists(st.text() | st.none(), min_size=1, max_size=20))
def test_an_insert_id_is_the_key_where_it_can_be_and_always_one_that_mixpanel_takes(keys: list[str | None]) -> None:
    schema = pa.schema([("id", pa.string()), ("at", pa.timestamp("us", "UTC")), ("user", pa.string())])
    table = pa.Table.from_pylist([{"id": key, "at": TIME, "user": "ada"} for key in keys], schema)
    (batch,) = table.to_batches()
    found = EventMapping(**BASE).of(schema).encode(batch, NOW)["insert_id"].to_list()
    for key, insert_id in zip(keys, found, strict=True):
        if key is not None:
            assert INSERT_ID.fullmatch(insert_id)
            assert insert_id.lower() not in RESERVED_IDS
            usable = INSERT_ID.fullmatch(key) and key.lower() not in RESERVED_IDS
            assert (insert_id == key) == bool(usable)
    pairs = {key: insert_id for key, insert_id in zip(keys, found, strict=True) if key is not None}
    assert len(set(pairs.values())) == len(pairs)


@settings(deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "text": st.none() | st.text(),
                "number": st.none() | st.floats(),
                "whole": st.none() | st.integers(-(2**53), 2**53),
                "truth": st.none() | st.booleans(),
                "null": st.none() | st.just('","null":null'),
            }
        ),
        min_size=1,
        max_size=20,
    )
)
def test_wild_rows_arrive_as_they_are(rows: list[dict[str, Any]]) -> None:
    kinds = {"text": pa.string(), "number": pa.float64(), "whole": pa.int64(), "truth": pa.bool_(), "null": pa.string()}
    schema = pa.schema([("id", pa.int64()), ("at", pa.timestamp("us", "UTC")), ("user", pa.string()), *kinds.items()])
    table = pa.Table.from_pylist([{"id": n, "at": TIME, "user": "ada", **row} for n, row in enumerate(rows)], schema)
    mapping = EventMapping(**BASE, properties={name: name for name in kinds})
    found = mapping.of(schema).encode(table.to_batches()[0], NOW)
    for row, line in zip(rows, found["line"], strict=True):
        sent = {name: json.loads(line)["properties"].get(name) for name in kinds}
        assert sent == {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in row.items()
        }


@settings(deadline=None)
@given(st.lists(st.lists(st.tuples(st.integers(0, 30), st.booleans()), max_size=20), max_size=20))
def test_repetitions_are_found_wherever_the_first_one_was(batches: list[list[tuple[int, bool]]]) -> None:
    import polars as pl

    repeats, seen = Repeats(), set[int]()
    for batch in batches:
        identity = pl.Series([value for value, _ in batch], dtype=pl.UInt64)
        counted = pl.Series([good for _, good in batch], dtype=pl.Boolean)
        found = repeats.among(identity, counted).to_list()
        for (value, good), again in zip(batch, found, strict=True):
            assert again == (good and value in seen)
            seen |= {value} if good else set()
