"""Taking requests in: each once, into the ledger; what can't be carried out is refused in a table with the reason.

They are rows of a query, or files of a folder. A file is read once, and a receipt takes its place when every request of
it is in the ledger or refused: what it says of persons must not outlive the requests. The receipt names requests and
reasons, and no person.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

import pyarrow as pa

from mixpanel_etl.gdpr.ledger import Entry, Ledger
from mixpanel_etl.gdpr.requests import COLUMNS, Refusal, Request, Row, read_requests
from mixpanel_etl.lake import Provenance, Table
from mixpanel_etl.lake.partitions import put
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
    "rejected_at": "When it was refused.",
}

SUFFIXES = (".csv", ".json", ".jsonl")
_RECEIPT = ".receipt.json"


@dataclass
class Taken:
    """What became of the requests of a source.

    Attributes:
        accepted: request ids that are new in the ledger.
        known: request ids that were there already, with the same content.
        rejected: (request id, reason), also of those that were refused before.
        newly_rejected: those that were not.
        complete: whether all requests were looked at.
    """

    accepted: list[str] = field(default_factory=list)
    known: list[str] = field(default_factory=list)
    rejected: list[tuple[str, str]] = field(default_factory=list)
    newly_rejected: list[tuple[str, str]] = field(default_factory=list)
    complete: bool = True


def rejected_table(lake: str) -> Table:
    """`gdpr/rejected`: one partition for each refused request."""
    return Table(lake, "gdpr/rejected", REJECTED, column="request")


def take_in(
    ledger: Ledger,
    rows: Iterable[Row],
    source: str,
    now: datetime,
    *,
    protected: Collection[str] = (),
    enough: Callable[[], bool] = lambda: False,
) -> Taken:
    """Take the requests of a source in; taking them in again changes nothing.

    Args:
        ledger: of the lake.
        rows: see `read_requests`.
        source: the file or query, without a secret, for whoever reads the refusals.
        now: aware.
        protected: ids about which nobody may ask.
        enough: asked before each request; once true, the rest is left for another time.
    """
    taken = Taken()
    table = rejected_table(ledger.lake)
    known, refused = ledger.known(), set(table.keys())
    for found in read_requests(rows, now, protected):
        if enough():
            taken.complete = False
            break
        fingerprint = ledger.fingerprint(found.content)
        before = known.get(found.request_id) if isinstance(found, Request) else None
        if isinstance(found, Request) and before is None:
            known[found.request_id] = fingerprint
            ledger.save(Entry(request=found, fingerprint=fingerprint, received_at=now))
            taken.accepted.append(found.request_id)
        elif before == fingerprint:
            taken.known.append(found.request_id)
        else:
            refusal = _differs(found) if isinstance(found, Request) else found
            taken.rejected.append((refusal.request_id, refusal.reason))
            key = f"{refusal.request_id or 'unnamed'}~{fingerprint}"
            if key not in refused:
                refused.add(key)
                taken.newly_rejected.append((refusal.request_id, refusal.reason))
                write_refusal(table, key, refusal, source, now)
    return taken


def take_from_folder(
    ledger: Ledger,
    folder: str,
    now: datetime,
    *,
    protected: Collection[str] = (),
    enough: Callable[[], bool] = lambda: False,
) -> Iterator[tuple[str, Taken]]:
    """Take in the files of a folder: the name of each with what became of it.

    A file that can't be read stays, with a receipt that says why.

    Args:
        ledger: of the lake.
        folder: path, `file://` or `s3://` URI. Move files in when they are complete, as a rename does.
        now: aware.
        protected: ids about which nobody may ask.
        enough: see `take_in`.
    """
    place = storage(folder)
    source = place.uri("")  # the name of a file may be that of a person
    names = sorted({name for suffix in SUFFIXES for name in place.names("", suffix) if not name.endswith(_RECEIPT)})
    for name in names:
        if enough():
            return
        content = _bytes(place, name)
        if content is None:
            continue
        try:
            rows = read_file(name, content)
        except ValueError as error:
            _refuse(place, name, content, str(error), now)
            continue
        taken = take_in(ledger, rows, source, now, protected=protected, enough=enough)
        if taken.complete and _bytes(place, name) == content:  # somebody may have written more meanwhile
            _receipt(place, name, {"taken_at": now.isoformat(), **asdict(taken)})
            place.remove(name)
        yield name, taken


def read_file(name: str, content: bytes) -> list[Row]:
    """The rows of a CSV file, a JSON list, or JSON lines.

    Raises:
        ValueError: it is none of these, or not complete.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 (byte {error.start})") from None
    rows = _csv(text) if name.endswith(".csv") else _json(text, lines=name.endswith(".jsonl"))
    if not all(isinstance(row, dict) for row in rows):
        raise ValueError("it holds something beside objects: write a list of requests")
    return rows


def _csv(text: str) -> list[Row]:
    if text and not text.endswith("\n"):
        raise ValueError("its last line has no line break: is it still being written? Otherwise end it with one")
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        rows = list(reader)
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num} is no CSV: {error}") from None
    names = {(name or "").strip().lower() for name in reader.fieldnames or ()}
    if missing := {"request_id", "kind", "requested_at"} - names:
        raise ValueError(
            f"it lacks {', '.join(sorted(missing))} in its first line; the columns are {', '.join(COLUMNS)}"
        )
    if any(None in row for row in rows):
        raise ValueError("a line has more fields than the first: quote what holds a comma")
    return list(rows)


def _json(text: str, *, lines: bool) -> list[Any]:
    try:
        found = [json.loads(line) for line in text.split("\n") if line.strip()] if lines else json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"it is no JSON: {error.msg} in line {error.lineno}") from None  # never what stands there
    return found if isinstance(found, list) else [found]


def write_refusal(table: Table, key: str, refusal: Refusal, source: str, now: datetime) -> None:
    """Put a refusal where whoever asked finds it."""
    row = {
        "request_id": refusal.request_id or None,
        "kind": refusal.kind or None,
        "reason": refusal.reason,
        "source": source,
        "rejected_at": now,
    }
    table.write(key, pa.Table.from_pylist([row], schema=REJECTED), Provenance(requested_at=now))


def _differs(request: Request) -> Refusal:
    reason = (
        "a request with its request_id is in the ledger already, with other content; that one is carried out as it "
        "was. Give the new one a number of its own"
    )
    return Refusal(request.request_id, request.kind, reason, request.content)


def _refuse(place: Storage, name: str, content: bytes, reason: str, now: datetime) -> None:
    digest = hashlib.sha256(content).hexdigest()
    present = _bytes(place, name + _RECEIPT)
    if present is None or json.loads(present).get("sha256") != digest:
        _receipt(place, name, {"read_at": now.isoformat(), "unreadable": reason, "sha256": digest})


def _receipt(place: Storage, name: str, content: dict[str, Any]) -> None:
    put(place, name + _RECEIPT, json.dumps({"file": name, **content}, indent=2).encode())


def _bytes(place: Storage, name: str) -> bytes | None:
    try:
        with place.open(name) as handle:
            return handle.read()
    except FileNotFoundError:
        return None
