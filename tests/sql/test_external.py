"""External tables: statements that the three engines parse, with every column that the lake has."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import pyarrow as pa
import pytest
import sqlglot
from sqlglot import exp
from typer.testing import CliRunner

from mixpanel_etl.cli import app
from mixpanel_etl.lake import ConfigurationError, Provenance, Table
from mixpanel_etl.lake.event_columns import CORE_SCHEMA
from mixpanel_etl.lake.external_statements import Dialect, ExternalTable, external_tables, statement
from mixpanel_etl.sandbox import Sandbox

DIALECTS: tuple[Dialect, ...] = get_args(Dialect)
EVENTS = ExternalTable("mixpanel.events", "s3://bucket/lake", "events", ("date", True), CORE_SCHEMA)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_files_in_sql_external_tables_are_what_the_events_table_needs(dialect: Dialect) -> None:
    text = (Path(__file__).parents[2] / "sql" / "external_tables" / f"{dialect}.sql").read_text()
    assert text.endswith(statement(EVENTS, dialect))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_statement_has_every_column_and_the_partition(dialect: Dialect) -> None:
    text = statement(EVENTS, dialect)
    clauses = re.compile(r"^WITH (CONNECTION|PARTITION COLUMNS) .*\n", re.MULTILINE)  # which the parser does not know
    parsed = sqlglot.parse_one(clauses.sub("", text), dialect=dialect)
    named = {column.name.lower() for column in parsed.find_all(exp.ColumnDef)}
    assert set(CORE_SCHEMA.names) <= named
    assert "date" in named or "PARTITION COLUMNS (`date` DATE)" in text


def test_all_tables_of_a_bucket_are_there(mixpanel: Sandbox, s3_lake: str) -> None:
    schema = pa.schema([("segments", pa.list_(pa.string())), ("value", pa.float64()), ("step", pa.int32())])
    rows = pa.table({"segments": [["a"]], "value": [1.0], "step": [1]}, schema)
    Table(s3_lake, "reports/sales", schema).write("2026-01-01", rows, Provenance(requested_at=datetime.now(UTC)))
    Table(s3_lake, "rejected/orders", schema, column="batch").write(
        "b-1", rows, Provenance(requested_at=datetime.now(UTC))
    )
    for dialect in DIALECTS:
        rejected, reports = external_tables(s3_lake, dialect, "raw")
        assert "raw.rejected_orders" in rejected
        assert f"{'@mixpanel_lake' if dialect == 'snowflake' else s3_lake}/reports/sales/" in reports


def test_a_lake_on_a_disk_is_refused_with_the_reason(mixpanel: Sandbox, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="give a lake on S3"):
        list(external_tables(str(tmp_path), "athena"))
    result = CliRunner().invoke(app, ["external-tables", "athena"])
    assert result.exit_code == 1
    assert "give a lake on S3" in result.output


def test_a_type_without_a_name_is_refused() -> None:
    odd = EVENTS._replace(schema=pa.schema([("odd", pa.duration("s"))]))
    with pytest.raises(ConfigurationError, match="column odd"):
        statement(odd, "athena")
