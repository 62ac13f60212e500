"""The columns of a table over all its files, so that none of them has to be opened: `_columns/<table>.json`.

The record is not in the folder of the table, which Polars reads as Parquet, every file of it.

A column that had two types is remembered with one that holds the values of both without a loss, and the property that
fills a column is decided by the file that has it first.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import reduce
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from mixpanel_etl.lake.errors import ColumnTaken
from mixpanel_etl.lake.event_columns import JSON, MAX_EXACT, TIMESTAMP, is_json, stored_field
from mixpanel_etl.lake.storage_protocol import Storage

_FOLDER = "_columns"
_FORMAT = 2
_PROPERTY = b"mixpanel.property"
_INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT")


@dataclass(frozen=True)
class TableColumn:
    """The type of a column in all files of a table.

    Attributes:
        type: as DuckDB writes it.
        wide: whether some of its integers are too large for a double.
        property: name in Mixpanel of the property that fills it; None for a column that no single property fills.
    """

    type: str
    wide: bool = False
    property: str | None = None

    def widened(self, other: TableColumn) -> TableColumn:
        """The type that holds the values of both."""
        types = {self.type, other.type}
        wide = self.wide or other.wide
        source = other.property if self.property is None else self.property
        if len(types) == 1:
            return TableColumn(self.type, wide, source)
        if types <= {*_INTEGERS}:
            return TableColumn(max(types, key=_INTEGERS.index), wide, source)
        if types <= {*_INTEGERS, "DOUBLE"} and not wide:
            return TableColumn("DOUBLE", property=source)
        return TableColumn("VARCHAR", wide, source)


Columns = Mapping[str, TableColumn]


def remember_columns(store: Storage, file: str, columns: Columns) -> None:
    """Note the columns of a file that is about to be published; of files that are in no partition nothing.

    Args:
        store: of the lake.
        file: its name, `<table>/<column>=<key>/<file>`.
        columns: see `columns_of`.

    Raises:
        ColumnTaken: another property fills one of the columns in the table's other files.
    """
    folder, _, _ = file.rpartition("/")
    table, _, partition = folder.rpartition("/")
    if "=" in partition:
        settle_columns(store, table, lambda _: columns)


def settle_columns(store: Storage, table: str, choose: Callable[[Columns], Columns]) -> None:
    """Decide on columns of a table, knowing those that it has; of several processes one decides after the other.

    Args:
        store: of the lake.
        table: its folder.
        choose: gets the columns that are known and returns those that files are going to have. May be called again.

    Raises:
        ColumnTaken: a column was chosen for a property that another property fills already.
    """

    def merged(content: bytes | None) -> bytes:
        known = _read(content) if content else None
        if known is None:
            known = _of_files(store, table)
        chosen = choose(known)
        _check_properties(store.uri(table), known, chosen)
        plain = {name: asdict(kind) for name, kind in _merged(known, chosen).items()}
        return json.dumps({"format": _FORMAT, "columns": plain}, ensure_ascii=False).encode()

    store.update(_record(table), merged)


def check_columns(store: Storage, table: str, schema: pa.Schema) -> None:
    """Make sure that files of a schema may be published in a table, before it is known what they hold.

    Raises:
        ColumnTaken: another property fills one of the columns in the table's files.
    """
    _check_properties(store.uri(table), known_columns(store, table), columns_of_schema(schema))


def _check_properties(uri: str, known: Columns, chosen: Columns) -> None:
    for name, kind in chosen.items():
        before = known[name].property if name in known else None
        if before is not None and kind.property is not None and before != kind.property:
            raise ColumnTaken(uri, name, before, kind.property)


def known_columns(store: Storage, table: str) -> Columns:
    """The columns of a table: from its record, or from all its files if there is no record."""
    known = remembered_columns(store, table)
    return _of_files(store, table) if known is None else known


def remembered_columns(store: Storage, table: str) -> Columns | None:
    """The columns of a table; None for one that an older version wrote."""
    try:
        return _read(store.read(_record(table))[0])
    except FileNotFoundError:
        return None


def columns_of_schema(schema: pa.Schema, wide: Collection[str] = ()) -> Columns:
    """The columns of files of a schema.

    Args:
        schema: of the files.
        wide: names of columns with integers that are too large for a double.
    """
    return {field.name: TableColumn(_duckdb_type(field), field.name in wide, _property(field)) for field in schema}


def columns_of(file: IO[bytes] | str) -> Columns:
    """The columns of a Parquet file; only its footer is read."""
    with pq.ParquetFile(file, pre_buffer=False) as parquet:
        return columns_of_schema(parquet.schema_arrow, _wide(parquet.metadata))


def _wide(footer: pq.FileMetaData) -> set[str]:
    groups = (footer.row_group(number) for number in range(footer.num_row_groups))
    columns = (group.column(number) for group in groups for number in range(group.num_columns))
    integers = (column for column in columns if column.physical_type == "INT64" and column.statistics)
    return {
        column.path_in_schema
        for column in integers
        if column.statistics.has_min_max
        and isinstance(column.statistics.max, int)
        and max(-column.statistics.min, column.statistics.max) > MAX_EXACT
    }


def _property(field: pa.Field) -> str | None:
    name = (field.metadata or {}).get(_PROPERTY)
    return None if name is None else name.decode()


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
    pa.int8(): "TINYINT",
    pa.int16(): "SMALLINT",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.float64(): "DOUBLE",
    pa.bool_(): "BOOLEAN",
    TIMESTAMP: "TIMESTAMP WITH TIME ZONE",
}


def arrow_field(name: str, kind: TableColumn) -> pa.Field | None:
    """A column of such a type; None for types that only files of others have, and which are never made wider."""
    if kind.type == "JSON":
        return stored_field(name, JSON)
    arrow = {duckdb_type: arrow for arrow, duckdb_type in _TYPES.items()}.get(kind.type)
    return None if arrow is None else pa.field(name, arrow)


def _of_files(store: Storage, table: str) -> Columns:
    """The columns of all files of a table that an older version wrote; the newest file decides on properties."""
    names = (name for name in store.names(table, ".parquet") if name.count("/") == table.count("/") + 2)
    newest_first = sorted((name for name in names if "=" in name), reverse=True)
    found: Iterable[Columns] = (store.read_with(name, columns_of) for name in newest_first)
    return reduce(_merged, found, {})


def _merged(one: Columns, other: Columns) -> Columns:
    return {**one, **{name: one[name].widened(kind) if name in one else kind for name, kind in other.items()}}


def _record(table: str) -> str:
    return f"{_FOLDER}/{table}.json"


def _read(content: bytes) -> Columns | None:
    """The columns of a record; None for one of an older version, which had no properties."""
    record = json.loads(content)
    if record["format"] < _FORMAT:
        return None
    return {name: TableColumn(**kind) for name, kind in record["columns"].items()}
