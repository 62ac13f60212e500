"""Statements that show the lake's files to Athena, BigQuery and Snowflake as external tables."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Literal, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from mixpanel_etl.lake.errors import ConfigurationError
from mixpanel_etl.lake.event_columns import is_json
from mixpanel_etl.lake.sql import Folder, folders
from mixpanel_etl.lake.storage import S3, Storage, storage

Dialect = Literal["athena", "bigquery", "snowflake"]

#: A type of the lake, as Arrow writes it, in each dialect.
_TYPES: Mapping[str, Mapping[Dialect, str]] = {
    "string": {"athena": "string", "bigquery": "STRING", "snowflake": "VARCHAR"},
    "json": {"athena": "string", "bigquery": "STRING", "snowflake": "VARIANT"},
    "timestamp[ms, tz=UTC]": {"athena": "timestamp", "bigquery": "TIMESTAMP", "snowflake": "TIMESTAMP_LTZ"},
    "date32[day]": {"athena": "date", "bigquery": "DATE", "snowflake": "DATE"},
    "int32": {"athena": "int", "bigquery": "INT64", "snowflake": "NUMBER"},
    "int64": {"athena": "bigint", "bigquery": "INT64", "snowflake": "NUMBER"},
    "double": {"athena": "double", "bigquery": "FLOAT64", "snowflake": "FLOAT"},
    "bool": {"athena": "boolean", "bigquery": "BOOL", "snowflake": "BOOLEAN"},
    "list<string>": {"athena": "array<string>", "bigquery": "ARRAY<STRING>", "snowflake": "ARRAY"},
}


class ExternalTable(NamedTuple):
    """What a statement is made of.

    Attributes:
        name: of the table, with its dataset, database or schema.
        lake: `s3://` URI of the lake, without a slash at the end.
        folder: of the lake.
        partition: its column, and whether that is a date.
        schema: of its newest file.
    """

    name: str
    lake: str
    folder: str
    partition: tuple[str, bool]
    schema: pa.Schema

    @property
    def location(self) -> str:
        return f"{self.lake}/{self.folder}"


def external_tables(lake: str, dialect: Dialect, database: str = "mixpanel") -> Iterator[str]:
    """A statement for each table that the lake has now, with the columns of its newest file.

    Args:
        lake: `s3://` URI. All three read from S3 (BigQuery through BigQuery Omni).
        dialect: whose statements.
        database: the database (Athena), dataset (BigQuery) or schema (Snowflake) in which the tables are made.

    Raises:
        ConfigurationError: the lake is on a disk, which no warehouse reads, or a column is of a type without a name.
    """
    store = storage(lake)
    if not isinstance(store, S3):
        raise ConfigurationError(f"{dialect} can't read {lake}: give a lake on S3, `s3://bucket/lake`")
    for folder in folders(store):
        yield statement(_described(store, folder, database), dialect)


def statement(table: ExternalTable, dialect: Dialect) -> str:
    """The statement for one table.

    Raises:
        ConfigurationError: a column is of a type that has no name in the dialect.
    """
    columns = [(field.name, _type(field, dialect)) for field in table.schema]
    return _STATEMENTS[dialect](table, columns) + "\n"


def _described(store: Storage, folder: Folder, database: str) -> ExternalTable:
    newest = max(store.names(f"{folder.folder}/{folder.column}={max(folder.keys)}", ".parquet"))
    with store.open(newest) as file:
        schema = pq.read_schema(file)
    name = re.sub(r"\W", "_", folder.folder)
    partition = (folder.column, folder.type == "DATE")
    return ExternalTable(f"{database}.{name}", store.uri("").rstrip("/"), folder.folder, partition, schema)


def _type(field: pa.Field, dialect: Dialect) -> str:
    kind = f"list<{field.type.value_type}>" if pa.types.is_list(field.type) else str(field.type)
    kind = "json" if is_json(field) else kind
    if kind not in _TYPES:
        raise ConfigurationError(f"column {field.name} is {kind}, for which {dialect} has no name here")
    return _TYPES[kind][dialect]


def _athena(table: ExternalTable, columns: list[tuple[str, str]]) -> str:
    listed = ",\n".join(f"  `{name}` {kind}" for name, kind in columns)
    column, is_date = table.partition
    head = f"CREATE EXTERNAL TABLE {table.name} (\n{listed}\n)\n"
    if not is_date:
        # Its keys cannot be projected: run it again when there are new ones.
        return (
            f"{head}PARTITIONED BY (`{column}` string)\nSTORED AS PARQUET\nLOCATION '{table.location}/';\n"
            f"MSCK REPAIR TABLE {table.name};"
        )
    return (
        f"{head}PARTITIONED BY (`{column}` date)\nSTORED AS PARQUET\nLOCATION '{table.location}/'\n"
        "TBLPROPERTIES (\n"
        # Partition projection: new days are seen without a crawler.
        "  'projection.enabled' = 'true',\n"
        f"  'projection.{column}.type' = 'date',\n"
        f"  'projection.{column}.format' = 'yyyy-MM-dd',\n"
        f"  'projection.{column}.range' = '2011-01-01,NOW+2DAYS',\n"
        f"  'storage.location.template' = '{table.location}/{column}=${{{column}}}/'\n"
        ");"
    )


def _bigquery(table: ExternalTable, columns: list[tuple[str, str]]) -> str:
    listed = ",\n".join(f"  `{name}` {kind}" for name, kind in columns)
    column, is_date = table.partition
    return (
        f"CREATE OR REPLACE EXTERNAL TABLE `{table.name}` (\n{listed}\n)\n"
        "WITH CONNECTION `aws-us-east-1.mixpanel_lake`\n"  # BigQuery Omni's, made once for the bucket
        f"WITH PARTITION COLUMNS (`{column}` {'DATE' if is_date else 'STRING'})\n"
        "OPTIONS (\n"
        "  format = 'PARQUET',\n"
        "  enable_list_inference = true,\n"
        f"  hive_partition_uri_prefix = '{table.location}',\n"
        f"  uris = ['{table.location}/*']\n"
        ");"
    )


def _snowflake(table: ExternalTable, columns: list[tuple[str, str]]) -> str:
    column, is_date = table.partition
    key = f"SPLIT_PART(SPLIT_PART(METADATA$FILENAME, '{column}=', 2), '/', 1)"
    partition = f"{_unquoted(column)} DATE AS ({key}::DATE)" if is_date else f"{_unquoted(column)} VARCHAR AS ({key})"
    values = [(_unquoted(name), kind, f'VALUE:"{name}"') for name, kind in columns]
    listed = ",\n".join(
        f"  {name} {kind} AS ({f'PARSE_JSON({value}::VARCHAR)' if kind == 'VARIANT' else f'{value}::{kind}'})"
        for name, kind, value in values
    )
    return (
        f"CREATE OR REPLACE EXTERNAL TABLE {table.name} (\n  {partition},\n{listed}\n)\n"
        f"PARTITION BY ({_unquoted(column)})\n"
        f"LOCATION = @mixpanel_lake/{table.folder}/\n"  # a stage over the lake, made once
        "AUTO_REFRESH = FALSE\n"
        "PATTERN = '.*=[^/]*/[^/]*[.]parquet'\n"
        "FILE_FORMAT = (TYPE = PARQUET USE_LOGICAL_TYPE = TRUE);"
    )


def _unquoted(name: str) -> str:
    """A name that Snowflake's users need not quote, if that can be: to it, unquoted ones are in capitals."""
    return f'"{name.upper() if re.fullmatch(r"[a-z_][a-z0-9_]*", name) else name}"'


_STATEMENTS: Mapping[Dialect, Callable[[ExternalTable, list[tuple[str, str]]], str]] = {
    "athena": _athena,
    "bigquery": _bigquery,
    "snowflake": _snowflake,
}
