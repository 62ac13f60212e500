"""What a retrieval brought, in a folder of its own for each request, until it expires."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from urllib.parse import quote

import msgspec

from mixpanel_etl.client import Gdpr, MixpanelError
from mixpanel_etl.gdpr import archives
from mixpanel_etl.gdpr.archives import BadArchive
from mixpanel_etl.gdpr.ledger import Ledger
from mixpanel_etl.gdpr.ledger_entries import Delivery, Entry, Job
from mixpanel_etl.gdpr.progress import Progress
from mixpanel_etl.gdpr.spool import Key, Spool
from mixpanel_etl.lake.storage import Storage, storage
from mixpanel_etl.lake.suppression import hasher


@dataclass(frozen=True)
class Destination:
    """Where retrieved data are put.

    Attributes:
        uri: path, `file://` or `s3://` URI, to which only those have access who may see personal data. Not the lake.
        keep: after this time they are removed.
    """

    uri: str
    keep: timedelta
    storage: Storage = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "storage", storage(self.uri))


def deliver(
    ledger: Ledger, gdpr: Gdpr, finished: Sequence[Progress], to: Destination, now: datetime
) -> tuple[list[Entry], list[Exception]]:
    """Download the archives of finished retrievals, and put into each request's folder what is its people's.

    Each request's folder appears when it is whole. Delivering again replaces it. What goes wrong with an archive or a
    folder holds only its own requests up.

    Args:
        ledger: of the lake.
        gdpr: of the client. The host of the archives gets none of its credentials.
        finished: retrievals whose jobs have all ended in SUCCESS.
        to: where.
        now: aware.

    Returns:
        The requests that were delivered, as they are in the ledger now, and the errors of the others: `BadArchive` for
        what can't be trusted, `OSError` for what can't be written, else one of the kinds in `client.errors`.

    Raises:
        LeaseHeld: another process delivers now.
    """
    done: list[Entry] = []
    errors: list[Exception] = []
    with ledger.locked("deliveries"):
        recorded = {entry.request_id: entry.delivery for entry in ledger.entries()}
        # Without those that another process delivered or closed after they were read.
        due = [one for one in finished if recorded.get(one.entry.request_id, ...) == one.entry.delivery]
        for together in _by_jobs(due):
            try:
                for delivered in _deliver_together(ledger, gdpr, together, to, now):
                    if isinstance(delivered, Entry):
                        done.append(delivered)
                    else:
                        errors.append(delivered)
            except (BadArchive, MixpanelError, OSError) as error:
                errors.append(error)
    return done, errors


def remove_expired(ledger: Ledger, to: Destination, now: datetime) -> list[Entry]:
    """Remove what was delivered and has expired: the requests whose data are gone now.

    Raises:
        OSError: something could not be removed; all the rest is.
    """
    removed: list[Entry] = []
    failures: list[OSError] = []
    for entry in ledger.closed():
        delivery = entry.delivery
        if delivery is None or delivery.removed_at or now < delivery.expires_at:
            continue
        try:
            for name in delivery.files:
                to.storage.remove(f"{_folder(entry)}/{name}")
        except OSError as error:
            failures.append(error)
            continue
        gone = msgspec.structs.replace(delivery, removed_at=now)
        removed.append(ledger.change_closed(entry, partial(Entry.replace, delivery=gone)))
    if failures:
        raise failures[0]
    return removed


def _by_jobs(finished: Sequence[Progress]) -> list[list[Progress]]:
    """Those that share their archives, together: each archive is downloaded once."""
    found: dict[tuple[str, ...], list[Progress]] = defaultdict(list)
    for one in finished:
        found[tuple(sorted(job.job_id for job in one.jobs))].append(one)
    return list(found.values())


def _deliver_together(
    ledger: Ledger, gdpr: Gdpr, together: Sequence[Progress], to: Destination, now: datetime
) -> Iterator[Entry | OSError]:
    """Unpack all archives of some requests, and only then show one folder after the other."""
    entries = [one.entry for one in together]
    with to.storage.scratch() as file:
        spool = Spool(file)
        for job in together[0].jobs:
            _unpack(ledger, gdpr, job, {entry.request_id for entry in entries}, place=to.storage, spool=spool)
        for entry in entries:
            try:
                delivery = _publish(entry, spool, to, now)
            except OSError as error:
                yield error
            else:
                yield ledger.change(entry, partial(Entry.replace, delivery=delivery))


def _unpack(ledger: Ledger, gdpr: Gdpr, job: Job, request_ids: set[str], *, place: Storage, spool: Spool) -> None:
    """Check an archive to its last byte, and note what is whose."""
    state = gdpr.get_retrieval(job.tracking_id)
    if not state.link:
        raise BadArchive(f"job {job.job_id} has ended in {state.status}, and Mixpanel gives no link to its archive")
    # A request with more ids than fit into one job has several archives.
    prefix = f"{job.job_id}/" if job.part else ""
    shared = _Shared(ledger, job) if len(job.request_ids) > 1 else None
    with archives.downloaded(gdpr, state.link, place) as file, archives.checked(file) as archive:
        names = [prefix + archives.name_of(member) for member in archives.members(archive)]
        for name, member in zip(names, archives.members(archive), strict=True):
            content = archives.chunks(archive, member)
            if shared is None:
                (request_id,) = request_ids
                spool.write(Key(request_id, name), b"")
                for chunk in content:
                    spool.write(Key(request_id, name), chunk)
                continue
            for line in archives.lines(content):
                for request_id in shared.owners(line):
                    if request_id in request_ids:
                        spool.write(Key(request_id, name), line + b"\n")
    for request_id in request_ids - spool.request_ids():  # those of whom Mixpanel has nothing are told so
        for name in names:
            spool.write(Key(request_id, name), b"")


def _publish(entry: Entry, spool: Spool, to: Destination, now: datetime) -> Delivery:
    """Make the folder of a request visible when it is whole."""
    names = spool.names(entry.request_id)
    sizes = to.storage.write_folder(_folder(entry), ((name, spool.read(Key(entry.request_id, name))) for name in names))
    return Delivery(
        uri=to.storage.uri(_folder(entry)),
        files=sizes,
        bytes=sum(sizes.values()),
        delivered_at=now,
        expires_at=now + to.keep,
    )


def _folder(entry: Entry) -> str:
    return quote(entry.request_id, safe="")


class _Shared:
    """Whose each line of an archive is.

    It knows all requests of the job, so that a record without a requested id is noticed before anything is visible;
    those that are over, as they were cancelled or delivered, by their hashes.
    """

    def __init__(self, ledger: Ledger, job: Job) -> None:
        entries = ledger.named(job.request_ids)
        self._owners: dict[str, list[str]] = {}
        for entry in entries:
            for one in entry.ids:
                self._owners.setdefault(one, []).append(entry.request_id)
        self._closed = {one for entry in entries for one in entry.hashes}
        self._hash = hasher(ledger.storage)

    def owners(self, line: bytes) -> Collection[str]:
        """The requests whose people a line is about."""
        return archives.owner(line, self._owners, self._is_closed) if line.strip() else ()

    def _is_closed(self, distinct_id: str) -> bool:
        return self._hash(distinct_id) in self._closed
