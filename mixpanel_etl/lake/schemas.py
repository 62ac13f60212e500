"""The columns of a table over all its files, so that none of them has to be opened to know: `_columns/<table>.json`.

A column that had two types is remembered with one that holds the values of both without a loss.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import reduce
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from mixpanel_etl.lake.columns import TIMESTAMP, is_json
from mixpanel_etl.lake.contract import Storage

# Not in the table's own folder: Polars takes every file below it for Parquet.
_FOLDER = "_columns"
_FORMAT = 1
_INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT")
#: The integers up to here are different doubles.
_EXACT = 2**53


@dataclass(frozen=True)
class ColumnType:
    """The type of a column in all files of a table.

    Attributes:
        type: as DuckDB writes it.
        wide: whether some of its integers are no different doubles.
    """

    type: str
    wide: bool = False

    def widened(self, other: ColumnType) -> ColumnType:
        """The type that holds the values of both."""
        types = {self.type, other.type}
        wide = self.wide or other.wide
        if len(types) == 1:
            return ColumnType(self.type, wide)
        if types <= {*_INTEGERS}:
            return ColumnType(max(types, key=_INTEGERS.index), wide)
        if types <= {*_INTEGERS, "DOUBLE"} and not wide:
            return ColumnType("DOUBLE")
        return ColumnType("VARCHAR", wide)


Columns = Mapping[str, ColumnType]


def remember_columns(store: Storage, file: str, columns: Columns) -> None:
    """Note the columns of a file that is about to be published; of files that are in no partition nothing.

    Args:
        store: of the lake.
        file: its name, `<table>/<column>=<key>/<file>`.
        columns: see `columns_of`.
    """
    folder, _, _ = file.rpartition("/")
    table, _, partition = folder.rpartition("/")
    if "=" not in partition:
        return

    def merged(content: bytes | None) -> bytes:
        known = _of_files(store, table) if content is None else _read(content)
        plain = {name: asdict(kind) for name, kind in _merged(known, columns).items()}
        return json.dumps({"format": _FORMAT, "columns": plain}, ensure_ascii=False).encode()

    store.update(_record(table), merged)


def remembered_columns(store: Storage, table: str) -> Columns | None:
    """The columns of a table; None for one that an older version wrote."""
    try:
        return _read(store.read(_record(table))[0])
    except FileNotFoundError:
        return None


def _record(table: str) -> str:
    return f"{_FOLDER}/{table}.json"


def columns_of(file: IO[bytes] | str) -> Columns:
    """The columns of a Parquet file; only its footer is read."""
    with pq.ParquetFile(file, pre_buffer=False) as parquet:
        schema = parquet.schema_arrow
        wide = _wide(parquet.metadata)
        return {field.name: ColumnType(_duckdb_type(field), field.name in wide) for field in schema}


def _wide(footer: pq.FileMetaData) -> set[str]:
    groups = (footer.row_group(number) for number in range(footer.num_row_groups))
    columns = (group.column(number) for group in groups for number in range(group.num_columns))
    integers = (column for column in columns if column.physical_type == "INT64" and column.statistics)
    return {
        column.path_in_schema
        for column in integers
        if column.statistics.has_min_max
        and isinstance(column.statistics.max, int)
        and max(-column.statistics.min, column.statistics.max) > _EXACT
    }


def _duckdb_type(field: pa.Field) -> str:
    if is_json(field):
        return "JSON"
    if field.type in (known := _TYPES):
        return known[field.type]
    import duckdb

    with duckdb.connect() as connection:
        return str(connection.from_arrow(pa.schema([field]).empty_table()).types[0])


_TYPES = {
    pa.string(): "VARCHAR",
    pa.int64(): "BIGINT",
    pa.float64(): "DOUBLE",
    pa.bool_(): "BOOLEAN",
    TIMESTAMP: "TIMESTAMP WITH TIME ZONE",
}


def _of_files(store: Storage, table: str) -> Columns:
    """The columns of all files of a table that an older version wrote."""
    names = (name for name in store.names(table, ".parquet") if name.count("/") == table.count("/") + 2)
    found: Iterable[Columns] = (store.read_with(name, columns_of) for name in names if "=" in name)
    return reduce(_merged, found, {})


def _merged(one: Columns, other: Columns) -> Columns:
    return {**one, **{name: one[name].widened(kind) if name in one else kind for name, kind in other.items()}}


def _read(content: bytes) -> Columns:
    record = json.loads(content)
    return {name: ColumnType(**kind) for name, kind in record["columns"].items()}
