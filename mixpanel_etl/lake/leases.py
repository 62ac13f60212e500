"""Work that one process does at a time: a push, a lookup table, a step of the ledger.

On a disk a lease is a lock of the operating system, which ends with its process. In a bucket it is an object that its
holder writes again every few seconds; another process takes it over when that has stopped for longer than the lease
lasts, as measured by its own clock, so that the clocks of two hosts need not agree.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from logging import getLogger
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from mixpanel_etl.lake.disk import Disk, try_lock
from mixpanel_etl.lake.errors import LeaseHeld, LeaseLost, WriteConflict
from mixpanel_etl.lake.retry_pauses import tries
from mixpanel_etl.lake.storage_protocol import ABSENT, Storage

log = getLogger("mixpanel_etl")

FOLDER = "_leases"  # engines skip folders that begin with an underscore
#: Seconds for which the second comer waits.
WAIT_SECONDS = 600.0
#: Seconds that a lease in a bucket lasts unless it is renewed, and between two renewals.
LEASE_SECONDS, RENEWAL_SECONDS = 60.0, 10.0
#: Seconds that must be left of a lease for its holder to act.
_MARGIN_SECONDS = 20.0


@dataclass(frozen=True)
class Holder:
    """Who holds a lease."""

    run: str = ""
    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)
    since: str = field(default_factory=lambda: f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC")

    def __str__(self) -> str:
        run = f", run {self.run}" if self.run else ""
        return f"process {self.pid} on {self.host}{run}, since {self.since}"


class Lease(Protocol):
    """A lease that is held."""

    def check(self) -> None:
        """Call it before each act that another process must not do at the same time.

        Raises:
            LeaseLost: it is no longer certain that this process is the only one.
        """


@contextmanager
def lease(store: Storage, name: str, *, run: str = "", wait: float | None = None) -> Iterator[Lease]:
    """Do some work while no other process does, on this host or another.

    Args:
        store: the lake, which all processes share.
        name: what is exclusive, for example `push/buyers`; no secret and nothing personal.
        run: id of the run that holds it, for others to see.
        wait: seconds to wait for another process to finish, `WAIT_SECONDS` by default; the wait is announced in the
            log.

    Raises:
        LeaseHeld: another process still holds it after that time; the message says which.
        LeaseLost: on leaving, or from `check`, when the lease could not be renewed in time.
    """
    seconds = WAIT_SECONDS if wait is None else wait
    path = f"{FOLDER}/{quote(name, safe='=.')}.json"
    exclusively = _locked if isinstance(store, Disk) else _kept
    with exclusively(store, path, name, Holder(run), seconds) as held:
        yield held
        held.check()


class _Locked:
    """A lease on a disk, which can't be lost."""

    def check(self) -> None:
        pass


@contextmanager
def _locked(store: Storage, path: str, name: str, holder: Holder, seconds: float) -> Iterator[Lease]:
    place = Path(store.uri(path))
    place.parent.mkdir(parents=True, exist_ok=True)
    descriptor = None
    for _ in tries(seconds, lambda: _holder_text(name, _read(place))):
        descriptor = _lock(place)
        if descriptor is not None:
            break
    if descriptor is None:
        raise LeaseHeld(_holder_text(name, _read(place)) + _ADVICE)
    try:
        os.pwrite(descriptor, json.dumps(asdict(holder)).encode(), 0)
        yield _Locked()
    finally:
        place.unlink(missing_ok=True)  # while it is locked: a process that waits for it sees that it is another file
        os.close(descriptor)


def _lock(place: Path) -> int | None:
    """The lease's file, opened and locked; None if another process has it."""
    descriptor = os.open(place, os.O_RDWR | os.O_CREAT, 0o666)
    if try_lock(descriptor):
        try:
            if os.fstat(descriptor).st_ino == place.stat().st_ino:
                os.truncate(descriptor, 0)
                return descriptor
        except FileNotFoundError:
            pass  # its last holder removed it between our opening and locking
    os.close(descriptor)
    return None


@contextmanager
def _kept(store: Storage, path: str, name: str, holder: Holder, seconds: float) -> Iterator[Lease]:
    held = _Kept(store, path, name, holder)
    for _ in tries(seconds, lambda: _holder_text(name, held.others)):
        if held.take():
            break
    else:
        raise LeaseHeld(_holder_text(name, held.others) + _ADVICE)
    with held.renewed():
        yield held


class _Kept:
    """A lease in a bucket: an object, written on the condition that it is as it was seen last."""

    def __init__(self, store: Storage, path: str, name: str, holder: Holder) -> None:
        self._store, self._path, self._name, self._holder = store, path, name, holder
        self._version = ""
        self._seen_at = 0.0
        self._renewals = 0
        self._valid_until = 0.0
        self._problem = ""
        self._ended = threading.Event()
        self.others: dict[str, Any] = {}

    def take(self) -> bool:
        """Take it if it is free, or was not renewed for as long as it lasts while this process looked."""
        try:
            content, version = self._store.read(self._path)
            self.others = _holder(content)
        except FileNotFoundError:
            version, self.others = ABSENT, {}
        if version != self._version:
            self._version, self._seen_at = version, time.monotonic()
        if self.others and time.monotonic() - self._seen_at < float(self.others.get("seconds", LEASE_SECONDS)):
            return False
        if self.others:
            log.warning(
                "%s; it has stopped to renew its lease, which is taken over", _holder_text(self._name, self.others)
            )
        try:
            self._write()
        except WriteConflict:
            return False
        return True

    def check(self) -> None:
        if not self._problem and time.monotonic() > self._valid_until - _MARGIN_SECONDS:
            self._problem = f"it could not be renewed for {LEASE_SECONDS - _MARGIN_SECONDS:.0f} s"
        if self._problem:
            raise LeaseLost(
                f"the lease of {self._name} was lost: {self._problem}. Another process may have gone on with it, so "
                "this one stops. See how far it got, and run it again"
            )

    @contextmanager
    def renewed(self) -> Iterator[None]:
        """Renew it in the background, and give it back in the end."""
        thread = threading.Thread(target=self._renew, name=f"lease of {self._name}", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()
            self._give_back()

    def _renew(self) -> None:
        while not self._ended.wait(RENEWAL_SECONDS):
            try:
                self._write()
            except WriteConflict:
                self._problem = "another process took it over"
                return
            except OSError as error:
                log.warning("could not renew the lease of %s: %s", self._name, error)

    def _write(self) -> None:
        """Write our name on it. What others wait for is counted from when this began, not from its answer."""
        begun = time.monotonic()
        self._renewals += 1
        content_of = {**asdict(self._holder), "seconds": LEASE_SECONDS, "renewals": self._renewals}
        content = json.dumps({**content_of, "token": f"{id(self):x}-{time.time_ns():x}"}).encode()
        self._version = self._store.write(self._path, content, self._version)
        self._valid_until = begun + LEASE_SECONDS

    def _give_back(self) -> None:
        # Overwritten, not removed: not every bucket takes a condition for a removal.
        try:
            self._store.write(self._path, b"{}", self._version)
        except (WriteConflict, OSError) as error:
            log.warning("the lease of %s was not given back, and ends by itself: %s", self._name, error)


_ADVICE = ". Wait for its end, or stop it: the lease ends with the process, in a bucket a minute later"


def _holder_text(name: str, holder: dict[str, Any]) -> str:
    try:
        return f"{name} is held by {Holder(**{key: holder[key] for key in ('run', 'host', 'pid', 'since')})}"
    except KeyError:
        return f"{name} is held by another process"


def _read(place: Path) -> dict[str, Any]:
    try:
        return _holder(place.read_bytes())
    except FileNotFoundError:
        return {}


def _holder(content: bytes) -> dict[str, Any]:
    """Who a lease's file says holds it; nothing in one that is free, or being written now."""
    try:
        found = json.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
