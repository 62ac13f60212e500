"""What a retrieval brought, in a folder of its own for each request, until it expires."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import IO
from urllib.parse import quote

import msgspec

from mixpanel_etl.client import MixpanelError
from mixpanel_etl.client.gdpr import Gdpr
from mixpanel_etl.gdpr import archives
from mixpanel_etl.gdpr.archives import BadArchive
from mixpanel_etl.gdpr.ledger import Delivery, Entry, Job, Ledger
from mixpanel_etl.gdpr.progress import Progress
from mixpanel_etl.lake.storage import Draft, Storage, storage
from mixpanel_etl.lake.suppression import hasher

_REQUESTS_AT_A_TIME = 100  # so many files are open at once

Files = dict[str, int]
#: Writes the content of an archive's file into files of requests.
Share = Callable[[Iterable[bytes], Mapping[str, IO[bytes]]], None]


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

    Delivering again replaces the same files. An archive that can't be delivered holds only its own requests up.

    Args:
        ledger: of the lake.
        gdpr: of the client. The host of the archives gets none of its credentials.
        finished: retrievals whose jobs have all ended in SUCCESS.
        to: where.
        now: aware.

    Returns:
        The requests as they are in the ledger now, and the errors of the others: `BadArchive` for what can't be
        trusted, else one of the kinds in `client.errors`.
    """
    jobs = {job.job_id: job for one in finished for job in one.jobs}
    files: dict[str, Files] = {one.entry.request_id: {} for one in finished}
    errors: dict[str, Exception] = {}
    for job in jobs.values():
        entries = [one.entry for one in finished if job in one.jobs]
        try:
            for request_id, found in _deliver_job(ledger, gdpr, job, entries, to.storage).items():
                files[request_id] |= found
        except (BadArchive, MixpanelError) as error:
            errors[job.job_id] = error
    done = []
    for one in finished:
        if not any(job.job_id in errors for job in one.jobs):
            delivery = _delivery(one.entry, files[one.entry.request_id], to, now)
            done.append(ledger.change(one.entry, partial(Entry.but, delivery=delivery)))
    return done, list(errors.values())


def remove_expired(ledger: Ledger, to: Destination, now: datetime) -> list[Entry]:
    """Remove what was delivered and has expired: the requests whose data are gone now."""
    removed = []
    for entry in ledger.closed():
        delivery = entry.delivery
        if delivery is None or delivery.removed_at or now < delivery.expires_at:
            continue
        for name in delivery.files:
            to.storage.remove(f"{_folder(entry)}/{name}")
        removed.append(ledger.save(entry.but(delivery=msgspec.structs.replace(delivery, removed_at=now))))
    return removed


def _delivery(entry: Entry, sizes: Files, to: Destination, now: datetime) -> Delivery:
    folder = _folder(entry)
    return Delivery(
        uri=to.storage.uri(folder),
        files={name.removeprefix(f"{folder}/"): size for name, size in sizes.items()},
        bytes=sum(sizes.values()),
        delivered_at=now,
        expires_at=now + to.keep,
    )


def _folder(entry: Entry) -> str:
    return quote(entry.request_id, safe="")


def _deliver_job(ledger: Ledger, gdpr: Gdpr, job: Job, entries: Sequence[Entry], place: Storage) -> dict[str, Files]:
    state = gdpr.get_retrieval(job.tracking_id)
    if not state.link:
        raise BadArchive(f"job {job.job_id} has ended in {state.status}, and Mixpanel gives no link to its archive")
    # A request with more ids than fit into one job has several archives.
    prefix = f"{job.job_id}/" if job.part else ""
    share = _whole if len(job.request_ids) == 1 else _Shared(ledger, job)
    found: dict[str, Files] = {}
    with archives.downloaded(gdpr, state.link, place) as file, archives.checked(file) as archive:
        for start in range(0, len(entries), _REQUESTS_AT_A_TIME):
            some = entries[start : start + _REQUESTS_AT_A_TIME]
            found |= _unpack(archive, {entry.request_id: f"{_folder(entry)}/{prefix}" for entry in some}, share, place)
    return found


def _unpack(archive: zipfile.ZipFile, folders: Mapping[str, str], share: Share, place: Storage) -> dict[str, Files]:
    """Write the files of some requests, and make them visible when all of them are whole."""
    found: dict[str, Files] = {request_id: {} for request_id in folders}
    with ExitStack() as stack:
        drafts: list[tuple[str, str, Draft]] = []
        for member in archives.members(archive):
            with ExitStack() as opened:
                files: dict[str, IO[bytes]] = {}
                for request_id, folder in folders.items():
                    draft = stack.enter_context(place.draft("archive"))
                    drafts.append((request_id, folder + member.filename, draft))
                    files[request_id] = opened.enter_context(Path(draft.path).open("wb"))
                share(archives.chunks(archive, member), files)
        for request_id, name, draft in drafts:
            found[request_id][name] = Path(draft.path).stat().st_size
            with place.exclusive(name):
                draft.publish(name)
    return found


def _whole(content: Iterable[bytes], files: Mapping[str, IO[bytes]]) -> None:
    """Everything into every file."""
    for chunk in content:
        for file in files.values():
            file.write(chunk)


class _Shared:
    """Each line into the files of those whom it is about.

    It knows all requests of the job, so that a record of nobody is noticed at once, before anything is visible; those
    that are over, as they were cancelled or delivered, by their hashes.
    """

    def __init__(self, ledger: Ledger, job: Job) -> None:
        entries = ledger.named(job.request_ids)
        self._owners: dict[str, list[str]] = {}
        for entry in entries:
            for one in entry.ids:
                self._owners.setdefault(one, []).append(entry.request_id)
        self._closed = {one for entry in entries for one in entry.hashes}
        self._hash = hasher(ledger.storage)

    def __call__(self, content: Iterable[bytes], files: Mapping[str, IO[bytes]]) -> None:
        for line in archives.lines(content):
            if line.strip():
                for request_id in archives.owner(line, self._owners, self._is_closed):
                    if request_id in files:
                        files[request_id].write(line + b"\n")

    def _is_closed(self, distinct_id: str) -> bool:
        return self._hash(distinct_id) in self._closed
