"""The ledger: what is known of every request and every Mixpanel job, as one small file each in the lake.

`gdpr/ledger/open/<request>~<fingerprint>.json` until a request is over, `closed/` from then on; `jobs/<job>.json`. A
file appears whole or not at all, and together they say all there is: nothing else has to be believed after a crash.
Each is changed on the condition that it is as it was read, so that no change of another process is lost.
Open requests hold personal ids, closed ones their hashes. Let nobody read this folder who may not see the lake.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import quote, unquote

import msgspec

from mixpanel_etl.gdpr.data_subject_requests import Kind, Request
from mixpanel_etl.gdpr.evidence import Evidence
from mixpanel_etl.gdpr.hashed_ids import hashed
from mixpanel_etl.gdpr.lake_files import LEDGER
from mixpanel_etl.gdpr.redaction import GdprError
from mixpanel_etl.lake.errors import WriteConflict
from mixpanel_etl.lake.format_version import mark_format
from mixpanel_etl.lake.leases import Lease, lease
from mixpanel_etl.lake.storage import ABSENT, Storage, storage
from mixpanel_etl.lake.suppression import hasher

#: A process that has asked for a job has its answer, or has failed, after this time.
LONGEST_CREATION = timedelta(minutes=10)
_FINGERPRINT = 12
_READERS = 16  # files of a bucket are far away
_T = TypeVar("_T")


class LedgerError(GdprError):
    """What was asked for contradicts the ledger; the message says what to do."""


class Source(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was asked about ids or lookups.

    Attributes:
        name: `profile snapshot`, `Mixpanel profiles` or `Mixpanel activity`.
        as_of: how old its answer is (aware); for Mixpanel the time of the question.
        asked: number of ids or lookups.
        found: number of these that it knows.
        limits: what the source leaves out, such as the filter of a snapshot.
        problem: why it could not be asked.
    """

    name: str
    as_of: datetime | None = None
    asked: int = 0
    found: int = 0
    limits: str = ""
    problem: str = ""


class Repetition(msgspec.Struct, frozen=True, kw_only=True):
    """A later expansion of the same request: before its job is created (`jobs`), and before the lake is erased."""

    before: str
    at: datetime
    new_ids: int
    new_claims: int


class Expansion(msgspec.Struct, frozen=True, kw_only=True):
    """How many ids belong to the people of a request, and where they were seen; no id itself.

    Attributes:
        asked: number of distinct ids that the request names.
        found_by_lookup: number of distinct ids of the profiles that its lookups found.
        total: number of all ids of these people.
        seen_in: rows of the lake that name one, by table and column.
        shared: number of ids that lead to other people as well.
        claimed: number of ids that are merely claimed to belong to these people.
        accepted: number of these that somebody has confirmed.
        never_seen: number of named ids that neither the lake nor Mixpanel has ever seen.
        unread: number of files of the lake that could not be read.
        sources: what was asked beside the rows of the lake.
        repeated: later expansions.
    """

    asked: int
    found_by_lookup: int
    total: int
    seen_in: dict[str, int] = {}
    shared: int = 0
    claimed: int = 0
    accepted: int = 0
    never_seen: int = 0
    unread: int = 0
    sources: tuple[Source, ...] = ()
    repeated: tuple[Repetition, ...] = ()


class Decision(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a person decided about a request or a job.

    Attributes:
        what: `confirmed`, `cancelled`, `retried`, `adopted`, `adoption undone` or `sent again`.
        by: who decided.
        at: when (aware).
        accepted: number of claimed ids that belong to the person of the request.
        declined: number of claimed ids that do not.
        detail: the tracking id, or other things that name no person.
    """

    what: str
    by: str
    at: datetime
    accepted: int = 0
    declined: int = 0
    detail: str = ""


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """Where the data of a retrieval are, and until when."""

    uri: str
    files: dict[str, int]
    bytes: int
    delivered_at: datetime
    expires_at: datetime
    removed_at: datetime | None = None


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A request, and how far it is.

    Attributes:
        request: as it was read; without its ids and lookups from the moment at which they are no longer needed.
        ids: all ids of its people that Mixpanel is asked about, likewise.
        later_ids: ids that the lake had in addition before it was erased; Mixpanel has them under one of `ids`.
        evidence: why each id that the request does not name belongs to its people, or is claimed to; likewise.
        doubts: other reasons why a person has to decide; see `confirmation.DOUBTS`.
        confirmed_doubts: those that a person has confirmed.
        settled_at: from when on Mixpanel could be asked: nothing was in doubt, or a person had decided.
        decisions: what persons decided.
        hashes: of the ids, when the ids themselves are gone (see `hashing.hashed`).
        hold_until: nothing irreversible happens before.
        cancelling_at: somebody is cancelling it: no new job is created for it.
        left_jobs: jobs that it was part of, and that don't count any more.
        pack: after a failed job, requests share a new one only with those that have the same text here.
        outcome: what its jobs ended in, once somebody was told.
        erasures: each a record of what was removed from the lake.
    """

    request: Request
    fingerprint: str
    received_at: datetime
    ids: tuple[str, ...] = ()
    later_ids: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    doubts: tuple[str, ...] = ()
    confirmed_doubts: tuple[str, ...] = ()
    settled_at: datetime | None = None
    decisions: tuple[Decision, ...] = ()
    hashes: tuple[str, ...] = ()
    expansion: Expansion | None = None
    expanded_at: datetime | None = None
    hold_until: datetime | None = None
    cancelling_at: datetime | None = None
    cancelled_at: datetime | None = None
    rejected: str = ""
    left_jobs: tuple[str, ...] = ()
    pack: str = ""
    outcome: str = ""
    erasures: tuple[dict[str, Any], ...] = ()
    delivery: Delivery | None = None
    completed_at: datetime | None = None

    @property
    def request_id(self) -> str:
        return self.request.request_id

    @property
    def is_closed(self) -> bool:
        return bool(self.completed_at or self.cancelled_at or self.rejected)

    @property
    def all_ids(self) -> tuple[str, ...]:
        """The ids that are erased from the lake."""
        return tuple(dict.fromkeys((*self.ids, *self.later_ids)))

    @property
    def claims(self) -> tuple[Evidence, ...]:
        """The ids that are merely claimed, in the order in which they were found; a decision names their numbers."""
        return tuple(one for one in self.evidence if one.grade == "claimed")

    @property
    def accepted(self) -> tuple[str, ...]:
        """The claimed ids that a person has confirmed."""
        return tuple(one.id for one in self.claims if one.accepted)

    @property
    def in_doubt(self) -> tuple[str, ...]:
        """Why a person has to decide: `claims`, and those of `doubts` that nobody has confirmed."""
        if self.is_closed:
            return ()
        claims = ("claims",) if any(one.is_open for one in self.evidence) else ()
        return (*claims, *(one for one in self.doubts if one not in self.confirmed_doubts))

    @property
    def named_persons(self) -> set[str]:
        """Everything in it that can name a person, for logs that must not."""
        claimed = (one.id for one in self.evidence)
        return {*self.all_ids, *claimed, *self.request.ids, *self.request.lookups}

    def but(self, **changes: Any) -> Entry:
        """The same with some fields changed."""
        return msgspec.structs.replace(self, **changes)

    def forgotten(self, lake: str) -> Entry:
        """The same without any personal id: hashes stand in their place."""
        ids = self.all_ids or self.request.ids
        hash_of = hasher(storage(lake))
        return self.but(
            request=msgspec.structs.replace(self.request, ids=(), lookups=()),
            ids=(),
            later_ids=(),
            evidence=(),
            hashes=self.hashes or tuple(map(hash_of, ids)),
        )


class Job(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A Mixpanel job, from the intent to create it until its end.

    Attributes:
        job_id: ours; `tracking_id` is Mixpanel's. A job without one was being created when its process ended.
        part: of the ids of its only request, when these are too many for one job: the first and the last but one.
        status: as Mixpanel said last.
        counts: of each request, how many of its ids the job holds from the first on; without it all.
        problem: why it could not be asked for, the last time.
        adopted: somebody gave its tracking id by hand.
        decisions: what persons decided about it.
        told: the alert that was given last, so that it is given once.
    """

    job_id: str
    kind: Kind
    compliance: str
    disclosure: str
    request_ids: tuple[str, ...]
    id_count: int
    part: tuple[int, int] | None = None
    counts: tuple[int, ...] = ()
    intended_at: datetime
    tracking_id: str = ""
    created_at: datetime | None = None
    status: str = ""
    polled_at: datetime | None = None
    next_poll_at: datetime | None = None
    polls: int = 0
    problem: str = ""
    ended_at: datetime | None = None
    adopted: bool = False
    decisions: tuple[Decision, ...] = ()
    told: str = ""

    def holds(self, request_id: str, total: int) -> range:
        """Which of the ids of a request are in the job, by their place among all `total`."""
        if self.part:
            return range(*self.part)
        counts = dict(zip(self.request_ids, self.counts, strict=False))
        return range(min(counts.get(request_id, total), total))

    def is_unclear(self, now: datetime) -> bool:
        """Whether nobody knows if it exists, and nobody is asking for it at the moment."""
        return not self.tracking_id and (bool(self.problem) or now - self.intended_at > LONGEST_CREATION)

    def but(self, **changes: Any) -> Job:
        """The same with some fields changed."""
        return msgspec.structs.replace(self, **changes)


class Pause(msgspec.Struct, frozen=True, kw_only=True):
    """No new job of a kind before `until`: Mixpanel refused the last one, which was not created."""

    until: datetime
    tries: int
    reason: str


@dataclass(frozen=True)
class Ledger:
    """The ledger of a lake."""

    lake: str
    storage: Storage = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "storage", storage(self.lake))

    def fingerprint(self, content: str) -> str:
        """Tells one content from another, and nothing about it to whoever lacks the lake's salt."""
        return hashed(self.lake, content)[:_FINGERPRINT]

    def known(self) -> dict[str, str]:
        """The fingerprint of every request that was ever taken in."""
        return {request_id: fingerprint for _, request_id, fingerprint in self._names()}

    def entries(self) -> list[Entry]:
        """The requests that are not over, in the order in which they came."""
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
        """The requests that are over."""
        return self._read_all((name for name, _, _ in self._names() if name.startswith(f"{LEDGER}/closed/")), Entry)

    def named(self, request_ids: Iterable[str]) -> list[Entry]:
        """The requests of some ids, over or not; those that were never taken in are missing."""
        wanted, names = set(request_ids), dict[str, str]()
        for name, found, _ in self._names():
            if found in wanted:
                names.setdefault(found, name)  # closed before open: a crash can leave both
        return self._read_all(names.values(), Entry)

    def entry(self, request_id: str) -> Entry:
        """One request.

        Raises:
            LedgerError: it was never taken in.
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
        """Write a new request down; one that is in the ledger already stays as it is."""
        mark_format(self.storage)
        with suppress(WriteConflict):
            self.storage.write(f"{LEDGER}/open/{_name(entry)}", msgspec.json.encode(entry), ABSENT)
        return self.fresh(entry)

    def change(self, entry: Entry, change: Callable[[Entry], Entry]) -> Entry:
        """Read, change and write a request, again if another process writes it meanwhile; one that is over stays."""
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
        """Read, change and write a request that is over."""
        return self._changed(f"{LEDGER}/closed/{_name(entry)}", entry, change)

    def _put_away(self, entry: Entry) -> Entry:
        # It is in `open` as it ends, so that whoever changes it at the same time has to read it again.
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
            LedgerError: there is none.
        """
        job = self._read(_job_name(job_id), Job)
        if job is None:
            raise LedgerError(f"job {job_id!r} is not in the ledger; `mixpanel-etl gdpr status` lists them")
        return job

    def add_job(self, job: Job) -> Job:
        """Write a new job down."""
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
            LeaseHeld: another one does it for longer than anybody waits; the message says which.
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
