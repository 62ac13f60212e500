"""The columns of the lake: those of Mixpanel's pipelines, and promoted properties that never change their type."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from mixpanel_etl.lake import ColumnTaken, ConfigurationError, EventsTable, PromotedColumn, event_schema
from mixpanel_etl.lake.event_columns import column_name
from mixpanel_etl.lake.sql import connect

from .exports import DAY, days_from, line, ms, pull, request, stored

NOON = datetime(2026, 3, 5, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("string", "text", "text"),
        ("string", "", ""),
        ("string", "é漢🦊\u2028\x00", "é漢🦊\u2028\x00"),
        ("string", 5, None),
        ("string", True, None),
        ("string", ["text"], None),
        ("string", {"a": "text"}, None),
        ("integer", 5, 5),
        ("integer", -(2**63), -(2**63)),
        ("integer", 2**63 - 1, 2**63 - 1),
        ("integer", 2**63, None),
        ("integer", 10**40, None),
        ("integer", 5.0, 5),
        ("integer", 2**53 + 1, 2**53 + 1),
        ("integer", 2.0**53, None),
        ("integer", 5.5, None),
        ("integer", "5", None),
        ("integer", True, None),
        ("integer", [5], None),
        ("number", 5, 5.0),
        ("number", -1.25, -1.25),
        ("number", 1e308, 1e308),
        ("number", 10**25, 1e25),
        ("number", 10**400, None),
        ("number", "5", None),
        ("number", False, None),
        ("boolean", True, True),
        ("boolean", False, False),
        ("boolean", 0, None),
        ("boolean", "true", None),
        ("timestamp", "2026-03-05T12:00:00Z", NOON),
        ("timestamp", "2026-03-05T12:00:00", NOON),
        ("timestamp", "2026-03-05 17:30:00+05:30", NOON),
        ("timestamp", "2026-03-05T12:00:00.123987", NOON + timedelta(milliseconds=123)),
        ("timestamp", "2026-03-05", NOON.replace(hour=0)),
        ("timestamp", "0001-01-01T00:00:00+14:00", None),
        ("timestamp", "yesterday", None),
        ("timestamp", "", None),
        ("timestamp", 1_772_668_800, None),
    ],
)
def test_a_value_is_in_its_column_if_it_fits_and_in_properties_always(
    table: EventsTable, kind: Any, value: Any, expected: Any
) -> None:
    table = EventsTable(table.lake, promoted=[PromotedColumn("Some Value", kind)])
    for neighbours in ([], [b'{"event":"\\ud800","properties":{"time":1772668800}}\n']):  # read fast, and with care
        pull(table, [line(**{"Some Value": value}), *neighbours], allow_shrink=True)
        row = stored(table)[0]
        assert (row["some_value"], type(row["some_value"])) == (expected, type(expected))
        assert json.loads(row["properties"])["Some Value"] == value


@pytest.mark.parametrize("text", ["1e400", "-1e400", "9" * 5000])
def test_a_number_that_no_double_holds_is_null_and_kept_in_properties(table: EventsTable, text: str) -> None:
    table = EventsTable(table.lake, promoted=[PromotedColumn("n", "number"), PromotedColumn("n", "integer", "whole")])
    pull(table, [line(n=1).replace(b'"n":1', f'"n":{text}'.encode())])
    (row,) = stored(table)
    assert (row["n"], row["whole"]) == (None, None)
    assert row["properties"].endswith(f'"n":{text}}}')


@pytest.mark.parametrize("half", [r"\ud83d", r"\udc00", r"\uDBFF\u0041", r"\ud83d\ud83d", r"\\\ud83d", r"\udc00\ud83d"])
def test_half_a_surrogate_pair_stops_no_reader_and_is_kept_as_it_was_sent(table: EventsTable, half: str) -> None:
    table = EventsTable(table.lake, promoted=[PromotedColumn("s", "string")])
    pull(table, [line(s="x", distinct_id="x").replace(b'"x"', f'"a{half}!"'.encode()), line(s="🦊 \\ud83d")])
    row, whole = stored(table)
    as_sent = json.loads(f'"a{half}!"')
    assert json.loads(row["properties_as_sent"])["s"] == as_sent
    readable = re.sub("[\ud800-\udfff]", "\ufffd", as_sent)
    assert row["s"] == row["distinct_id"] == json.loads(row["properties"])["s"] == readable
    assert (json.loads(whole["properties"])["s"], whole["properties_as_sent"]) == ("🦊 \\ud83d", None)
    with connect(table.lake) as connection:
        assert connection.sql("SELECT properties->>'s' FROM events ORDER BY 1").fetchall() == [
            (readable,),
            (r"🦊 \ud83d",),
        ]
    frame = table.scan().select(pl.col("properties").str.json_path_match("$.s")).collect()
    assert frame["properties"].to_list() == [readable, r"🦊 \ud83d"]


def test_one_property_may_have_columns_of_several_types(table: EventsTable) -> None:
    price = [PromotedColumn("price", "number"), PromotedColumn("price", "string", name="price_text")]
    table = EventsTable(table.lake, promoted=price)
    pull(table, [line(price=5), line(price="five")])
    assert [(row["price"], row["price_text"]) for row in stored(table)] == [(5.0, None), (None, "five")]


def test_a_property_named_like_what_readers_and_writers_use_inside_has_its_column(table: EventsTable) -> None:
    names = ["day", "row", "hash", "bucket", "index"]
    table = EventsTable(table.lake, promoted=[PromotedColumn(name, "string") for name in names])
    copies = [line(insert_id="i", **{name: f"{name} {n}" for name in names}) for n in range(2)]
    pull(table, copies)
    (row,) = stored(table)
    assert [row[name] for name in names] == [f"{name} 1" for name in names]


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("$city", "mp_city"),
        ("mp_lib", "mp_lib"),
        ("Signup Date", "signup_date"),
        ("a--b  c", "a_b_c"),
        ("UPPER", "upper"),
        ("Größe", "gr_e"),
        ("__x__", "x"),
        ("a$b", "a_b"),
        ("x" * 200, "x" * 128),
    ],
)
def test_columns_are_named_as_mixpanels_schematized_pipelines_name_them(source: str, name: str) -> None:
    assert column_name(source) == PromotedColumn(source, "string").name == name


@pytest.mark.parametrize("source", ["", "名前", "--"])
def test_a_property_that_makes_no_column_name_needs_one(source: str) -> None:
    with pytest.raises(ConfigurationError, match="give it one with `name`"):
        PromotedColumn(source, "string")
    assert PromotedColumn(source, "string", name="given").name == "given"


def test_an_unknown_type_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigurationError, match="unknown type 'float'; use one of string, integer, number"):
        PromotedColumn("x", "float")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "columns",
    [
        [PromotedColumn("x", "string", name="event_name")],
        [PromotedColumn("x", "string", name="Properties")],
        [PromotedColumn("date", "string")],
        [PromotedColumn("Date", "string", name="DATE")],
        [PromotedColumn("Price", "number"), PromotedColumn("price", "number")],
        [PromotedColumn("a", "number", name="x"), PromotedColumn("b", "number", name="X")],
    ],
)
def test_two_columns_of_one_name_are_refused(columns: list[PromotedColumn]) -> None:
    with pytest.raises(ConfigurationError, match="exists already; give it another `name`"):
        event_schema(columns)


@pytest.mark.parametrize("source", ["time", "distinct_id", "$insert_id", "$user_id", "mp_processing_time_ms"])
def test_a_property_that_has_a_column_is_not_promoted_again(source: str) -> None:
    with pytest.raises(ConfigurationError, match="fills a column of its own already"):
        event_schema([PromotedColumn(source, "string", name="mine")])


PROMOTED = [
    PromotedColumn("$city", "string"),
    PromotedColumn("n", "integer"),
    PromotedColumn("price", "number"),
    PromotedColumn("paid", "boolean"),
    PromotedColumn("since", "timestamp"),
]


@pytest.fixture
def mixed(table: EventsTable) -> EventsTable:
    """Three days: one with values, one without events, one whose values do not fit."""
    table = EventsTable(table.lake, promoted=PROMOTED)
    good = {"$city": "Köln", "n": 1, "price": 2.5, "paid": True, "since": "2026-03-05T12:00:00Z"}
    bad = {"$city": 1, "n": "x", "price": [], "paid": {}, "since": 7}
    lines = [line(**good, distinct_id="a"), line(ms(DAY + timedelta(days=2)), **bad)]
    pull(table, lines, request(DAY, DAY + timedelta(days=2)))
    return table


def test_the_schema_is_the_same_in_every_file(mixed: EventsTable) -> None:
    assert len(mixed.days()) == 3
    for day in mixed.days():
        assert mixed.file_schema(day).equals(mixed.schema, check_metadata=True)


def test_properties_are_plain_strings_and_times_milliseconds_of_utc(mixed: EventsTable) -> None:
    parquet = pq.ParquetFile(mixed.storage.open(f"events/date={DAY}/events.parquet")).schema
    types = {parquet.column(n).name: str(parquet.column(n).logical_type) for n in range(len(parquet))}
    assert types["properties"] == "String"  # Parquet's JSON type is what old readers stumble over
    timestamp = "Timestamp(isAdjustedToUTC=true, timeUnit=milliseconds"
    assert all(types[name].startswith(timestamp) for name in ("time", "processing_time", "since"))


def test_duckdb_reads_the_lake_as_one_hive_partitioned_table(mixed: EventsTable) -> None:
    rows = duckdb.execute(
        f"SELECT date, distinct_id, mp_city, n, price, paid, since, properties->>'$.n' "
        f"FROM read_parquet('{mixed.uri}/**/*.parquet', hive_partitioning = true) ORDER BY date"
    ).fetchall()
    assert rows == [
        (DAY, "a", "Köln", 1, 2.5, True, NOON, "1"),
        (DAY + timedelta(days=2), None, None, None, None, None, None, "x"),
    ]


def test_polars_reads_the_lake_as_one_hive_partitioned_table(mixed: EventsTable) -> None:
    frame = pl.scan_parquet(f"{mixed.uri}/", hive_partitioning=True).sort("date").collect()
    assert frame["date"].to_list() == [DAY, DAY + timedelta(days=2)]
    assert frame["mp_city"].to_list() == ["Köln", None]
    assert frame["time"].dtype == pl.Datetime("ms", "UTC")


def test_pyarrow_reads_the_lake_as_one_hive_partitioned_table(mixed: EventsTable) -> None:
    partitions = ds.partitioning(pa.schema([("date", pa.date32())]), flavor="hive")
    data = ds.dataset(mixed.uri, format="parquet", partitioning=partitions)
    rows = data.to_table(filter=ds.field("date") == DAY).to_pylist()
    assert [(row["date"], row["n"]) for row in rows] == [(DAY, 1)]
    assert len(data.files) == 3


def test_the_table_scans_the_days_asked_for_and_no_other(mixed: EventsTable) -> None:
    days = days_from(DAY, 3)
    assert mixed.scan().collect()["n"].to_list() == [1, None]
    assert mixed.scan([days[2], days[1], DAY - timedelta(days=9)]).collect()["price"].to_list() == [None]
    assert mixed.scan([]).collect().schema == mixed.scan().collect_schema()
    assert mixed.scan().collect()["properties"].str.json_path_match("$.n").to_list() == ["1", "x"]


def test_a_column_promoted_later_is_null_in_days_published_before(table: EventsTable) -> None:
    pull(table, [line(x=1)])
    wider = EventsTable(table.lake, promoted=[PromotedColumn("x", "integer")])
    pull(wider, [line(ms(DAY + timedelta(days=1)), x=2)], request(DAY + timedelta(days=1)))
    assert wider.scan().collect()["x"].to_list() == [None, 2]


@pytest.mark.parametrize("newcomer", ["user_name", "User Name", "$user_name"])
def test_a_promoted_column_keeps_its_property_and_another_is_rejected_before_the_request(
    table: EventsTable, newcomer: str
) -> None:
    pull(EventsTable(table.lake, promoted=[PromotedColumn("user name", "string")]), [line(**{"user name": "x"})])
    changed = EventsTable(table.lake, promoted=[PromotedColumn(newcomer, "string", name="user_name")])
    with pytest.raises(ColumnTaken, match="holds property 'user name'"):
        changed.check_columns()
    with pytest.raises(ColumnTaken, match="another `name`"):
        pull(changed, [line(**{newcomer: "y"})])
    assert [row["user_name"] for row in stored(table)] == ["x"]
    beside = EventsTable(table.lake, promoted=[PromotedColumn(newcomer, "string", name="other")])
    beside.check_columns()


def test_a_promoted_column_whose_type_changes_is_read_as_a_whole(table: EventsTable) -> None:
    days = days_from(DAY, 3)
    for day, kind, value in zip(days, ("integer", "number", "string"), (2**53 + 1, 2.5, "x"), strict=True):
        table = EventsTable(table.lake, promoted=[PromotedColumn("n", cast("Any", kind))])
        pull(table, [line(ms(day), n=value)], request(day))
        expected = ["9007199254740993", "2.5", "x"][: days.index(day) + 1]
        if day != DAY:
            assert table.scan().collect()["n"].to_list() == expected
            assert table.scan().filter(pl.col("n") == "2.5").collect().height == 1
    with connect(table.lake) as connection:
        assert connection.sql("SELECT n FROM events ORDER BY date").fetchall() == [(value,) for value in expected]
