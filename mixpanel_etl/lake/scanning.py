"""Files of one table whose columns differ, read by Polars as a whole and without a loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from mixpanel_etl.lake.column_record import Columns, arrow_field, columns_of_schema, known_columns
from mixpanel_etl.lake.event_columns import is_json
from mixpanel_etl.lake.storage_protocol import Storage

if TYPE_CHECKING:
    import polars as pl


class Scan:
    """The columns of a table as all its files together have them, and its files with these columns.

    Args:
        store: of the lake.
        table: its folder.
        schema: columns that are wanted; one that holds other types in some files becomes wide enough for all of them.
        others: whether the columns that only files have are wanted, too.
    """

    def __init__(self, store: Storage, table: str, schema: pa.Schema, *, others: bool) -> None:
        self._store = store
        known = known_columns(store, table)
        self._widened = _widened(schema, known)
        fields = [self._widened.get(field.name, field) for field in schema]
        if others:
            more = (arrow_field(name, kind) for name, kind in known.items() if name not in schema.names)
            fields += [field for field in more if field is not None]
            # Files may have these columns in another type than the whole table.
            self._widened |= {field.name: field for field in fields[len(schema) :]}
        self.schema = pa.schema(fields)

    def files(self, names: Sequence[str]) -> pl.LazyFrame:
        """The rows of files, lazily."""
        import polars as pl

        if not self._widened:
            return pl.scan_pyarrow_dataset(self._store.dataset(list(names), self.schema))
        return pl.concat([self._file(name) for name in names]) if names else self.empty()

    def empty(self) -> pl.LazyFrame:
        """A frame with the columns and without rows."""
        import polars as pl

        return pl.DataFrame(self.schema.empty_table()).lazy()

    def _file(self, name: str) -> pl.LazyFrame:
        """A file in its own types, made wider by Polars: so that conditions are compared with what is asked for."""
        import polars as pl

        own = {field.name: field for field in self._store.read_with(name, pq.read_schema)}
        fields = [_plain(own.get(field.name, field)) if field.name in self._widened else field for field in self.schema]
        frame = pl.scan_pyarrow_dataset(self._store.dataset([name], pa.schema(fields)))
        types = pl.DataFrame(self.schema.empty_table()).schema
        return frame.with_columns(pl.col(column).cast(types[column]) for column in self._widened)


def _widened(schema: pa.Schema, known: Columns) -> dict[str, pa.Field]:
    wanted = columns_of_schema(pa.schema([field for field in schema if field.name in known]))
    whole = {name: kind.widened(known[name]) for name, kind in wanted.items()}
    found = {name: arrow_field(name, kind) for name, kind in whole.items() if kind.type != wanted[name].type}
    return {name: field for name, field in found.items() if field is not None}


def _plain(field: pa.Field) -> pa.Field:
    """Without Parquet's JSON type, which files of older versions have and Polars does not convert."""
    return pa.field(field.name, pa.string()) if is_json(field) else field
