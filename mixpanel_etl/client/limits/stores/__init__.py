"""Where processes that share a budget keep count: a file, PostgreSQL or Redis.

A store offers buckets of pyrate-limiter (the requests of the last hour) and places (the requests under way).
A bucket's `put` is atomic among all processes; a place is free again when the process that held it is dead.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit
from urllib.request import url2pathname

from pyrate_limiter import Rate, RateItem

Release = Callable[[], None]


class Bucket(Protocol):
    """What we use of pyrate's buckets, whose own types allow for asynchronous ones."""

    def now(self) -> int:
        """Milliseconds of the clock that all processes see."""

    def put(self, item: RateItem) -> bool:
        """Count an item, if its weight fits under every rate."""

    def peek(self, index: int) -> RateItem | None:
        """The item at `index`, the newest being 0."""

    def count(self) -> int:
        """All items."""

    def leak(self, current_timestamp: int) -> int:
        """Forget items older than every window."""


class Store(Protocol):
    """State that several processes share."""

    @property
    def failures(self) -> tuple[type[Exception], ...]:
        """What its library raises when the state can't be reached."""

    def bucket(self, key: str, rates: list[Rate]) -> Bucket:
        """The bucket of that name, rid of what is older than every window. Safe to use from several threads."""

    def take_place(self, key: str, places: int) -> Release | None:
        """One of the places of that name, or None when all are taken."""

    def close(self) -> None:
        """Give back everything."""


def open_store(location: str, now: Callable[[], datetime]) -> Store:
    """The store at a path or URL. Nothing is imported, or connected to, that the location does not ask for.

    Args:
        location: a file path, `file:`, `postgresql:` or `redis:` URL.
        now: the wall clock for a file; the servers have clocks of their own, which all processes see.
    """
    scheme = urlsplit(location).scheme
    if scheme in ("postgresql", "postgres"):
        from mixpanel_etl.client.limits.stores.postgres import PostgresStore

        return PostgresStore(location)
    if scheme in ("redis", "rediss"):
        from mixpanel_etl.client.limits.stores.redis import RedisStore

        return RedisStore(location)
    from mixpanel_etl.client.limits.stores.file import FileStore

    path = url2pathname(urlsplit(location).path) if scheme == "file" else location
    return FileStore(Path(path).expanduser(), now)
