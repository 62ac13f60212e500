"""A budget shared by several machines through PostgreSQL, with the server's clock."""

from __future__ import annotations

import hashlib
import logging
import threading
from functools import partial
from typing import Any, cast

import psycopg
from psycopg_pool import ConnectionPool, PoolTimeout
from pyrate_limiter import Rate
from pyrate_limiter.buckets.postgres import PostgresBucket

from mixpanel_etl.client.limits.stores import Bucket, Release
from mixpanel_etl.formats import BUDGET_FORMAT, check_format
from mixpanel_etl.settings import Hidden

log = logging.getLogger("mixpanel_etl")

CONNECT_SECONDS = 15
SESSION: dict[str, Any] = {"connect_timeout": CONNECT_SECONDS, "keepalives_idle": 30}


class PostgresStore:
    """Counts in tables `ratelimit___*` (created on first use), holds places as session-level advisory locks.

    The table `mixpanel_etl_budget` has the format of these tables.

    The server frees the locks of a session that ends, however it ends. A connection pooler in transaction mode
    breaks that: point the URL at the server itself.
    """

    failures = (psycopg.Error, PoolTimeout)

    def __init__(self, url: str) -> None:
        self._url = Hidden(url)
        self._pool: ConnectionPool[Any] = ConnectionPool(
            str(url), min_size=0, max_size=4, timeout=CONNECT_SECONDS, kwargs=SESSION, configure=_use_utc, open=False
        )
        self._buckets: dict[str, Bucket] = {}
        self._places: psycopg.Connection[Any] | None = None
        self._taken: set[int] = set()
        self._lock = threading.Lock()

    def bucket(self, key: str, rates: list[Rate]) -> Bucket:
        with self._lock:
            if not self._buckets:
                self._pool.open()
                self._check_format()
            if key not in self._buckets:
                self._buckets[key] = cast(Bucket, PostgresBucket(self._pool, key, rates))
        bucket = self._buckets[key]
        bucket.leak(bucket.now())
        return bucket

    def take_place(self, key: str, places: int) -> Release | None:
        with self._lock:
            for index in range(places):
                lock_id = _lock_id(f"{key}.{index}")
                # The same session gets the same lock twice: what this process holds, it must remember itself.
                if lock_id not in self._taken and self._execute("SELECT pg_try_advisory_lock(%s)", lock_id):
                    self._taken.add(lock_id)
                    return partial(self._give_back, lock_id)
        return None

    def close(self) -> None:
        self._pool.close()
        with self._lock:
            if self._places is not None:
                self._places.close()
                self._places = None

    def _check_format(self) -> None:
        with self._pool.connection() as connection:
            # Two sessions that create a table at once fail.
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_lock_id("format"),))
            connection.execute("CREATE TABLE IF NOT EXISTS mixpanel_etl_budget (format integer NOT NULL)")
            row = connection.execute("SELECT max(format) FROM mixpanel_etl_budget").fetchone()
            found = row[0] if row else None
            if found is None:
                connection.execute("INSERT INTO mixpanel_etl_budget VALUES (%s)", (BUDGET_FORMAT,))
        check_format("the budget in PostgreSQL", found or 1, BUDGET_FORMAT)

    def _give_back(self, lock_id: int) -> None:
        with self._lock:
            self._taken.discard(lock_id)
            if self._places is None:
                return
            try:
                self._execute("SELECT pg_advisory_unlock(%s)", lock_id)
            except psycopg.Error as error:
                log.warning("a place among concurrent requests was lost while in use (%s)", type(error).__name__)

    def _execute(self, statement: str, lock_id: int) -> bool:
        """Run in the session that holds the locks. When that broke, its locks are gone, and a new one begins."""
        if self._places is None or self._places.closed:
            self._places = psycopg.connect(str(self._url), autocommit=True, **SESSION)
        try:
            row = self._places.execute(statement, (lock_id,)).fetchone()
        except psycopg.OperationalError:
            self._places.close()
            raise
        return bool(row and row[0])


def _use_utc(connection: psycopg.Connection[Any]) -> None:
    """Pyrate stores times without a zone, in that of the session: all sessions must have the same."""
    connection.execute("SET timezone TO 'UTC'")
    connection.commit()


def _lock_id(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"mixpanel_etl:{name}".encode(), digest_size=8).digest(), signed=True)
