"""A view for every table of the lake, under any folder name."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mixpanel_etl.client import Mixpanel
from mixpanel_etl.lake import EventsTable, Provenance, Table, connect
from mixpanel_etl.lake.event_columns import JSON, stored_field
from mixpanel_etl.pull import pull_events
from mixpanel_etl.sandbox import Sandbox

from ..lake.s3_server import S3Server
from ..lakehouse import days_from

NOW = datetime(2026, 2, 1, tzinfo=UTC)


def write(lake: str, name: str, key: str, values: list[Any], column: str = "date") -> Table:
    rows = pa.table({"value": pa.array(values, pa.int64())})
    table = Table(lake, name, rows.schema, column=column)
    table.write(key, rows, Provenance(requested_at=NOW))
    return table


def rows(lake: str, sql: str) -> list[tuple[Any, ...]]:
    return connect(lake).execute(sql).fetchall()


@pytest.fixture
def lake(tmp_path: Path) -> str:
    return str(tmp_path / "lake")


def test_the_first_folder_is_the_schema_and_the_partition_a_column(lake: str) -> None:
    write(lake, "profiles", "2026-01-31", [1])
    write(lake, "reports/signups", "2026-01-30", [2])
    write(lake, "rejected/dead/rows", "2026-01-29", [3])
    assert rows(lake, "FROM profiles") == [(1, date(2026, 1, 31))]
    assert rows(lake, "FROM reports.signups") == [(2, date(2026, 1, 30))]
    assert rows(lake, 'FROM rejected."dead/rows"') == [(3, date(2026, 1, 29))]


def test_names_that_sql_does_not_know_as_such_are_quoted(lake: str) -> None:
    names = ["Sign Up", "order", '5" [x]* é?', "a.b", "it's"]
    for number, name in enumerate(names):
        write(lake, f"events_typed/{name}", "2026-01-31", [number])
    views = [view for (view,) in rows(lake, "SELECT table_name FROM lake.tables")]
    assert len(views) == len(names)
    assert sorted(rows(lake, f"SELECT value FROM {view}")[0][0] for view in views) == [0, 1, 2, 3, 4]
    assert rows(lake, 'SELECT value FROM events_typed."order"') == [(1,)]


def test_of_names_that_differ_in_case_only_the_second_gets_a_number(lake: str) -> None:
    write(lake, "events_typed/Visit", "2026-01-31", [1])
    write(lake, "events_typed/visit", "2026-01-31", [2])
    assert rows(lake, "SELECT value FROM events_typed.visit") == [(1,)]
    assert rows(lake, "SELECT value FROM events_typed.visit_2") == [(2,)]


def test_a_lake_whose_path_looks_like_a_pattern_is_found(tmp_path: Path) -> None:
    lake = str(tmp_path / "w[x]*?y")
    write(lake, "profiles", "2026-01-31", [1])
    write(str(tmp_path / "wx--y"), "profiles", "2026-01-31", [2])
    assert rows(lake, "SELECT value FROM profiles") == [(1,)]
    assert rows(lake, "SELECT key FROM lake.partitions") == [("2026-01-31",)]


@pytest.mark.parametrize("above", ["date=2020-01-01", "env=prod", "date=x/thing=y"])
def test_folders_above_the_lake_are_no_partitions(tmp_path: Path, above: str) -> None:
    lake = str(tmp_path / above / "lake")
    for day in ("2026-01-30", "2026-01-31"):
        write(lake, "profiles", day, [1])
    write(lake, "reports/things", "b", [2], column="thing")
    assert rows(lake, "FROM profiles WHERE date > '2026-01-30'") == [(1, date(2026, 1, 31))]
    assert rows(lake, "FROM reports.things") == [(2, "b")]
    assert rows(lake, "SELECT last FROM lake.tables") == [("2026-01-31",), ("b",)]
    plan = str(rows(lake, "EXPLAIN FROM profiles WHERE date = '2026-01-31'"))
    assert "Scanning Files: 1/2" in plan


@pytest.mark.parametrize(
    "name", ["information_schema", "pg_catalog", "main", "temp", "system", "memory", "lake", "LAKE"]
)
def test_a_folder_that_is_called_like_a_schema_of_duckdb_is_readable(lake: str, name: str) -> None:
    write(lake, f"{name}/tables", "2026-01-31", [1])
    write(lake, name, "2026-01-31", [2])
    write(lake, "profiles", "2026-01-31", [3])
    assert rows(lake, f'SELECT value FROM "{name}/tables"') == [(1,)]
    assert rows(lake, f'SELECT value FROM "{name}"') == [(2,)]
    views = [view for (view,) in rows(lake, "SELECT table_name FROM lake.tables")]
    assert sorted(rows(lake, f"SELECT value FROM {view}")[0][0] for view in views) == [1, 2, 3]


def test_keys_that_are_no_dates_stay_the_text_they_are(lake: str) -> None:
    for key in ("007", "a/b=c", "2026-01"):
        write(lake, "things", key, [1], column="thing")
    assert [key for _, key in rows(lake, "FROM things ORDER BY thing")] == ["007", "2026-01", "a/b=c"]
    assert [key for (key,) in rows(lake, "SELECT key FROM lake.partitions")] == ["007", "2026-01", "a/b=c"]


def test_replies_and_drafts_are_no_tables(lake: str) -> None:
    table = write(lake, "reports/signups", "2026-01-31", [1])
    table.keep_reply("2026-01-31", b"{}")
    for folder in ("reports/_old/date=2026-01-31", ".drafts/date=2026-01-31", "loose"):
        path = Path(lake) / folder
        path.mkdir(parents=True)
        pq.write_table(pa.table({"value": [9]}), path / "data.parquet")
    assert rows(lake, "SELECT table_name FROM lake.tables") == [("reports.signups",)]


def test_partitions_that_are_published_later_are_seen(lake: str) -> None:
    write(lake, "profiles", "2026-01-30", [1])
    connection = connect(lake)
    write(lake, "profiles", "2026-01-31", [2, 3])
    assert connection.execute("SELECT count(*) FROM profiles").fetchall() == [(3,)]
    assert connection.execute("SELECT partitions, last FROM lake.tables").fetchall() == [(2, "2026-01-31")]


def test_files_from_before_a_column_was_added_have_nulls_in_it(lake: str) -> None:
    write(lake, "profiles", "2026-01-30", [1])
    wider = pa.table({"value": pa.array([2], pa.int64()), "city": ["Lima"]})
    Table(lake, "profiles", wider.schema).write("2026-01-31", wider, Provenance(requested_at=NOW))
    assert rows(lake, "SELECT value, city FROM profiles ORDER BY value") == [(1, None), (2, "Lima")]


def test_the_latest_snapshot_is_the_newest_partition_even_without_rows(lake: str) -> None:
    write(lake, "catalogue/annotations", "2026-01-30", [1, 2])
    assert rows(lake, "SELECT value FROM latest('catalogue.annotations')") == [(1,), (2,)]
    write(lake, "catalogue/annotations", "2026-01-31", [])
    assert rows(lake, "SELECT value FROM latest('catalogue.annotations')") == []


@pytest.mark.parametrize("name", ["events_typed.sign up", 'events_typed."sign up"'])
def test_the_latest_snapshot_of_a_quoted_name(lake: str, name: str) -> None:
    write(lake, "events_typed/sign up", "2026-01-30", [1])
    write(lake, "events_typed/sign up", "2026-01-31", [2])
    assert rows(lake, f"SELECT value FROM latest('{name}')") == [(2,)]


def test_events_and_reports_work_on_s3(s3_lake: str, mixpanel: Sandbox, client: Mixpanel) -> None:
    days = days_from(date(2026, 1, 1), 3)
    mixpanel.generate(300, days[0], days[-1])
    table = EventsTable(s3_lake)
    list(pull_events(client, table, days))
    write(s3_lake, "catalogue/annotations", "2026-01-31", [1])
    held = table.scan(days[:1]).collect()
    assert rows(s3_lake, "SELECT count(*) FROM events WHERE date = '2026-01-01'") == [(len(held),)]
    reply = client.query.segmentation("page view", days[0], days[-1])
    counted = rows(s3_lake, "SELECT date, events FROM segmentation('page view', '2026-01-01', '2026-01-03')")
    assert {str(when.date()): events for when, events in counted} == reply.values["page view"]
    assert rows(s3_lake, "SELECT value FROM latest('catalogue.annotations')") == [(1,)]


def test_a_lake_that_is_empty_has_a_connection_without_views(lake: str) -> None:
    assert rows(lake, "FROM lake.tables") == []
    assert rows(lake, "FROM lake.partitions") == []


def test_over_a_bucket_no_file_is_opened_that_a_condition_on_the_partition_excludes(
    s3_lake: str, s3_server: S3Server
) -> None:
    for number in range(30):
        write(s3_lake, "reports/signups", f"2026-01-{number + 1:02}", [number])
    s3_server.requests.clear()
    with connect(s3_lake) as connection:
        # Listings, and the record of the columns.
        assert len(s3_server.requests) <= 6
        s3_server.requests.clear()
        query = "SELECT sum(value) FROM reports.signups WHERE date BETWEEN '2026-01-03' AND '2026-01-05'"
        assert connection.sql(query).fetchall() == [(2 + 3 + 4,)]
        asked = [path for method, path, _ in s3_server.requests if path.endswith(".parquet")]
        assert {path.split("date=")[1][:10] for path in asked} == {"2026-01-03", "2026-01-04", "2026-01-05"}
        assert len(s3_server.requests) <= 3 + 5
        s3_server.requests.clear()
        assert connection.sql("SELECT count(*) FROM reports.signups").fetchall() == [(30,)]
        assert len(s3_server.requests) <= 30 + 5


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        pytest.param(
            pa.array([9007199254740993]), pa.array([0.5]), ["0.5", "9007199254740993"], id="large integers, fractions"
        ),
        pytest.param(pa.array([7]), pa.array([0.5]), [0.5, 7.0], id="small integers, fractions"),
        pytest.param(pa.array([7]), pa.array(["seven"]), ["7", "seven"], id="integers, strings"),
        pytest.param(pa.array([True]), pa.array(["x"]), ["true", "x"], id="booleans, strings"),
        pytest.param(pa.array([1], pa.int32()), pa.array([2**40]), [1, 2**40], id="short and long integers"),
    ],
)
def test_a_column_whose_type_changes_is_read_as_a_whole_without_loss(
    tmp_path: Path, first: pa.Array, second: pa.Array, expected: list[Any]
) -> None:
    for day, values in (("2026-01-01", first), ("2026-01-02", second)):
        table = Table(str(tmp_path), "t", pa.schema([("value", values.type)]))
        table.write(day, pa.table({"value": values}), Provenance(requested_at=datetime.now(UTC)))
    assert sorted(value for (value,) in rows(str(tmp_path), "SELECT value FROM t")) == expected


def test_a_list_becomes_a_string_and_stays_readable(tmp_path: Path) -> None:
    kinds = {"2026-01-01": (JSON, '["a"]'), "2026-01-02": (pa.string(), "a")}
    for day, (kind, value) in kinds.items():
        table = Table(str(tmp_path), "t", pa.schema([stored_field("value", kind)]))
        table.write(day, pa.table([[value]], schema=table.schema), Provenance(requested_at=datetime.now(UTC)))
    assert sorted(rows(str(tmp_path), "SELECT value, typeof(value) FROM t")) == [('["a"]', "VARCHAR"), ("a", "VARCHAR")]


def test_columns_that_come_and_go_are_all_there(tmp_path: Path) -> None:
    for day, names in (("2026-01-01", ["a", "b"]), ("2026-01-02", ["b", "c"])):
        schema = pa.schema([(name, pa.int64()) for name in names])
        content = pa.table([[1]] * len(names), schema=schema)
        Table(str(tmp_path), "t", schema).write(day, content, Provenance(requested_at=datetime.now(UTC)))
    assert rows(str(tmp_path), "SELECT a, b, c FROM t ORDER BY date") == [(1, 1, None), (None, 1, 1)]


def test_a_table_of_an_older_version_has_no_record_and_is_read_all_the_same(tmp_path: Path) -> None:
    for number in (1, 2):
        write(str(tmp_path), "t", f"2026-01-0{number}", [number])
    (tmp_path / "_columns" / "t.json").unlink()
    assert rows(str(tmp_path), "SELECT value FROM t ORDER BY 1") == [(1,), (2,)]
    write(str(tmp_path), "t", "2026-01-03", [3])
    assert (tmp_path / "_columns" / "t.json").exists()
    assert rows(str(tmp_path), "SELECT value FROM t ORDER BY 1") == [(1,), (2,), (3,)]
