"""`mixpanel-etl sql`: statements, formats and the shell, over a lake of one table."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from typer.testing import CliRunner, Result

from mixpanel_etl.cli import app
from mixpanel_etl.lake import Provenance, Table


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    uri = str(tmp_path / "lake")
    rows = pa.table({"name": ["Launch", "São Paulo"], "tags": ['["x"]', None]})
    rows = rows.set_column(1, "tags", rows["tags"].cast(pa.json_(pa.string())))
    table = Table(uri, "catalogue/annotations", rows.schema)
    table.write("2026-01-31", rows, Provenance(requested_at=datetime(2026, 2, 1, tzinfo=UTC)))
    monkeypatch.setenv("MIXPANEL_LAKE", uri)
    return uri


def run(*arguments: str, typed: str | None = None) -> Result:
    return CliRunner().invoke(app, ["sql", *arguments], input=typed)


def test_a_statement_prints_a_table(lake: str) -> None:
    result = run("SELECT name, date FROM catalogue.annotations")
    assert result.exit_code == 0
    assert "São Paulo │ 2026-01-31" in result.stdout


def test_csv_has_a_header_and_all_rows(lake: str) -> None:
    result = run("SELECT i, NULL AS nothing FROM range(2500) AS numbers(i)", "--format", "csv")
    lines = result.stdout.splitlines()
    assert lines[:2] == ["i,nothing", "0,"]
    assert lines[-1] == "2499,"
    assert len(lines) == 2501


def test_json_nests_json_columns_and_writes_dates_as_iso(lake: str) -> None:
    result = run("SELECT * FROM catalogue.annotations ORDER BY name", "--format", "json")
    assert json.loads(result.stdout) == [
        {"name": "Launch", "tags": ["x"], "date": "2026-01-31"},
        {"name": "São Paulo", "tags": None, "date": "2026-01-31"},
    ]


def test_json_without_rows_is_an_empty_array(lake: str) -> None:
    assert json.loads(run("SELECT 1 WHERE false", "--format", "json").stdout) == []


def test_a_statement_that_fails_says_why_without_a_traceback(lake: str) -> None:
    result = run("SELECT nope FROM catalogue.annotations")
    assert result.exit_code == 1
    assert 'column "nope"' in result.stderr
    assert "Traceback" not in result.output


def test_a_missing_table_is_missing_although_the_program_has_a_variable_of_its_name(lake: str) -> None:
    result = run("FROM catalogue.connection")
    assert result.exit_code == 1
    assert "connection does not exist" in result.stderr


def test_the_shell_takes_statements_of_several_lines_and_goes_on_after_an_error(lake: str) -> None:
    result = run(
        "--format", "csv", typed="SELECT\n1 + 1\nAS two;\nSELECT nope;\n\nSELECT 3 AS three;\n.quit\nSELECT 4;"
    )
    assert result.stdout.splitlines() == ["two", "2", "three", "3"]
    assert "nope" in result.stderr
    assert result.exit_code == 1  # a script that was not run as a whole


def test_the_shell_runs_what_has_no_semicolon_at_the_end_of_its_input(lake: str) -> None:
    assert run("--format", "csv", typed="SELECT 1 AS one").stdout.splitlines() == ["one", "1"]


def test_tables_lists_tables_and_their_partitions(lake: str) -> None:
    result = run("--format", "csv", typed=".tables\n")
    assert result.stdout.splitlines()[1] == "catalogue.annotations,date,1,2026-01-31,2026-01-31"


def test_an_unknown_command_tells_the_known_ones(lake: str) -> None:
    assert ".tables" in run(typed=".schema\n").stderr


def test_a_lake_without_tables_says_how_to_fill_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("--lake", "empty", "SELECT 1")
    assert result.exit_code == 0
    assert "mixpanel-etl export" in result.stderr


def test_a_lake_that_is_no_path_is_refused(lake: str) -> None:
    result = run("--lake", "gs://bucket/lake", "SELECT 1")
    assert result.exit_code == 1
    assert "s3://bucket/prefix" in result.stderr
