"""A warehouse behind a URL: queries in, Arrow batches out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import pyarrow as pa

from mixpanel_etl.settings import Hidden
from mixpanel_etl.warehouse.arrow_types import Plain, check_declared
from mixpanel_etl.warehouse.driver_errors import Scrubber, WarehouseError, without_values
from mixpanel_etl.warehouse.drivers import driver_of
from mixpanel_etl.warehouse.sql_parameters import Bound, bind, one_statement

Parameters = Mapping[str, Any]

_NO_DATABASE = ("duckdb:", "duckdb:///:memory:")
_FIRST_FETCH = 1_000  # rows; what follows is measured by them
_FETCH_BYTES = 8 << 20
_MAX_FETCHED = 65_536

T = TypeVar("T")


class Warehouse:
    """A warehouse. Each call opens a session of its own, in UTC, so that it may be shared between threads.

    Args:
        url: `duckdb:///file.duckdb` (opened for reading; options of DuckDB may follow, `?memory_limit=1GB`), `duckdb://`
            (no database: for `read_parquet`), `postgresql://user:password@host/database`,
            `snowflake://user:password@account/database/schema` or `bigquery://project/dataset`.

    Raises:
        WarehouseError: no warehouse is of this kind.
    """

    def __init__(self, url: str) -> None:
        self._url = url = Hidden(url)
        self._driver = driver_of(url)
        self._scrub = Scrubber(url)

    @property
    def dialect(self) -> str:
        """Its SQL, as sqlglot calls it: `duckdb`, `postgres`, `snowflake`, `bigquery`."""
        return self._driver.dialect

    def __repr__(self) -> str:
        return f"Warehouse({self.dialect})"

    @contextmanager
    def query(self, sql: str, parameters: Parameters | None = None) -> Iterator[pa.RecordBatchReader]:
        """Run a query, and stream its result in bounded memory.

        Args:
            sql: one statement, in the warehouse's own SQL. Parameters are written `$name`.
            parameters: their values. Timestamps must be aware.

        Yields:
            The batches, of any number of rows, with plain types: UUIDs are strings, JSON has Arrow's JSON type,
            PostgreSQL's `numeric(p, s)` is a decimal, and without a precision a `NumberType`.

        Raises:
            WarehouseError: it can't be reached or rejects the query; also while the batches are read.
        """
        bound = self._bound(sql, parameters)
        with self._session() as connection:
            batches = (self._through_a_cursor if self._driver.cursors else _directly)(connection, bound)
            if self._driver.dialect == "duckdb":
                for name, declared in self._told(_declared, connection, bound, sql=sql):
                    check_declared(name, declared)
            schema = self._told(next, batches, sql=sql)
            plain = self._told(Plain, schema)
            yield pa.RecordBatchReader.from_batches(plain.schema, self._watched(plain(batches), sql))

    def schema(self, sql: str, parameters: Parameters | None = None) -> pa.Schema:
        """The columns that a query has, without running all of it.

        Raises:
            WarehouseError: as `query` would.
        """
        with self.query(f"SELECT * FROM {self._source(sql)} LIMIT 0", parameters) as batches:  # noqa: S608
            return batches.schema

    def count(self, sql: str, parameters: Parameters | None = None) -> int:
        """How many rows a query has.

        Raises:
            WarehouseError: as `query` would.
        """
        with self.query(f"SELECT count(*) FROM {self._source(sql)}", parameters) as batches:  # noqa: S608
            return int(batches.read_all().column(0)[0].as_py())

    def _source(self, sql: str) -> str:
        return f"(\n{one_statement(sql, self.dialect)}\n) AS q"

    def _bound(self, sql: str, parameters: Parameters | None) -> Bound:
        return bind(sql, parameters or {}, self.dialect, numbered=self._driver.numbered)

    @contextmanager
    def _session(self) -> Iterator[Any]:
        connection = self._told(self._driver.connect, self._url)
        try:
            for statement in self._driver.session:
                self._told(_execute, connection, Bound(statement, ()))
            yield connection
        finally:
            connection.close()

    def _through_a_cursor(self, connection: Any, bound: Bound) -> Iterator[Any]:
        """The schema, then the batches. With parameters, the driver would read all rows before it hands out any."""
        _execute(connection, Bound(f"DECLARE mixpanel_etl NO SCROLL CURSOR FOR\n{bound.sql}", bound.values))
        # The driver's own protocol for bulk data knows no FETCH.
        with connection.cursor(adbc_stmt_kwargs={"adbc.postgresql.use_copy": "false"}) as cursor:
            rows, first = _FIRST_FETCH, True
            while True:
                cursor.execute(f"FETCH {rows} FROM mixpanel_etl")
                with cursor.fetch_record_batch() as reader:
                    if first:
                        yield reader.schema
                    got = nbytes = 0
                    for batch in reader:
                        got, nbytes = got + batch.num_rows, nbytes + batch.nbytes
                        yield batch
                if got < rows:
                    return
                rows, first = min(_MAX_FETCHED, max(1, _FETCH_BYTES * got // max(1, nbytes))), False

    def _watched(self, batches: Iterator[pa.RecordBatch], sql: str) -> Iterator[pa.RecordBatch]:
        while True:
            batch = self._told(next, batches, None, sql=sql)
            if batch is None:
                return
            yield batch

    def _told(self, call: Callable[..., T], *arguments: Any, sql: str = "") -> T:
        """What the driver says, without passwords and values, and without the original, which carries them along."""
        from adbc_driver_manager import dbapi

        try:
            return call(*arguments)
        except (dbapi.Error, dbapi.Warning, pa.ArrowException, OSError, ValueError, TypeError) as error:
            said = self._scrub(without_values(error, sql))
        if self._url.rstrip("/") in _NO_DATABASE:
            said += (
                " (this is DuckDB without a database, for Parquet files: MIXPANEL_WAREHOUSE_URL says where tables are)"
            )
        raise WarehouseError(f"{self.dialect}: {said}")


def _directly(connection: Any, bound: Bound) -> Iterator[Any]:
    """The schema, then the batches."""
    with connection.cursor() as cursor:
        cursor.execute(bound.sql, bound.values or None)
        with cursor.fetch_record_batch() as reader:
            yield reader.schema
            yield from reader


def _declared(connection: Any, bound: Bound) -> list[tuple[str, str]]:
    """Name and type of each column, as DuckDB calls them."""
    with connection.cursor() as cursor:
        cursor.execute(f"DESCRIBE {bound.sql}", bound.values or None)
        return [(name, declared) for name, declared, *_ in cursor.fetchall()]


def _execute(connection: Any, bound: Bound) -> None:
    with connection.cursor() as cursor:
        cursor.execute(bound.sql, bound.values or None)
