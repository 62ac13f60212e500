"""The lake, from Python: its tables as Polars frames, and SQL over all of them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import date, datetime
from functools import cached_property
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mixpanel_etl.lake.column_record import arrow_field, known_columns
from mixpanel_etl.lake.errors import ConfigurationError
from mixpanel_etl.lake.event_columns import CORE_SCHEMA, PromotedColumn, promoted_type
from mixpanel_etl.lake.events_table import EventsTable
from mixpanel_etl.lake.sql import Folder, connect, folders
from mixpanel_etl.lake.storage import storage
from mixpanel_etl.lake.table import Table

if TYPE_CHECKING:
    import duckdb
    import polars as pl


class Lake:
    """A lake on a disk or S3: its tables as Polars frames, and SQL over all of them. See docs/lake.md.

    Nothing is read before you ask for it.

    Args:
        uri: path, `file://` or `s3://` URI. S3 takes credentials, region and endpoint from the environment.
        timezone: the project's IANA time zone, in which the report functions of `sql` cut their days.
        created_before_2023: whether the project stores project time (mixpanel-api.md#project-time).

    Raises:
        ConfigurationError: the URI is not one of these, or has credentials in it.

    Example:
        .. code-block:: python

            from mixpanel_etl import Lake

            lake = Lake("s3://bucket/lake")
            lake.tables()  # ['events', 'reports/signups', ...]
            lake.scan("events", first="2026-11-01").collect()  # a Polars DataFrame
            lake.sql("SELECT event_name, count(*) FROM events GROUP BY 1").pl()
    """

    def __init__(self, uri: str | PathLike[str], *, timezone: str = "UTC", created_before_2023: bool = False) -> None:
        self.uri = fspath(uri)
        self.timezone = timezone
        self.created_before_2023 = created_before_2023
        self._storage = storage(self.uri)

    def __repr__(self) -> str:
        return f"Lake({self.uri!r})"

    def tables(self) -> list[str]:
        """Folders of the tables that have files now; sorted."""
        return [table.folder for table in folders(self._storage)]

    @property
    def events(self) -> EventsTable:
        """The table `events`, with the typed columns that its files have."""
        return self._events_table("events")

    def table(self, name: str) -> EventsTable | Table:
        """A table with the columns that its files have.

        Args:
            name: folder of the table, one of `tables()`, e.g. `reports/signups`.

        Returns:
            An `EventsTable` for a table that an export wrote, a `Table` for all others.

        Raises:
            ConfigurationError: the lake has no such table.
        """
        return self._opened(self._folder(name))

    def scan(
        self, table: str = "events", first: date | str | None = None, last: date | str | None = None
    ) -> pl.LazyFrame:
        """The rows of a table, lazily: Polars reads the files that it needs when you collect.

        Tables other than raw events have their partition column as a string. What is not published is left out.

        Args:
            table: folder of the table, one of `tables()`.
            first: first partition, a date or a string like `2026-01-31`; default: the first one of the lake.
            last: last partition, included; default: the last one of the lake.

        Raises:
            ConfigurationError: the lake has no such table, or its partitions are dates and a bound is not one.
        """
        folder = self._folder(table)
        low, high = _bound("first", first, folder), _bound("last", last, folder)
        found = self._opened(folder)
        keys = [key for key in found.keys() if (low or key) <= key <= (high or key)]  # noqa: SIM118 - no mapping
        return found.scan(map(date.fromisoformat, keys)) if isinstance(found, EventsTable) else found.scan(keys)

    def sql(self, statement: str, parameters: Sequence[Any] | None = None) -> duckdb.DuckDBPyRelation:
        """The result of a DuckDB query over views of all tables; docs/sql.md lists what there is.

        Tables that get their first file after the first query are seen by a new `Lake`.

        Args:
            statement: one query in DuckDB's SQL; tables are `events`, `reports.signups`...
            parameters: values of `$1`, `$2`...

        Returns:
            A relation: `.pl()` makes a Polars frame of it, `.to_arrow_table()` an Arrow table, `.df()` a pandas frame.
        """
        return self._connection.sql(statement, params=parameters)

    @cached_property
    def _connection(self) -> duckdb.DuckDBPyConnection:
        return connect(self.uri, timezone=self.timezone, created_before_2023=self.created_before_2023)

    def _opened(self, folder: Folder) -> EventsTable | Table:
        if folder.file == EventsTable.file:
            return self._events_table(folder.folder)
        known = known_columns(self._storage, folder.folder)
        fields = [field for name, column in known.items() if (field := arrow_field(name, column)) is not None]
        return Table(self.uri, folder.folder, pa.schema(fields), column=folder.column)

    def _events_table(self, name: str) -> EventsTable:
        promoted = [
            PromotedColumn(column.property, promoted_type(field.type), column_name)
            for column_name, column in known_columns(self._storage, name).items()
            if column.property is not None
            and column_name not in CORE_SCHEMA.names
            and (field := arrow_field(column_name, column)) is not None
        ]
        return EventsTable(self.uri, name, promoted)

    def _folder(self, name: str) -> Folder:
        found = folders(self._storage)
        for folder in found:
            if folder.folder == name:
                return folder
        available = ", ".join(folder.folder for folder in found) or "none"
        raise ConfigurationError(f"unknown table {name!r} of the lake {self.uri}; available: {available}")


def _bound(name: str, value: date | str | None, folder: Folder) -> str | None:
    """A bound of a table's partitions as their keys are written."""
    if value is None or (isinstance(value, str) and folder.type != "DATE"):
        return value
    # A datetime is a date to isinstance, and no key has its time of day.
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    with suppress(TypeError, ValueError):
        return date.fromisoformat(value).isoformat()  # type: ignore[arg-type]
    raise ConfigurationError(f"{name} is {value!r}; must be a date, or a string like '2026-01-31'")
