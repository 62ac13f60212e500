"""The certificate of a request: what was done, when, with which proof. It names no person: hashes stand for ids."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import datetime
from typing import Any
from urllib.parse import quote

import msgspec

from mixpanel_etl.gdpr.erasure import Erasure
from mixpanel_etl.gdpr.ledger_entries import Entry, Job
from mixpanel_etl.gdpr.progress import progress_of
from mixpanel_etl.lake.storage import Storage, storage

FOLDER = "gdpr/certificates"
_SCRUB = "gdpr/dagster.json"
_TIMES = {
    "requested": "requested_at",
    "received": "received_at",
    "ids expanded": "expanded_at",
    "completed": "completed_at",
    "deadline": "deadline",
}
_HASHING = "BLAKE2b, 128 bits, keyed with the secret of the lake (`_suppression/salt`)"


#: What an erasure looks at, and what it cannot know: part of each certificate of one.
_SEARCHED = (
    "every file below the lake's root, hidden files and what links lead to included: Parquet (rows, metadata, names of "
    "columns), JSON, JSON lines and other text, in UTF-8, UTF-16 or UTF-32, gzip or not",
    "not the package's own records, in which hashes stand for persons (suppression list, closed requests, "
    "certificates), its leases, and drafts, from which suppressed persons are left out when they are published",
)
_LIMITS = (
    "an id counts as a whole value of a column, a string, number or key of JSON, or a word of other text (there also "
    "URL-encoded), not as a part of longer text",
    "ids that read like a word, a date, a version, a path or a short number count only in columns and under keys that "
    "name persons: elsewhere nothing tells them from other values",
    "numbers without quotes that can be times between 2011 and 2039 count only there, too",
    "ids in base64, hashed or encrypted are not found; archives and other binary files are not searched: as long as "
    "the lake has one, no erasure is certified",
    "files are not removed for their names, except partitions by person (`user_id=...`): as long as another name is "
    "an id of the request, it is not certified",
    "copies elsewhere are not covered: backups, versions of a versioned bucket, tables loaded from the lake, and logs "
    "that are sent elsewhere; of Dagster's storage, only what is said below",
)


def erasure_record(erasure: Erasure, requests: int, now: datetime, suppressed_until: datetime) -> dict[str, Any]:
    """What an erasure did, for the ledger and the certificate of requests of which nothing remains.

    Args:
        erasure: of the people of all these requests together.
        requests: how many these are.
        now: aware.
        suppressed_until: until when their rows are left out of exports.
    """
    tables = {name: asdict(table) for name, table in erasure.tables.items()}
    changed = ("files_rewritten", "rows_removed", "values_blanked", "files_rewritten_before", "rows_removed_before")
    return {
        "recorded_at": now.isoformat(),
        "started_at": erasure.started_at.isoformat(),
        "ended_at": erasure.ended_at.isoformat(),
        "requests": requests,
        "suppressed_until": suppressed_until.isoformat(),
        "files_scanned": sum(table.files_scanned for table in erasure.tables.values()),
        "remaining": 0,
        "tables": {name: table for name, table in tables.items() if any(table[key] for key in changed)},
    }


def certificate(entry: Entry, jobs: Iterable[Job], lake: str, project_id: int | None) -> dict[str, Any]:
    """All that can be said of a completed request.

    Args:
        entry: without personal ids, see `Entry.forgotten`.
        jobs: all of the ledger.
        lake: its address.
        project_id: of Mixpanel, where it is known.
    """
    theirs = [job for job in jobs if entry.request_id in job.request_ids]
    (one,) = progress_of([entry], theirs)
    request = entry.request
    found = msgspec.to_builtins(entry.expansion) if entry.expansion else {}
    told: dict[str, Any] = {
        "request_id": request.request_id,
        "kind": request.kind,
        "compliance_type": request.compliance,
        "project_id": project_id,
        "lake": lake,
        "requested_at": request.requested_at,
        "received_at": entry.received_at,
        "expanded_at": entry.expanded_at,
        "completed_at": entry.completed_at,
        "deadline": one.deadline,
        "in_time": entry.completed_at is not None and entry.completed_at <= one.deadline,
        "decisions": [*entry.decisions, *(decision for job in theirs for decision in job.decisions)],
        "ids": {**found, "hashes": list(entry.hashes), "hashed_with": _HASHING},
        "mixpanel_jobs": [_job(job) for job in one.jobs],
        "earlier_mixpanel_jobs": [_job(job) for job in theirs if job not in one.jobs],
    }
    if request.kind == "deletion":
        told["lake_erasures"] = list(entry.erasures)
        told["scope"] = {"searched": list(_SEARCHED), "limits": list(_LIMITS)}
        told["dagster"] = _dagster(lake)
        told["final_scan"] = "found nothing" if not entry.erasures[-1]["remaining"] else "found rows"
    elif entry.delivery:
        told["disclosure_type"] = request.disclosure
        told["delivery"] = entry.delivery
    plain: dict[str, Any] = msgspec.to_builtins(told)
    return plain


def note_scrub(store: Storage, now: datetime, records: int) -> None:
    """Note that what older versions recorded of persons in Dagster's storage was removed.

    Args:
        store: of the lake.
        now: aware.
        records: how many were changed.
    """
    store.write(_SCRUB, msgspec.json.encode({"scrubbed_at": now, "records": records}))


def _dagster(lake: str) -> dict[str, Any]:
    """What the certificate covers of Dagster's own storage."""
    try:
        with storage(lake).open(_SCRUB) as file:
            scrub = msgspec.json.decode(file.read())
    except FileNotFoundError:
        scrub = {"scrubbed_at": None, "records": 0}
    return {"recorded_there": "counts, hashes and times; no values of persons", **scrub}


def write(store: Storage, told: dict[str, Any]) -> None:
    """Put a certificate into the lake, as JSON and as Markdown."""
    json_name, markdown_name = _names(told["request_id"])
    store.write(json_name, msgspec.json.format(msgspec.json.encode(told)))
    store.write(markdown_name, as_markdown(told).encode())


def addresses(store: Storage, request_id: str) -> tuple[str, str]:
    """Where the JSON and the Markdown of a certificate are."""
    json_name, markdown_name = _names(request_id)
    return store.uri(json_name), store.uri(markdown_name)


def markdown(store: Storage, request_id: str) -> str:
    """The Markdown of a certificate that was written."""
    with store.open(_names(request_id)[1]) as file:
        return file.read().decode()


def _names(request_id: str) -> tuple[str, str]:
    base = f"{FOLDER}/{quote(request_id, safe='')}"
    return f"{base}.json", f"{base}.md"


def as_markdown(told: dict[str, Any]) -> str:
    """A certificate as Markdown."""
    return "\n".join(_lines(told)) + "\n"


def _job(job: Job) -> dict[str, Any]:
    names = ("job_id", "tracking_id", "status", "intended_at", "created_at", "ended_at", "polls", "adopted")
    return {name: getattr(job, name) for name in names} | {"ids": job.id_count, "requests": len(job.request_ids)}


def _lines(told: dict[str, Any]) -> Iterator[str]:
    ids = told["ids"]
    late = "in time" if told["in_time"] else "**after the deadline**"
    where = f"Mixpanel project {told['project_id'] or '(not named)'} and the lake `{told['lake']}`"
    yield f"# {told['kind'].title()} under {told['compliance_type']}: request {told['request_id']}"
    yield ""
    yield f"In {where}."
    yield ""
    yield from (f"- {name}: {_when(told[key])}" for name, key in _TIMES.items())
    yield ""
    yield f"Completed {late}."
    yield ""
    yield "## Whom it is about"
    yield ""
    yield f"- ids named: {ids['asked']}, found by lookup: {ids['found_by_lookup']}, of the same people: {ids['total']}"
    yield from _evidence(ids)
    yield from (f"- {_decision(one)}" for one in told.get("decisions", []))
    yield f"- as hashes: {ids['hashed_with']}"
    yield ""
    yield from (f"- `{one}`" for one in ids["hashes"])
    yield ""
    yield from _table(
        "Mixpanel",
        ["Job", "Tracking id", "Status", "Created", "Ended", "Ids", "Requests"],
        (
            [
                job["job_id"],
                job["tracking_id"] + (" (given by hand)" if job["adopted"] else ""),
                job["status"],
                _when(job["created_at"]),
                _when(job["ended_at"]),
                job["ids"],
                job["requests"],
            ]
            for job in [*told["earlier_mixpanel_jobs"], *told["mixpanel_jobs"]]
        ),
    )
    for erasure in told.get("lake_erasures", []):
        yield from _erasure(erasure)
    if "scope" in told:
        yield "## What was searched"
        yield ""
        yield from (f"- {text}" for text in told["scope"]["searched"])
        yield ""
        yield "## What this does not prove"
        yield ""
        yield from (f"- {text}" for text in told["scope"]["limits"])
        yield ""
    if "dagster" in told:
        yield "## Dagster's storage"
        yield ""
        yield f"This version records {told['dagster']['recorded_there']}. What older ones recorded was removed by"
        yield f"`mixpanel-etl gdpr scrub-dagster`: {_when(told['dagster']['scrubbed_at'])}."
        yield ""
    if "delivery" in told:
        yield from _delivery(told["delivery"])


def _evidence(ids: dict[str, Any]) -> Iterator[str]:
    """How certain it is that the ids are those of the people, and when what was asked about them."""
    claimed, accepted = ids.get("claimed", 0), ids.get("accepted", 0)
    yield f"- ids that were merely claimed: {claimed}, of which a person accepted: {accepted}"
    yield f"- named ids that neither the lake nor Mixpanel has ever seen: {ids.get('never_seen', 0)}"
    for source in ids.get("sources", []):
        limits = f", {source['limits']}" if source.get("limits") else ""
        problem = f", could not be asked: {source['problem']}" if source.get("problem") else ""
        asked, found = source.get("asked", 0), source.get("found", 0)
        yield f"- {source['name']}, as of {_when(source.get('as_of'))}{limits}: {found} of {asked} found{problem}"
    for again in ids.get("repeated", []):
        before = {"jobs": "Mixpanel's job", "erasures": "the erasure of the lake"}[again["before"]]
        found = f"{again['new_ids']} new ids, {again['new_claims']} new claims"
        yield f"- looked for again before {before}, {_when(again['at'])}: {found}"


def _decision(one: dict[str, Any]) -> str:
    claims = f": {one.get('accepted', 0)} claims accepted, {one.get('declined', 0)} declined"
    detail = f" ({one['detail']})" if one.get("detail") else ""
    return f"{one['what']} by {one['by']}, {_when(one['at'])}{claims if one['what'] == 'confirmed' else ''}{detail}"


def _erasure(erasure: dict[str, Any]) -> Iterator[str]:
    yield from _table(
        f"The lake, {_when(erasure['recorded_at'])}",
        ["Table", "Files", "Rewritten", "Rows removed", "Values blanked"],
        (
            [
                name,
                table["files_scanned"],
                table["files_rewritten"] + table["files_rewritten_before"],
                table["rows_removed"] + table["rows_removed_before"],
                table["values_blanked"],
            ]
            for name, table in erasure["tables"].items()
        ),
    )
    yield f"- requests erased together: {erasure['requests']}"
    yield f"- final scan: {erasure['files_scanned']} files read, rows found: {erasure['remaining']}"
    yield f"- their rows are left out of exports until {_when(erasure['suppressed_until'])}"
    yield ""
    for name, table in erasure["tables"].items():
        yield from (f"- {name}: `{file}`" for file in table["files"])
    yield ""


def _delivery(delivery: dict[str, Any]) -> Iterator[str]:
    rows = ([f"`{name}`", size] for name, size in delivery["files"].items())
    yield from _table(f"Delivered {_when(delivery['delivered_at'])}", ["File", "Bytes"], rows)
    yield f"To `{delivery['uri']}`, from where it is removed after {_when(delivery['expires_at'])}."
    yield ""


def _table(title: str, names: list[str], rows: Iterable[list[Any]]) -> Iterator[str]:
    yield f"## {title}"
    yield ""
    yield f"| {' | '.join(names)} |"
    yield f"|{'---|' * len(names)}"
    yield from (f"| {' | '.join(map(str, row))} |" for row in rows)
    yield ""


def _when(time: str | None) -> str:
    return f"{datetime.fromisoformat(time):%Y-%m-%d %H:%M} UTC" if time else "never"
