"""Taking requests in: each once, into the ledger; what can't be carried out is rejected in a table with the reason.

They are rows of a query, or files of a folder. A file is read once, and a receipt takes its place when every request of
it is in the ledger or rejected: what it says of persons must not outlive the requests. The receipt names requests and
reasons, and no person. A fault of a row or file affects only this one: the others are taken in.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from mixpanel_etl.gdpr.data_subject_requests import Rejection, Request, Row, read_requests
from mixpanel_etl.gdpr.ledger import Ledger
from mixpanel_etl.gdpr.ledger_entries import Entry
from mixpanel_etl.gdpr.redaction import GdprError
from mixpanel_etl.gdpr.source_rows import SUFFIXES, read_file
from mixpanel_etl.lake import Provenance, Table
from mixpanel_etl.lake.storage import Storage, storage

REJECTED = pa.schema(
    [
        pa.field("request_id", pa.string()),
        pa.field("kind", pa.string()),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("rejected_at", pa.timestamp("ms", "UTC"), nullable=False),
    ]
)
DESCRIPTIONS = {
    "request_id": "As it was given; null when it was missing, malformed, or held a personal id.",
    "kind": "deletion or retrieval; null when it was neither.",
    "reason": "Why it is not carried out, without personal ids.",
    "source": "The file or query that it came from.",
    "rejected_at": "Time of the rejection (UTC).",
}

MAX_FILE_BYTES = 64 << 20  # a hundred thousand requests
_RECEIPT = ".receipt.json"
_MAX_NAME_BYTES = 255  # bytes that a disk takes


class IntakeError(GdprError):
    """Files of the folder whose requests or receipts could not be written down. They are taken in again."""


@dataclass
class IntakeResult:
    """What became of the requests of a source.

    Attributes:
        accepted: request ids that are new in the ledger.
        known: request ids that were there already, with the same content.
        rejected: (request id, reason), also of those that were rejected before.
        newly_rejected: those that were not.
        complete: whether all requests were looked at.
    """

    accepted: list[str] = field(default_factory=list)
    known: list[str] = field(default_factory=list)
    rejected: list[tuple[str, str]] = field(default_factory=list)
    newly_rejected: list[tuple[str, str]] = field(default_factory=list)
    complete: bool = True


def rejected_table(lake: str) -> Table:
    """`gdpr/rejected`: one partition for each rejected request."""
    return Table(lake, "gdpr/rejected", REJECTED, column="request")


def take_in(
    ledger: Ledger,
    rows: Iterable[Row],
    source: str,
    now: datetime,
    *,
    protected: Collection[str] = (),
    enough: Callable[[], bool] = lambda: False,
) -> IntakeResult:
    """Take the requests of a source in; taking them in again changes nothing.

    Args:
        ledger: of the lake.
        rows: see `read_requests`.
        source: the file or query, without secrets, as readers of the table see it.
        now: aware.
        protected: ids that no request may name.
        enough: asked before each request; once true, the rest is left for another time.
    """
    taken = IntakeResult()
    table = rejected_table(ledger.lake)
    with ledger.locked("intake"):  # two of them would take in two requests with one id
        known, rejected = ledger.known(), set(table.keys())
        for found in read_requests(rows, now, protected):
            if enough():
                taken.complete = False
                break
            fingerprint = ledger.fingerprint(found.content)
            before = known.get(found.request_id) if isinstance(found, Request) else None
            if isinstance(found, Request) and before is None:
                known[found.request_id] = fingerprint
                ledger.add(Entry(request=found, fingerprint=fingerprint, received_at=now))
                taken.accepted.append(found.request_id)
            elif before == fingerprint:
                taken.known.append(found.request_id)
            else:
                rejection = _differs(found) if isinstance(found, Request) else found
                taken.rejected.append((rejection.request_id, rejection.reason))
                key = f"{rejection.request_id or 'unnamed'}~{fingerprint}"
                if key not in rejected:
                    rejected.add(key)
                    taken.newly_rejected.append((rejection.request_id, rejection.reason))
                    write_rejection(table, key, rejection, source, now)
    return taken


def take_from_folder(
    ledger: Ledger,
    folder: str,
    now: datetime,
    *,
    protected: Collection[str] = (),
    enough: Callable[[], bool] = lambda: False,
) -> Iterator[tuple[str, IntakeResult]]:
    """Take in the files of a folder: the name of each with what became of it.

    A file that can't be read stays, with a receipt that says why; see `waiting_files`. Files whose names begin with a
    dot are left alone: other programs write them, and rename them when they are complete.

    Args:
        ledger: of the lake.
        folder: path, `file://` or `s3://` URI. Move files in when they are complete, as a rename does.
        now: aware.
        protected: ids that no request may name.
        enough: see `take_in`.

    Raises:
        IntakeError: at the end, when the others are taken in.
        OSError: the folder can't be listed.
    """
    place = storage(folder)
    source = place.uri("")  # the name of a file may be that of a person
    failures: list[OSError] = []
    for name in _names(place):
        if enough():
            break
        try:
            rows, content = _read(place, name)
        except FileNotFoundError:  # removed since
            continue
        except (_Unreadable, OSError) as error:
            failures += _reject(place, name, error, now)
            continue
        try:
            taken = take_in(ledger, rows, source, now, protected=protected, enough=enough)
            if taken.complete and _bytes(place, name) == content:  # else it has grown since
                _receipt(place, name, {"taken_at": now.isoformat(), **asdict(taken)})
                place.remove(name)
        except OSError as error:
            failures.append(error)
            continue
        yield name, taken
    if failures:
        kinds = ", ".join(sorted({type(failure).__name__ for failure in failures}))
        raise IntakeError(
            f"{len(failures)} files of {source} can't be taken in ({kinds}): check that it can be written"
        )


def rejections(ledger: Ledger) -> dict[str, bool]:
    """The partitions of the table of rejected requests, and whether a request of that id is in the ledger."""
    known = ledger.known()
    return {key: key.rpartition("~")[0] in known for key in rejected_table(ledger.lake).keys()}  # noqa: SIM118


def open_rejections(ledger: Ledger, since: datetime) -> list[tuple[str, str]]:
    """Requests that were rejected and not taken in after that: id, as far as it may be told, and reason.

    Args:
        ledger: of the lake.
        since: aware; older rejections don't count.
    """
    table = rejected_table(ledger.lake)
    rows = [row for key in table.keys() for batch in table.batches(key) for row in batch.to_pylist()]  # noqa: SIM118
    recent = [row for row in rows if row["rejected_at"] >= since]
    entries = ledger.named(row["request_id"] for row in recent if row["request_id"])
    taken = {entry.request_id: entry.received_at for entry in entries}
    still = (row for row in recent if taken.get(row["request_id"], since) <= row["rejected_at"])
    return [(row["request_id"] or "", row["reason"]) for row in still]


def waiting_files(folder: str) -> list[tuple[str, str]]:
    """The files of a folder that could not be read, and why. The name of a file may be that of a person."""
    place = storage(folder)
    found = []
    for name in _names(place):
        receipt = _receipt_of(place, name)
        if reason := receipt.get("unreadable"):
            found.append((name, str(reason)))
    return found


class _Unreadable(Exception):
    """Why nothing of a file can be taken in."""


def _names(place: Storage) -> list[str]:
    """Everything in a folder that waits to be taken in, be it a file of requests or not."""
    uri = place.uri("")
    found = place.names("", "") if uri.startswith("s3://") else [*place.names("", ""), *_specials(Path(uri))]
    parts = ((name, name.split("/")) for name in found if not name.endswith(_RECEIPT))
    return sorted({name for name, path in parts if path[-1] and not any(one.startswith(".") for one in path)})


def _specials(root: Path) -> Iterator[str]:
    """What is in a folder besides files: links that lead nowhere or to folders, pipes, sockets."""
    for folder, folders, files in os.walk(root):
        for path in (Path(folder, name) for name in (*folders, *files)):
            if (path.is_symlink() and path.is_dir()) or not (path.is_file() or path.is_dir()):
                yield path.relative_to(root).as_posix()


def _read(place: Storage, name: str) -> tuple[list[Row], bytes]:
    if not name.lower().endswith(SUFFIXES):
        raise _Unreadable(f"files must end in {', '.join(SUFFIXES)}: convert it, or unpack it")
    if not place.uri("").startswith("s3://") and not Path(place.uri(name)).is_file():
        raise _Unreadable("it is not a file, but a link that leads elsewhere, a pipe or another special file")
    content = _bytes(place, name)
    if content is None:
        raise FileNotFoundError(name)
    if len(content) > MAX_FILE_BYTES:
        raise _Unreadable(f"it has more than {MAX_FILE_BYTES >> 20} MB: split it")
    try:
        return read_file(name, content), content
    except ValueError as error:
        raise _Unreadable(str(error)) from None
    except Exception as error:  # noqa: BLE001 - the other files go on
        raise _Unreadable(f"it can't be read ({type(error).__name__})") from None


def write_rejection(table: Table, key: str, rejection: Rejection, source: str, now: datetime) -> None:
    """Write a rejection into the table of rejected requests."""
    row = {
        "request_id": rejection.request_id or None,
        "kind": rejection.kind or None,
        "reason": rejection.reason,
        "source": source,
        "rejected_at": now,
    }
    table.write(key, pa.Table.from_pylist([row], schema=REJECTED), Provenance(requested_at=now))


def _differs(request: Request) -> Rejection:
    reason = (
        "a request with its request_id is in the ledger already, with other content; that one is carried out as it "
        "was. Give the new one a number of its own"
    )
    return Rejection(request.request_id, request.kind, reason, request.content)


def _reject(place: Storage, name: str, error: Exception, now: datetime) -> list[OSError]:
    """Say in a receipt why a file is not taken in, once for each state of it; what went wrong with the receipt."""
    reason = str(error) if isinstance(error, _Unreadable) else f"it can't be read ({type(error).__name__})"
    receipt = {"unreadable": reason, "version": _version(place, name)}
    present = _receipt_of(place, name)
    try:
        if any(present.get(field) != value for field, value in receipt.items()):
            _receipt(place, name, {"read_at": now.isoformat(), **receipt})
    except OSError as failure:
        return [failure]
    return []


def _version(place: Storage, name: str) -> str:
    try:
        return place.version(name)
    except OSError:
        return ""


def _receipt(place: Storage, name: str, content: dict[str, Any]) -> None:
    place.write(_receipt_name(name), json.dumps({"file": name, **content}, indent=2).encode())


def _receipt_name(name: str) -> str:
    folder, slash, last = name.rpartition("/")
    if len(os.fsencode(last + _RECEIPT)) > _MAX_NAME_BYTES:
        last = hashlib.sha256(os.fsencode(last)).hexdigest()
    return folder + slash + last + _RECEIPT


def _receipt_of(place: Storage, name: str) -> dict[str, Any]:
    try:
        found = json.loads(_bytes(place, _receipt_name(name)) or b"{}")
    except (OSError, ValueError):  # it is written again
        return {}
    return found if isinstance(found, dict) else {}


def _bytes(place: Storage, name: str) -> bytes | None:
    """The content of a file, as far as it is looked at; None when there is none."""
    try:
        with place.open(name) as handle:
            return handle.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        return None
