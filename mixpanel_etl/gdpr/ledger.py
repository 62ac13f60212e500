"""The ledger: every request and every Mixpanel job, as one small file each in the lake.

`gdpr/ledger/open/<request>~<fingerprint>.json` until a request is over, `closed/` from then on; `jobs/<job>.json`. A
file appears whole or not at all, and together they say all there is: nothing else has to be believed after a crash.
Each is changed on the condition that it is as it was read, so that no change of another process is lost.
Open requests hold personal ids, closed ones their hashes. Restrict this folder to people who may read the lake.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import quote, unquote

import msgspec

from mixpanel_etl.gdpr.data_subject_requests import Kind
from mixpanel_etl.gdpr.hashed_ids import hashed
from mixpanel_etl.gdpr.lake_files import LEDGER
from mixpanel_etl.gdpr.ledger_entries import Entry, Job, Pause
from mixpanel_etl.gdpr.redaction import GdprError
from mixpanel_etl.lake.errors import WriteConflict
from mixpanel_etl.lake.format_version import mark_format
from mixpanel_etl.lake.leases import Lease, lease
from mixpanel_etl.lake.storage import ABSENT, Storage, storage

_FINGERPRINT = 12
_READERS = 16  # files of a bucket are far away
_T = TypeVar("_T")


class LedgerError(GdprError):
    """The request contradicts the ledger; the message says what to do."""


@dataclass(frozen=True)
class Ledger:
    """The ledger of a lake."""

    lake: str
    storage: Storage = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "storage", storage(self.lake))

    def fingerprint(self, content: str) -> str:
        """A keyed hash of the content: without the lake's salt it reveals nothing."""
        return hashed(self.lake, content)[:_FINGERPRINT]

    def known(self) -> dict[str, str]:
        """The fingerprint of every request that was ever taken in."""
        return {request_id: fingerprint for _, request_id, fingerprint in self._names()}

    def entries(self) -> list[Entry]:
        """The open requests, in the order in which they came."""
        over, names = set[str](), []
        for name, request_id, _ in self._names():  # the closed ones come first
            if name.startswith(f"{LEDGER}/closed/"):
                over.add(request_id)
            elif request_id in over:  # closed by a process that was killed before it could remove this
                self.storage.remove(name)
            else:
                names.append(name)
        found = self._read_all(names, Entry)
        for entry in found:
            if entry.is_closed:  # by a process that was killed before it could put it away
                self._put_away(entry)
        still = (entry for entry in found if not entry.is_closed)
        return sorted(still, key=lambda entry: (entry.received_at, entry.request_id))

    def closed(self) -> list[Entry]:
        """The closed requests."""
        return self._read_all((name for name, _, _ in self._names() if name.startswith(f"{LEDGER}/closed/")), Entry)

    def named(self, request_ids: Iterable[str]) -> list[Entry]:
        """The requests of some ids, open or closed; unknown ones are missing."""
        wanted, names = set(request_ids), dict[str, str]()
        for name, found, _ in self._names():
            if found in wanted:
                names.setdefault(found, name)  # closed before open: a crash can leave both
        return self._read_all(names.values(), Entry)

    def entry(self, request_id: str) -> Entry:
        """One request.

        Raises:
            LedgerError: the request is unknown.
        """
        for entry in self.named([request_id]):
            return entry
        raise LedgerError(f"request {request_id!r} is not in the ledger; `mixpanel-etl gdpr status` lists them")

    def fresh(self, entry: Entry) -> Entry:
        """A request as it is in the ledger now."""
        name = _name(entry)
        found = (self._read(f"{LEDGER}/{folder}/{name}", Entry) for folder in ("closed", "open"))
        return next(filter(None, found), entry)

    def add(self, entry: Entry) -> Entry:
        """Write a new request; one that is in the ledger already stays unchanged."""
        mark_format(self.storage)
        with suppress(WriteConflict):
            self.storage.write(f"{LEDGER}/open/{_name(entry)}", msgspec.json.encode(entry), ABSENT)
        return self.fresh(entry)

    def change(self, entry: Entry, change: Callable[[Entry], Entry]) -> Entry:
        """Read, change and write a request, again if another process writes it meanwhile; a closed one stays."""
        name = _name(entry)
        over = self._read(f"{LEDGER}/closed/{name}", Entry)

        def changed(content: bytes | None) -> bytes | None:
            nonlocal over
            if content is None:  # put away since, or written to a ledger that has not got it
                over = self._read(f"{LEDGER}/closed/{name}", Entry)
            current = entry if content is None else msgspec.json.decode(content, type=Entry)
            return None if over or current.is_closed else msgspec.json.encode(change(current))

        content = None if over else self.storage.update(f"{LEDGER}/open/{name}", changed)
        if over is not None or content is None:
            return over or entry
        current = msgspec.json.decode(content, type=Entry)
        return self._put_away(current) if current.is_closed else current

    def change_closed(self, entry: Entry, change: Callable[[Entry], Entry]) -> Entry:
        """Read, change and write a closed request."""
        return self._changed(f"{LEDGER}/closed/{_name(entry)}", entry, change)

    def _put_away(self, entry: Entry) -> Entry:
        # It is in `open` as it ends, so that a process that changes it at the same time has to read it again.
        with suppress(WriteConflict):
            self.storage.write(f"{LEDGER}/closed/{_name(entry)}", msgspec.json.encode(entry), ABSENT)
        self.storage.remove(f"{LEDGER}/open/{_name(entry)}")
        return entry

    def jobs(self) -> list[Job]:
        """Every job, oldest first."""
        names = self.storage.names(f"{LEDGER}/jobs", ".json")
        return sorted(self._read_all(names, Job), key=lambda job: (job.intended_at, job.job_id))

    def job(self, job_id: str) -> Job:
        """One job.

        Raises:
            LedgerError: the job is unknown.
        """
        job = self._read(_job_name(job_id), Job)
        if job is None:
            raise LedgerError(f"job {job_id!r} is not in the ledger; `mixpanel-etl gdpr status` lists them")
        return job

    def add_job(self, job: Job) -> Job:
        """Write a new job."""
        self.storage.write(_job_name(job.job_id), msgspec.json.encode(job), ABSENT)
        return job

    def change_job(self, job: Job, change: Callable[[Job], Job]) -> Job:
        """Read, change and write a job, again if another process writes it meanwhile."""
        return self._changed(_job_name(job.job_id), job, change)

    def drop_job(self, job: Job) -> None:
        """Forget a job that was certainly never created."""
        self.storage.remove(_job_name(job.job_id))

    def pause(self, kind: Kind) -> Pause | None:
        """Why and until when no job of a kind is created."""
        return self._read(f"{LEDGER}/pauses/{kind}.json", Pause)

    def set_pause(self, kind: Kind, pause: Pause | None) -> None:
        """Create no jobs of a kind for a while, or do so again."""
        name = f"{LEDGER}/pauses/{kind}.json"
        if pause is None:
            self.storage.remove(name)
        else:
            self.storage.write(name, msgspec.json.encode(pause))

    def locked(self, step: str = "jobs") -> AbstractContextManager[Lease]:
        """A context in which no other process, on this host or another, does the same step.

        Raises:
            LeaseHeld: another process does it for longer than the wait; the message says which.
        """
        return lease(self.storage, f"gdpr/{step}")

    def _changed(self, name: str, known: _T, change: Callable[[_T], _T]) -> _T:
        kind = type(known)

        def changed(content: bytes | None) -> bytes:
            return msgspec.json.encode(change(known if content is None else msgspec.json.decode(content, type=kind)))

        content = self.storage.update(name, changed)
        return known if content is None else msgspec.json.decode(content, type=kind)

    def _names(self) -> Iterator[tuple[str, str, str]]:
        for folder in ("closed", "open"):
            for name in self.storage.names(f"{LEDGER}/{folder}", ".json"):
                request, _, fingerprint = name.rpartition("/")[2].removesuffix(".json").rpartition("~")
                yield name, unquote(request), fingerprint

    def _read_all(self, names: Iterable[str], kind: type[_T]) -> list[_T]:
        with ThreadPoolExecutor(_READERS, thread_name_prefix="ledger") as pool:
            return [found for found in pool.map(lambda name: self._read(name, kind), names) if found is not None]

    def _read(self, name: str, kind: type[_T]) -> _T | None:
        try:
            return msgspec.json.decode(self.storage.read(name)[0], type=kind)
        except FileNotFoundError:
            return None


def _name(entry: Entry) -> str:
    return f"{quote(entry.request_id, safe='')}~{entry.fingerprint}.json"


def _job_name(job_id: str) -> str:
    return f"{LEDGER}/jobs/{quote(job_id, safe='')}.json"
