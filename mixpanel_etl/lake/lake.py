"""The lake, from Python: its tables as Polars frames, and SQL over all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mixpanel_etl.lake.column_record import arrow_field, known_columns
from mixpanel_etl.lake.errors import ConfigurationError
from mixpanel_etl.lake.event_columns import CORE_SCHEMA, PromotedColumn, promoted_type
from mixpanel_etl.lake.events_table import EventsTable
from mixpanel_etl.lake.sql import Folder, connect, folders
from mixpanel_etl.lake.storage import Storage, storage
from mixpanel_etl.lake.table import Table

if TYPE_CHECKING:
    import duckdb
    import polars as pl


@dataclass(frozen=True)
class Lake:
    """A lake on a disk or S3. Nothing is read before you ask for it.

    Example:
        .. code-block:: python

            from mixpanel_etl import Lake

            lake = Lake("s3://bucket/lake")
            lake.tables()                                     # ['events', 'reports/signups', ...]
            lake.scan("events", first="2026-11-01").collect() # a Polars DataFrame
            lake.sql("SELECT event_name, count(*) FROM events GROUP BY 1").pl()

    Args:
        uri: path, `file://` or `s3://` URI.
        timezone: the project's IANA time zone, in which the report functions of `sql` cut their days.
        created_before_2023: whether the project's events carry project time (mixpanel-api.md#project-time).

    Raises:
        ConfigurationError: an unknown kind of URI.
    """

    uri: str
    timezone: str = "UTC"
    created_before_2023: bool = False
    _storage: Storage = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_storage", storage(self.uri))

    def tables(self) -> list[str]:
        """Folders of the tables that have files now; sorted."""
        return [table.folder for table in folders(self._storage)]

    @property
    def events(self) -> EventsTable:
        """The table `events`, with the typed columns that its files have."""
        return self.events_table("events")

    def events_table(self, name: str) -> EventsTable:
        """A table of raw events, with the typed columns that its files have.

        Args:
            name: folder of the table; exports of several projects have one each.
        """
        known = known_columns(self._storage, name)
        promoted = [
            PromotedColumn(column.property, promoted_type(field.type), column_name)
            for column_name, column in known.items()
            if column.property is not None
            and column_name not in CORE_SCHEMA.names
            and (field := arrow_field(column_name, column)) is not None
        ]
        return EventsTable(self.uri, name, promoted)

    def table(self, name: str) -> Table:
        """A table other than raw events, e.g. `reports/signups`, with the columns that its files have.

        Raises:
            ConfigurationError: the lake has no such table.
        """
        known = known_columns(self._storage, name)
        fields = [found for column, kind in known.items() if (found := arrow_field(column, kind)) is not None]
        return Table(self.uri, name, pa.schema(fields), column=self._folder(name).column)

    def scan(
        self, table: str = "events", first: date | str | None = None, last: date | str | None = None
    ) -> pl.LazyFrame:
        """The rows of a table, lazily. Tables other than raw events have their partition column.

        Args:
            table: folder of the table, one of `tables()`.
            first: first partition, a date or a string like 2026-01-31; default: the first one of the lake.
            last: last partition, included; default: the last one of the lake.

        Raises:
            ConfigurationError: the lake has no such table.
        """
        is_events = self._folder(table).file == EventsTable.file
        found = self.events_table(table) if is_events else self.table(table)
        keys = found.keys()
        low, high = str(first or keys[0]), str(last or keys[-1])
        wanted = [key for key in keys if low <= key <= high]
        return found.scan(map(date.fromisoformat, wanted)) if isinstance(found, EventsTable) else found.scan(wanted)

    def sql(self, statement: str, parameters: Sequence[Any] | None = None) -> duckdb.DuckDBPyRelation:
        """The result of a DuckDB statement over views of all tables; see `connect` for what there is.

        Args:
            statement: one SELECT; tables are `events`, `reports.signups`...
            parameters: values of `$1`, `$2`...

        Returns:
            A relation: `.pl()` makes a Polars frame of it, `.arrow()` an Arrow table, `.df()` a pandas frame.
        """
        return self._connection.sql(statement, params=parameters)

    @cached_property
    def _connection(self) -> duckdb.DuckDBPyConnection:
        return connect(self.uri, timezone=self.timezone, created_before_2023=self.created_before_2023)

    def _folder(self, name: str) -> Folder:
        found = folders(self._storage)
        for folder in found:
            if folder.folder == name:
                return folder
        raise ConfigurationError(
            f"unknown table {name!r}; the lake {self.uri} has {', '.join(folder.folder for folder in found) or 'none'}"
        )
