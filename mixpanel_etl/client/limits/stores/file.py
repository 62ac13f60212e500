"""A budget shared by the processes of one machine: an SQLite file, and locks of the operating system."""

from __future__ import annotations

import logging
import os
import random
import sqlite3
import threading
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TypeVar, cast

from filelock import FileLock, Timeout
from pyrate_limiter import Rate, RateItem, SQLiteBucket

from mixpanel_etl.client.limits.stores import Bucket, Release
from mixpanel_etl.client.limits.stores.salvage import salvage
from mixpanel_etl.formats import BUDGET_FORMAT, FormatTooNew, check_format

log = logging.getLogger("mixpanel_etl")

T = TypeVar("T")
NOTICEABLE = 3.0  # seconds after which a wait for the lock is announced
LOCK_SECONDS = 60.0  # the lock is held for a few statements: who holds it for longer was stopped


class FileBucket(SQLiteBucket):
    """pyrate's bucket in a file, with the wall clock of our choice."""

    wall_clock: Callable[[], datetime]

    def now(self) -> int:
        return int(self.wall_clock().timestamp() * 1000)


class _Repaired:
    """A bucket of a `FileStore`, whose file may be found damaged at any time."""

    def __init__(self, store: FileStore, key: str, rates: list[Rate]) -> None:
        self._store, self._key, self._rates = store, key, rates

    def now(self) -> int:
        return self._store.use(self._key, self._rates, FileBucket.now)

    def put(self, item: RateItem) -> bool:
        return self._store.use(self._key, self._rates, lambda bucket: bool(bucket.put(item)))

    def peek(self, index: int) -> RateItem | None:
        return self._store.use(self._key, self._rates, lambda bucket: bucket.peek(index))

    def count(self) -> int:
        return self._store.use(self._key, self._rates, lambda bucket: int(bucket.count()))

    def leak(self, current_timestamp: int) -> int:
        return self._store.use(self._key, self._rates, lambda bucket: bucket.leak(current_timestamp))


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
        self.use(key, rates, lambda _: None)
        return _Repaired(self, key, rates)

    def use(self, key: str, rates: list[Rate], act: Callable[[FileBucket], T]) -> T:
        """Do something with a bucket; when its file turns out to be damaged, repair it, and do it again."""
        with self._opening:
            before = _inode(self._path)
            try:
                return act(self._tidy_bucket(key, rates))
            except sqlite3.OperationalError:
                raise  # locked, full or not permitted: the file itself may be sound
            except sqlite3.DatabaseError as error:
                self._close_buckets()
                self._put_aside(before, error)
                return act(self._tidy_bucket(key, rates))

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
        self._wait_for_lock()
        bucket = FileBucket.init_from_file(rates, table=key, db_path=str(self._path), use_file_lock=True)
        assert isinstance(bucket, FileBucket)  # noqa: S101
        try:
            self._check_format(bucket)
        except FormatTooNew:
            bucket.close()  # type: ignore[no-untyped-call]
            raise
        bucket.wall_clock = self._now
        cast(FileLock, bucket.lock).timeout = LOCK_SECONDS
        self._inode = _inode(self._path)
        return bucket

    def _check_format(self, bucket: FileBucket) -> None:
        with bucket.lock:
            (found,) = bucket.conn.execute("PRAGMA user_version").fetchone()
            if not found:  # a new file, or one from before there were versions
                bucket.conn.execute(f"PRAGMA user_version = {BUDGET_FORMAT}")
                bucket.conn.commit()
        check_format(f"the budget file {self._path}", found or 1, BUDGET_FORMAT)

    def _tidy(self, bucket: FileBucket) -> None:
        with bucket.lock:
            now = bucket.now()
            bucket.leak(now)
            # Entries of the future: the clock was set back. Believed, they would block for as long as it was wrong.
            statement = f"UPDATE '{bucket.table}' SET item_timestamp = ? WHERE item_timestamp > ?"  # noqa: S608
            bucket.conn.execute(statement, (now, now))
            bucket.conn.commit()

    def _put_aside(self, inode: int | None, error: sqlite3.DatabaseError) -> None:
        """Begin a new file with what can be read of the old one.

        Where nothing can, to have forgotten an hour costs a few 429s; to stand still would cost the pull.
        """
        with FileLock(f"{self._path}.lock", timeout=LOCK_SECONDS):
            if _inode(self._path) != inode:
                return  # another process was faster
            aside = self._path.with_name(f"{self._path.name}.damaged-{time.time_ns()}")
            for suffix in ("", "-wal", "-shm"):
                part = Path(f"{self._path}{suffix}")
                if part.exists():
                    part.rename(f"{aside}{suffix}")
            new = self._path.with_name(f"{self._path.name}.new-{os.getpid()}")
            new.unlink(missing_ok=True)
            saved = salvage(aside, new, int(self._now().timestamp() * 1000))
            new.rename(self._path)
            log.warning(
                "budget file %s is damaged (%s): kept as %s, counting on from %d entries that could be read",
                self._path,
                error,
                aside.name,
                saved,
            )

    def _wait_for_lock(self) -> None:
        """Wait until the file is free, and say so: a stopped process would keep its lock permanently."""
        lock = FileLock(f"{self._path}.lock")
        for seconds in (NOTICEABLE, LOCK_SECONDS - NOTICEABLE):
            try:
                with lock.acquire(timeout=seconds):
                    return
            except Timeout:
                log.warning("waiting (at most %.0f s): budget file %s is locked", LOCK_SECONDS, self._path)
        raise TimeoutError(
            f"budget file {self._path} has been locked by another process for more than {LOCK_SECONDS:.0f} s. See "
            "whether one was stopped (state T in `ps`), and continue or end it: the lock ends with the process"
        )

    def _close_buckets(self) -> None:
        for bucket in self._buckets.values():
            bucket.close()  # type: ignore[no-untyped-call]
        self._buckets.clear()


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None
