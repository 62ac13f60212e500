"""From a URL to an ADBC connection. Every kind of warehouse is one `Driver`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from mixpanel_etl.scratch import spill_of
from mixpanel_etl.warehouse.driver_errors import WarehouseError


@dataclass(frozen=True)
class Driver:
    """How one kind of warehouse is talked to.

    Attributes:
        dialect: its SQL, as sqlglot calls it.
        connect: opens an ADBC connection for a URL.
        numbered: its placeholders are `$1`; else `?`.
        session: statements that every session begins with.
        cursors: results are fetched through a cursor of the server, because the driver would hold them as a whole.
    """

    dialect: str
    connect: Callable[[str], Any]
    numbered: bool = False
    session: tuple[str, ...] = ()
    cursors: bool = False


def driver_of(url: str) -> Driver:
    """The driver for a URL.

    Raises:
        WarehouseError: no warehouse is of this kind.
    """
    scheme = url.partition(":")[0].lower()
    if "://" not in url or scheme not in _DRIVERS:
        # The URL is not repeated: it may hold a password.
        raise WarehouseError(
            "the warehouse's URL is of no known kind; write duckdb:///file.duckdb, duckdb:// (for Parquet files), "
            "postgresql://user:password@host/database, snowflake://user:password@account/database/schema or "
            "bigquery://project/dataset"
        )
    return _DRIVERS[scheme]


def _duckdb(url: str) -> Any:
    from adbc_driver_duckdb import driver_path
    from adbc_driver_manager import dbapi

    parts = urlsplit(url)
    # As SQLAlchemy counts slashes: three and a relative path, four for an absolute one.
    path = unquote(parts.path[1:]) or ":memory:"
    options = {"path": path, **dict(parse_qsl(parts.query))}
    if path != ":memory:":
        options.setdefault("access_mode", "READ_ONLY")

    def connect(temp_directory: str) -> Any:
        # Where what does not fit into memory is written: never beside the database, or in the working directory.
        settings = {"temp_directory": temp_directory, **options}
        return dbapi.connect(driver=driver_path(), entrypoint="duckdb_adbc_init", db_kwargs=settings, autocommit=True)

    return spill_of(connect)


def _postgresql(url: str) -> Any:
    return _extra("adbc_driver_postgresql", "postgres").connect(str(url))


def _snowflake(url: str) -> Any:
    return _extra("adbc_driver_snowflake", "snowflake").connect(url.partition("://")[2], autocommit=True)


def _bigquery(url: str) -> Any:
    """`bigquery://project/dataset`, with Google's application default credentials."""
    parts = urlsplit(url)
    options = {"adbc.bigquery.sql.project_id": parts.netloc}
    if dataset := parts.path.strip("/"):
        options["adbc.bigquery.sql.dataset_id"] = dataset
    return _extra("adbc_driver_bigquery", "bigquery").connect(options, autocommit=True)


def _extra(module: str, extra: str) -> Any:
    try:
        return import_module(f"{module}.dbapi")
    except ImportError:
        raise WarehouseError(f"this warehouse needs a driver: pip install 'mixpanel_etl[{extra}]'") from None


_UTC = "SET TIME ZONE 'UTC'"
_POSTGRESQL = Driver(
    "postgres",
    _postgresql,
    numbered=True,
    # The planner takes a cursor for one that wants its first rows soon.
    session=(_UTC, "SET cursor_tuple_fraction = 1.0"),
    cursors=True,
)
_DRIVERS = {
    "duckdb": Driver("duckdb", _duckdb, numbered=True, session=(_UTC,)),
    "postgresql": _POSTGRESQL,
    "postgres": _POSTGRESQL,
    "snowflake": Driver("snowflake", _snowflake, session=("ALTER SESSION SET TIMEZONE = 'UTC'",)),
    "bigquery": Driver("bigquery", _bigquery),
}
