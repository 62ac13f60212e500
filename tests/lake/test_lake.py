"""`Lake`: one URI, and from it tables, frames and SQL, on a disk and in a bucket."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from mixpanel_etl.lake import ConfigurationError, EventsTable, Lake, PromotedColumn, Provenance, Table

from .exports import DAY, line, ms, pull
from .exports import request as request_of


@pytest.fixture(params=["disk", "s3"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Lake:
    """Two days of events with a typed column, and a report of one day."""
    uri = str(tmp_path / "lake") if request.param == "disk" else request.getfixturevalue("s3_lake")
    events = EventsTable(uri, promoted=[PromotedColumn("$city", "string", "city")])
    next_day = DAY + timedelta(days=1)
    lines = [line(ms(), **{"$city": "Berlin"}), line(ms(next_day), "Leave", **{"$city": "Rome"})]
    pull(events, lines, request_of(DAY, next_day))
    rows = pa.table({"step": pa.array([1, 2]), "users": pa.array([9, 4])})
    Table(uri, "reports/signups", rows.schema).write(str(DAY), rows, Provenance(requested_at=datetime.now(UTC)))
    return Lake(uri)


def test_tables_are_listed_and_read_without_a_schema(lake: Lake) -> None:
    assert lake.tables() == ["events", "reports/signups"]
    assert lake.table("reports/signups").scan().collect().to_dicts() == [
        {"step": 1, "users": 9, "date": str(DAY)},
        {"step": 2, "users": 4, "date": str(DAY)},
    ]


def test_events_have_the_typed_columns_that_their_files_have(lake: Lake) -> None:
    assert lake.scan().collect()["city"].sort().to_list() == ["Berlin", "Rome"]
    assert lake.events.days() == [DAY, DAY + timedelta(days=1)]


@pytest.mark.parametrize("day", [DAY, str(DAY)], ids=["date", "string"])
def test_partitions_are_chosen_by_dates_and_by_strings(lake: Lake, day: date | str) -> None:
    assert lake.scan("events", first=day, last=day).collect()["city"].to_list() == ["Berlin"]
    assert lake.scan("events", last=day).collect().height == 1
    assert lake.scan("reports/signups", first=day).collect().height == 2


def test_sql_sees_all_tables_and_takes_parameters(lake: Lake) -> None:
    statement = "SELECT count(*) FROM events, reports.signups WHERE users > $1"
    assert lake.sql(statement, [5]).fetchall() == [(2,)]
    assert lake.sql("SELECT city FROM events ORDER BY ALL").pl()["city"].to_list() == ["Berlin", "Rome"]


def test_an_unknown_table_is_reported_with_the_available_ones(lake: Lake) -> None:
    with pytest.raises(ConfigurationError, match=r"unknown table 'signups'.*available: events, reports/signups"):
        lake.scan("signups")


def test_a_table_is_of_the_class_that_wrote_it(lake: Lake) -> None:
    assert isinstance(lake.table("events"), EventsTable)
    assert isinstance(lake.table("reports/signups"), Table)
    assert lake.table("events").scan().collect().height == 2


@pytest.mark.parametrize("bound", ["2026-1-5", "yesterday", "", datetime(2026, 1, 5, tzinfo=UTC)])
@pytest.mark.parametrize("table", ["events", "reports/signups"])
def test_a_bound_of_days_must_be_a_date(lake: Lake, table: str, bound: str | datetime) -> None:
    with pytest.raises(ConfigurationError, match=r"first is .*must be a date, or a string like '2026-01-31'"):
        lake.scan(table, first=bound)


def test_partitions_other_than_days_are_bounded_by_their_keys(tmp_path: Path) -> None:
    rows = pa.table({"value": pa.array([1])})
    for key in ("a", "b", "c"):
        Table(str(tmp_path), "things", rows.schema, column="thing").write(
            key, rows, Provenance(requested_at=datetime.now(UTC))
        )
    assert Lake(tmp_path).scan("things", "b").collect()["thing"].to_list() == ["b", "c"]
    assert Lake(tmp_path).scan("things", "b", "b").collect()["thing"].to_list() == ["b"]
    assert Lake(tmp_path).scan("things", "d").collect().height == 0


def test_a_lake_without_files_has_no_tables_and_no_days(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    assert lake.tables() == []
    assert lake.events.days() == []
    with pytest.raises(ConfigurationError, match=r"unknown table 'events' .* available: none"):
        lake.scan()


def test_the_repr_is_the_uri_which_must_not_have_credentials_in_it(tmp_path: Path) -> None:
    assert repr(Lake("s3://bucket/lake")) == "Lake('s3://bucket/lake')"
    assert repr(Lake(tmp_path)) == f"Lake({str(tmp_path)!r})"
    for scheme in ("s3", "https"):
        with pytest.raises(ConfigurationError, match="must not have credentials") as caught:
            Lake(f"{scheme}://AKIAKEY:hunter2@bucket/lake")
        assert "hunter2" not in str(caught.value)
