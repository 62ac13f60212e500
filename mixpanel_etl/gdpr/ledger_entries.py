"""What the ledger keeps: requests with their ids and progress, Mixpanel jobs, pauses, and what persons decided."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec

from mixpanel_etl.gdpr.data_subject_requests import Kind, Request
from mixpanel_etl.gdpr.evidence import Evidence
from mixpanel_etl.lake.storage import storage
from mixpanel_etl.lake.suppression import hasher

#: A process that asks for a job has its answer, or has failed, after this time.
MAX_CREATION_TIME = timedelta(minutes=10)


class Source(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One source that was asked about ids or lookups.

    Attributes:
        name: `profile snapshot`, `Mixpanel profiles` or `Mixpanel activity`.
        as_of: time of its data (aware); for Mixpanel the time of the query.
        asked: number of ids or lookups.
        found: number of these that it knows.
        limits: what the source leaves out, such as the filter of a snapshot.
        problem: reason why it could not be asked.
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
        accepted: number of these that a person has confirmed.
        never_seen: number of named ids that neither the lake nor Mixpanel has.
        unread: number of files of the lake that could not be read.
        sources: sources other than the rows of the lake.
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
        by: name of the person.
        at: time (aware).
        accepted: number of claimed ids that belong to the person of the request.
        declined: number of claimed ids that do not.
        detail: the tracking id, or other data that is not personal.
    """

    what: str
    by: str
    at: datetime
    accepted: int = 0
    declined: int = 0
    detail: str = ""


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """Where the data of a retrieval is, and until when."""

    uri: str
    files: dict[str, int]
    bytes: int
    delivered_at: datetime
    expires_at: datetime
    removed_at: datetime | None = None


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A request and its progress.

    Attributes:
        request: as it was read; ids and lookups are removed when they are no longer needed.
        ids: all ids of its people that Mixpanel is asked about; removed likewise.
        later_ids: ids that the lake had in addition before it was erased; Mixpanel has them under one of `ids`.
        evidence: reasons why each id that the request does not name belongs to its people, or may; removed likewise.
        doubts: other reasons why a person has to decide; see `confirmation.DOUBTS`.
        confirmed_doubts: those that a person has confirmed.
        settled_at: time from which Mixpanel could be asked: nothing was in doubt, or a person had decided.
        decisions: decisions of persons.
        hashes: hashes of the ids, once the ids are removed (see `hashed_ids.hashed`).
        hold_until: nothing irreversible happens before.
        cancelling_at: time at which its cancellation began: no new job is created for it.
        left_jobs: jobs that it was part of, and that don't count any more.
        pack: after a failed job, requests share a new one only with those that have the same text here.
        outcome: status in which its jobs ended, once it was alerted.
        erasures: one record for each erasure of the lake.
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
        """Reasons why a person has to decide: `claims`, and unconfirmed `doubts`."""
        if self.is_closed:
            return ()
        claims = ("claims",) if any(one.is_open for one in self.evidence) else ()
        return (*claims, *(one for one in self.doubts if one not in self.confirmed_doubts))

    @property
    def named_persons(self) -> set[str]:
        """All its values that can name a person, which no log may contain."""
        claimed = (one.id for one in self.evidence)
        return {*self.all_ids, *claimed, *self.request.ids, *self.request.lookups}

    def replace(self, **changes: Any) -> Entry:
        """A copy with some fields changed."""
        return msgspec.structs.replace(self, **changes)

    def forgotten(self, lake: str) -> Entry:
        """A copy with hashes in the place of all personal ids."""
        ids = self.all_ids or self.request.ids
        hash_of = hasher(storage(lake))
        return self.replace(
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
        status: last status, in Mixpanel's spelling.
        counts: number of ids of each request that the job holds, from the first on; all if empty.
        problem: last reason why its status could not be read.
        adopted: whether a person entered its tracking id.
        decisions: decisions of persons.
        alerted: the last alert, so that it is given once.
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
    alerted: str = ""

    def holds(self, request_id: str, total: int) -> range:
        """Which of the ids of a request are in the job, by their place among all `total`."""
        if self.part:
            return range(*self.part)
        counts = dict(zip(self.request_ids, self.counts, strict=False))
        return range(min(counts.get(request_id, total), total))

    def is_unclear(self, now: datetime) -> bool:
        """Whether it is unknown if the job exists, and no process is creating it now."""
        return not self.tracking_id and (bool(self.problem) or now - self.intended_at > MAX_CREATION_TIME)

    def replace(self, **changes: Any) -> Job:
        """A copy with some fields changed."""
        return msgspec.structs.replace(self, **changes)


class Pause(msgspec.Struct, frozen=True, kw_only=True):
    """No new job of a kind before `until`: Mixpanel rejected the last one, which was not created."""

    until: datetime
    tries: int
    reason: str
