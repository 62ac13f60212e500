"""The same promises from every kind of warehouse that can be had here: DuckDB and a real PostgreSQL."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from mixpanel_etl.warehouse import NumberType, Warehouse, WarehouseError

TABLE = """
CREATE TABLE orders AS
SELECT i AS id, 'order ' || i AS name, TIMESTAMP '2026-01-01' + i * INTERVAL '1 hour' AS paid,
       TIMESTAMPTZ '2026-01-01 00:00:00+00' + i * INTERVAL '1 hour' AS paid_zone
FROM generate_series(0, 99999) AS numbers(i)
"""
WINDOW = {"start": datetime(2026, 1, 2, tzinfo=UTC), "end": datetime(2026, 1, 3, tzinfo=UTC)}


@pytest.fixture(scope="module")
def duckdb_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("warehouse") / "shop.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(TABLE)
    return f"duckdb:///{path}"


@pytest.fixture(scope="module")
def postgresql_url(postgres_url: str) -> Iterator[str]:
    execute(postgres_url, f"DROP TABLE IF EXISTS orders; {TABLE}")
    yield postgres_url
    execute(postgres_url, "DROP TABLE orders")


@pytest.fixture(params=["duckdb", "postgresql"])
def warehouse(request: pytest.FixtureRequest) -> Warehouse:
    return Warehouse(request.getfixturevalue(f"{request.param}_url"))


def execute(url: str, sql: str) -> None:
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql)


def rows(warehouse: Warehouse, sql: str, **parameters: Any) -> list[dict[str, Any]]:
    with warehouse.query(sql, parameters) as batches:
        return list(batches.read_all().to_pylist())


def test_parameters_are_bound_and_days_are_those_of_utc(warehouse: Warehouse) -> None:
    sql = "SELECT id FROM orders WHERE {} >= $start AND {} < $end AND name <> '$start' ORDER BY id;"
    for column in ("paid", "paid_zone"):
        found = rows(warehouse, sql.format(column, column), **WINDOW)
        assert [row["id"] for row in found] == list(range(24, 48))


def test_a_value_can_not_become_sql(warehouse: Warehouse) -> None:
    assert rows(warehouse, "SELECT id FROM orders WHERE name = $name", name="x' OR 'a' = 'a") == []


def test_every_row_of_a_large_result_arrives_once_in_many_batches(warehouse: Warehouse) -> None:
    with warehouse.query(
        "SELECT * FROM orders WHERE paid >= $start", {"start": datetime(2000, 1, 1, tzinfo=UTC)}
    ) as found:
        sizes, ids = [], set()
        for batch in found:
            sizes.append(batch.num_rows)
            ids |= set(batch.column("id").to_pylist())
    assert sum(sizes) == len(ids) == 100_000
    assert max(sizes) <= 65_536


def test_the_schema_is_known_without_running_the_query(warehouse: Warehouse) -> None:
    # The first row would fail.
    sql = "SELECT id / (id - id) AS quotient, paid, paid_zone FROM orders WHERE paid >= $start ORDER BY 1;"
    schema = warehouse.schema(sql, WINDOW)
    assert schema.names == ["quotient", "paid", "paid_zone"]
    assert schema.field("paid").type == pa.timestamp("us")
    assert schema.field("paid_zone").type == pa.timestamp("us", "UTC")


def test_rows_can_be_counted(warehouse: Warehouse) -> None:
    assert warehouse.count("WITH q AS (SELECT * FROM orders) SELECT * FROM q WHERE paid < $end", WINDOW) == 48


@pytest.mark.parametrize("sql", ["SELECT nothing FROM orders", "SELECT * FROM nowhere", "SELEC 1"])
def test_wrong_sql_is_told_in_the_warehouses_words(warehouse: Warehouse, sql: str) -> None:
    with pytest.raises(WarehouseError, match=f"{warehouse.dialect}: .*(nothing|nowhere|SELEC)"), warehouse.query(sql):
        pass
    with pytest.raises(WarehouseError):
        warehouse.schema(sql)


def test_a_result_that_breaks_off_is_an_error_and_not_an_end(warehouse: Warehouse) -> None:
    sql = "SELECT CASE WHEN id < 90000 THEN 1 ELSE CAST(name AS INTEGER) END FROM orders"
    with pytest.raises(WarehouseError, match=r"\*\*\*") as caught, warehouse.query(sql) as found:
        for _ in found:
            pass
    assert "order 9" not in str(caught.value)  # a value of a row, which is a person's as likely as not


def test_a_warehouse_is_only_read(duckdb_url: str) -> None:
    with pytest.raises(WarehouseError), Warehouse(duckdb_url).query("DELETE FROM orders RETURNING id") as found:
        found.read_all()
    assert Warehouse(duckdb_url).count("SELECT * FROM orders") == 100_000


def test_postgresqls_own_types_arrive_as_plain_ones(postgresql_url: str) -> None:
    sql = """SELECT 12.50::numeric(10, 2) AS price, 12.5::numeric AS number, '{"a": 1}'::jsonb AS json,
                    'f4e5d3c2-0000-4000-8000-000000000001'::uuid AS uuid, ARRAY['a', 'b'] AS list"""
    with Warehouse(postgresql_url).query(sql) as found:
        assert found.schema.types == [
            pa.decimal128(10, 2),
            NumberType(),
            pa.json_(),
            pa.string(),
            pa.list_(pa.field("item", pa.string())),
        ]
        (row,) = found.read_all().to_pylist()
    assert [str(value) for value in row.values()] == [
        "12.50",
        "12.5",
        '{"a": 1}',
        "f4e5d3c2-0000-4000-8000-000000000001",
        "['a', 'b']",
    ]


@pytest.mark.parametrize(
    ("sql", "text"),
    [
        ("SELECT sum(x) AS v FROM (VALUES (9007199254740993::bigint)) AS q(x)", "9007199254740993"),
        ("SELECT 12345678901234567890123456789012345678901234567890.50::numeric AS v", f"{'1234567890' * 5}.5"),
        ("SELECT 100::numeric AS v", "100"),
        ("SELECT 1.10::numeric AS v", "1.1"),
        ("SELECT 'NaN'::numeric AS v", "nan"),
        ("SELECT 1.1::real AS v", "1.1"),
        ("SELECT 4294967295::oid AS v", "4294967295"),
        ("SELECT ARRAY[12.50, 9007199254740993]::numeric[] AS v", "['12.50', '9007199254740993']"),
    ],
)
def test_a_number_of_postgresql_is_exactly_what_it_is_there(postgresql_url: str, sql: str, text: str) -> None:
    (row,) = rows(Warehouse(postgresql_url), sql)
    assert str(row["v"]) == text


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT '12.34'::money AS v",
        "SELECT ARRAY['12.34'::money] AS v",
        "SELECT '12:00:00+02'::timetz AS v",
        "SELECT '10.0.0.1'::inet AS v",
        "SELECT '[1,5)'::int4range AS v",
    ],
)
def test_what_the_driver_would_change_is_rejected_with_what_to_cast(postgresql_url: str, sql: str) -> None:
    with pytest.raises(WarehouseError, match=r"column 'v' is .*: cast it to"), Warehouse(postgresql_url).query(sql):
        pass


def test_a_decimal_that_is_no_number_is_rejected_with_what_to_cast(postgresql_url: str) -> None:
    with pytest.raises(WarehouseError, match=r"column 'v' is numeric\(10, 2\) and holds NaN.*: cast it to numeric"):
        rows(Warehouse(postgresql_url), "SELECT 'NaN'::numeric(10, 2) AS v")


@pytest.mark.parametrize("value", [f"{2**128 - 1}::uhugeint", "[1::uhugeint]", "'12:00:00+02'::timetz"])
def test_what_duckdbs_driver_would_change_is_rejected_with_what_to_cast(value: str) -> None:
    with pytest.raises(WarehouseError, match=r"column 'v' is .*: cast it to"):
        rows(Warehouse("duckdb://"), f"SELECT {value} AS v WHERE $a = 1", a=1)


def test_parquet_files_are_a_warehouse(tmp_path: Path) -> None:
    duckdb.execute(f"COPY (SELECT 1 AS a) TO '{tmp_path}/x.parquet'")
    sql = "SELECT * FROM read_parquet($lake || '/*.parquet')"
    assert rows(Warehouse("duckdb://"), sql, lake=str(tmp_path)) == [{"a": 1}]


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://etl:ge%2Fheim@127.0.0.1:1/shop",
        "postgresql://etl:ge%2Fheim@127.0.0.1:port/shop",
        "postgresql://etl@127.0.0.1:1/shop?password=ge%2Fheim",
        "mysql://etl:ge%2Fheim@db/shop",
        "duckdb:///nowhere/shop.duckdb?secret=ge%2Fheim",
    ],
)
def test_no_error_shows_the_password(url: str) -> None:
    with pytest.raises(WarehouseError) as raised, Warehouse(url).query("SELECT 1"):
        pass
    error: BaseException | None = raised.value
    while error:
        assert not re.search("ge(%2F|/)heim", str(error)), error
        error = error.__cause__ or error.__context__


def test_a_warehouse_whose_driver_is_missing_names_the_extra() -> None:
    for url, extra in (("snowflake://u:p@account/db", "snowflake"), ("bigquery://project/dataset", "bigquery")):
        with pytest.raises(WarehouseError, match=rf"mixpanel_etl\[{extra}\]"), Warehouse(url).query("SELECT 1"):
            pass
