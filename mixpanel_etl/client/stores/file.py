"""A budget shared by the processes of one machine: an SQLite file, and locks of the operating system."""

from __future__ import annotations

import logging
import random
import sqlite3
import threading
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import cast

from filelock import FileLock, Timeout
from pyrate_limiter import Rate, SQLiteBucket

from mixpanel_etl.client.stores import Bucket, Release

log = logging.getLogger("mixpanel_etl")


class FileBucket(SQLiteBucket):
    """pyrate's bucket in a file, with the wall clock of our choice."""

    wall_clock: Callable[[], datetime]

    def now(self) -> int:
        return int(self.wall_clock().timestamp() * 1000)


class FileStore:
    """Counts in `path`, with `path.lock` around every change and one lock file for each place.

    A kill in the middle of a change leaves what was before it (SQLite), and no lock (the system frees them).
    The file must be on a local disk: locks of network file systems are not to be relied on.
    """

    failures = (sqlite3.Error, OSError)

    def __init__(self, path: Path, now: Callable[[], datetime]) -> None:
        self._path = path
        self._now = now
        self._buckets: dict[str, FileBucket] = {}
        self._inode: int | None = None
        self._opening = threading.Lock()

    def bucket(self, key: str, rates: list[Rate]) -> Bucket:
        with self._opening:
            before = _inode(self._path)
            try:
                return cast(Bucket, self._tidy_bucket(key, rates))
            except sqlite3.OperationalError:
                raise  # locked, full or not permitted: the file itself may be sound
            except sqlite3.DatabaseError as error:
                self._close_buckets()
                self._put_aside(before, error)
                return cast(Bucket, self._tidy_bucket(key, rates))

    def take_place(self, key: str, places: int) -> Release | None:
        folder = self._path.with_name(self._path.name + ".places")
        folder.mkdir(parents=True, exist_ok=True)
        first = random.randrange(places)  # noqa: S311
        for index in range(places):
            lock = FileLock(folder / f"{key}.{(first + index) % places}.lock", thread_local=False)
            try:
                lock.acquire(blocking=False)
            except Timeout:
                continue
            return partial(lock.release, force=True)
        return None

    def close(self) -> None:
        with self._opening:
            self._close_buckets()

    def _tidy_bucket(self, key: str, rates: list[Rate]) -> FileBucket:
        if self._inode != _inode(self._path):
            # Someone deleted the file, or put it aside: what we have open is no longer what the others see.
            self._close_buckets()
        if key not in self._buckets:
            self._buckets[key] = self._open(key, rates)
        self._tidy(self._buckets[key])
        return self._buckets[key]

    def _open(self, key: str, rates: list[Rate]) -> FileBucket:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        bucket = FileBucket.init_from_file(rates, table=key, db_path=str(self._path), use_file_lock=True)
        assert isinstance(bucket, FileBucket)  # noqa: S101
        bucket.wall_clock = self._now
        self._inode = _inode(self._path)
        return bucket

    def _tidy(self, bucket: FileBucket) -> None:
        with bucket.lock:
            now = bucket.now()
            bucket.leak(now)
            # Entries of the future: the clock was set back. Believed, they would block for as long as it was wrong.
            statement = f"UPDATE '{bucket.table}' SET item_timestamp = ? WHERE item_timestamp > ?"  # noqa: S608
            bucket.conn.execute(statement, (now, now))
            bucket.conn.commit()

    def _put_aside(self, inode: int | None, error: sqlite3.DatabaseError) -> None:
        """Begin a new file. To have forgotten an hour costs a few 429s; to stand still would cost the pull."""
        with FileLock(f"{self._path}.lock"):
            if _inode(self._path) != inode:
                return  # another process was faster
            aside = self._path.with_name(f"{self._path.name}.damaged-{time.time_ns()}")
            log.warning("budget file %s is damaged (%s): kept as %s, counting anew", self._path, error, aside.name)
            for suffix in ("", "-wal", "-shm"):
                part = Path(f"{self._path}{suffix}")
                if part.exists():
                    part.rename(f"{aside}{suffix}")

    def _close_buckets(self) -> None:
        for bucket in self._buckets.values():
            bucket.close()  # type: ignore[no-untyped-call]
        self._buckets.clear()


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None
