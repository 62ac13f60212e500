"""SQL over the whole lake: DuckDB with a view for every table, and Mixpanel's reports as functions over the events."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mixpanel_etl.lake.column_record import Columns, remembered_columns
from mixpanel_etl.lake.listed_bucket import ListedBucket
from mixpanel_etl.lake.storage import S3, Storage, storage
from mixpanel_etl.scratch import spill_of

if TYPE_CHECKING:
    import duckdb

_STATEMENTS = Path(__file__).parent / "statements"
#: What is created over the events: files of `statements`, in the order in which they build on each other.
_OVER_EVENTS = ("project_time.sql", "segmentation.sql", "funnel.sql", "retention.sql")
#: A file of a table: folders, the first `column=key`, a name.
_FILE = re.compile(r"(?P<folder>[^=]+)/(?P<column>[^/=]+)=(?P<key>[^/]*)/(?P<file>[^/]+\.parquet)")
#: Folders and files that do not belong to a table: drafts, replies.
_HIDDEN = re.compile(r"(?:^|/)[._]")
#: Schemas that DuckDB or this package has already: tables below folders of these names have the whole folder as their
#: name, `"information_schema/tables"`.
_OWN_SCHEMAS = {"information_schema", "pg_catalog", "main", "temp", "system", "memory", "lake"}
_PLAIN = re.compile(r"[a-z_][a-z0-9_]*")


def connect(lake: str, *, timezone: str = "UTC", created_before_2023: bool = False) -> duckdb.DuckDBPyConnection:
    """A DuckDB connection with a view for every table that the lake has now.

    `events`, `reports.signups`, `catalogue.annotations`...: the first of several folders is the schema. A partition's
    folder, `date=2026-01-31`, is a column. What is published later shows in the views that there are. Times are shown
    in UTC. `lake.tables` and `lake.partitions` say what there is, `latest('profiles')` is the newest snapshot of a
    table, and `segmentation`, `funnel` and `retention` are Mixpanel's reports over `events` (`lake/statements`).

    Args:
        lake: path, `file://` or `s3://` URI of the lake.
        timezone: the project's IANA zone, in which the three reports cut their days.
        created_before_2023: whether the project stores project time, in which the reports then measure
            (mixpanel-api.md#project-time).

    Raises:
        ConfigurationError: an unknown kind of URI.
        OSError: the lake cannot be listed.
    """
    import duckdb

    store = storage(lake)
    found = folders(store)
    connection = spill_of(lambda temp_directory: duckdb.connect(config={"temp_directory": temp_directory}))
    if isinstance(store, S3):
        # DuckDB's own extension would have to be downloaded, and would take its credentials from elsewhere.
        connection.register_filesystem(ListedBucket(store.fs))
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET VARIABLE timezone = $1", [timezone])
    connection.execute("SET VARIABLE created_before_2023 = $1", [created_before_2023])
    _create_views(connection, store, found)
    if any(table.folder == "events" for table in found):
        for name in _OVER_EVENTS:
            connection.execute(_file(name))
    return connection


class Folder(NamedTuple):
    """A table as the lake's folders show it: `<folder>/<column>=<key>/`, one file in each.

    Attributes:
        keys: partitions as the folders spell them.
        file: name of a partition's file.
    """

    folder: str
    column: str
    keys: Collection[str]
    file: str

    @property
    def type(self) -> str:
        return "DATE" if self.column == "date" and all(map(_is_date, self.keys)) else "VARCHAR"


def folders(store: Storage) -> list[Folder]:
    """The tables of a lake, by name."""
    keys: dict[tuple[str, str], set[str]] = defaultdict(set)
    files: dict[tuple[str, str], str] = {}
    for name in store.names("", ".parquet"):
        match = _FILE.fullmatch(name)
        if match and not _HIDDEN.search(name):
            table = match["folder"], match["column"]
            keys[table].add(match["key"])
            files.setdefault(table, match["file"])
    return [Folder(*table, found, files[table]) for table, found in sorted(keys.items())]


def _create_views(connection: duckdb.DuckDBPyConnection, store: Storage, tables: Collection[Folder]) -> None:
    reserved = {name for (name,) in connection.execute("SELECT keyword_name FROM duckdb_keywords()").fetchall()}
    root = store.uri("").rstrip("/")
    connection.execute("CREATE SCHEMA lake")
    connection.execute("CREATE TABLE lake.folders (table_name VARCHAR, folder VARCHAR, partition_column VARCHAR)")
    taken: set[str] = set()
    for table in tables:
        view = _name(table.folder, taken, reserved)
        schema, dot, _ = view.partition(".")
        if dot:
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        statement = _file("view.sql").format(
            view=view,
            # Events of one millisecond are in the order in which Mixpanel gave them.
            more=", file_row_number" if table.folder == "events" else "",
            files=_literal(f"{_escaped(f'{root}/{table.folder}/{table.column}')}=*/*.parquet"),
            column=_literal(table.column),
            quoted=_quoted(table.column),
            start=len(table.column) + 2,
            type=table.type,
            columns=_columns(remembered_columns(store, table.folder)),
        )
        connection.execute(statement)
        connection.execute("INSERT INTO lake.folders VALUES ($1, $2, $3)", [view, table.folder, table.column])
    files = _literal(f"{_escaped(root)}/**/*.parquet")
    connection.execute(_file("partitions.sql").format(files=files, root=_literal(root)))


def _columns(columns: Columns | None) -> str:
    """How `read_parquet` knows the columns: by the table's record, or for want of one from all files."""
    if columns is None:
        return "union_by_name = true"
    entries = (
        f"{_literal(name)}: {{name: {_literal(name)}, type: {_literal(column.type)}, default_value: NULL}}"
        for name, column in columns.items()
    )
    return f"schema = MAP {{{', '.join(entries)}}}"


def _name(folder: str, taken: set[str], reserved: Collection[str]) -> str:
    """The name of a folder's view. SQL does not tell upper from lower case: the second one gets a number."""
    schema, slash, table = folder.rpartition("/") if folder.count("/") < 2 else folder.partition("/")
    if folder.partition("/")[0].lower() in _OWN_SCHEMAS:
        schema, slash, table = "", "", folder
    name, number = table, 1
    while f"{schema}{slash}{name}".lower() in taken:
        number += 1
        name = f"{table}_{number}"
    taken.add(f"{schema}{slash}{name}".lower())
    parts = [schema, name] if schema else [name]
    return ".".join(part if _PLAIN.fullmatch(part) and part not in reserved else _quoted(part) for part in parts)


def _file(name: str) -> str:
    return (_STATEMENTS / name).read_text("utf-8")


def _escaped(path: str) -> str:
    """A path in a pattern that shall match it as it is."""
    return re.sub(r"[*?\[]", r"[\g<0>]", path)


def _literal(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _is_date(key: str) -> bool:
    try:
        return date.fromisoformat(key).isoformat() == key
    except ValueError:
        return False
