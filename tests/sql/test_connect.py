"""A view for every table of the lake, whatever its folder is called."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mixpanel_etl.client import Mixpanel
from mixpanel_etl.lake import EventsTable, Provenance, Table, connect
from mixpanel_etl.pull import pull_events
from mixpanel_etl.sandbox import Sandbox

from ..lakehouse import days_from

NOW = datetime(2026, 2, 1, tzinfo=UTC)


def write(lake: str, name: str, key: str, values: list[Any], column: str = "date") -> Table:
    rows = pa.table({"value": pa.array(values, pa.int64())})
    table = Table(lake, name, rows.schema, column)
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
    write(lake, "imports/dead/letters", "2026-01-29", [3])
    assert rows(lake, "FROM profiles") == [(1, date(2026, 1, 31))]
    assert rows(lake, "FROM reports.signups") == [(2, date(2026, 1, 30))]
    assert rows(lake, 'FROM imports."dead/letters"') == [(3, date(2026, 1, 29))]


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
