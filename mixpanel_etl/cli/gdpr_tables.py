"""What `mixpanel-etl gdpr` prints: requests in 80 columns, and the evidence about ids."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import msgspec
from rich.table import Table

from mixpanel_etl.errors import listed
from mixpanel_etl.gdpr.confirmation import waiting_for
from mixpanel_etl.gdpr.evidence import REASONS, Evidence
from mixpanel_etl.gdpr.ledger_entries import Entry
from mixpanel_etl.gdpr.progress import Progress


def status_table(progress: Sequence[Progress], now: datetime) -> Table:
    """The requests, a line each; the jobs have lines of their own, see `jobs_of`."""
    table = Table(box=None, pad_edge=False)
    for name in ("request", "kind", "state", "deadline", "days", "ids"):
        table.add_column(name, overflow="fold", justify="right" if name in ("days", "ids") else "left")
    for one in progress:
        row = one.row(now)
        table.add_row(*(str(row[name]) for name in ("request_id", "kind", "state", "deadline", "days_left", "ids")))
    return table


def jobs_of(progress: Sequence[Progress]) -> Iterator[str]:
    """The Mixpanel jobs of requests, each with its status, tracking id and the first of its requests."""
    jobs = {job.job_id: job for one in progress for job in one.jobs}
    for job in jobs.values():
        status = job.status or "not known to exist"
        yield f"job {job.job_id}: {status}"
        yield f"    tracking id {job.tracking_id or 'unknown'}{' (given by hand)' if job.adopted else ''}"
        yield f"    {len(job.request_ids)} requests, {job.id_count} ids: {listed(job.request_ids)}"


def as_json(one: Progress, now: datetime) -> dict[str, Any]:
    """A request as `--json` prints it; no value names a person."""
    plain: dict[str, Any] = msgspec.to_builtins(
        {
            **one.row(now),
            "jobs": [
                {
                    "job_id": job.job_id,
                    "tracking_id": job.tracking_id,
                    "status": job.status,
                    "requests": len(job.request_ids),
                    "adopted": job.adopted,
                }
                for job in one.jobs
            ],
            "waits_for": list(waiting_for(one.entry)),
            "rejected": one.entry.rejected,
            "decisions": one.entry.decisions,
        }
    )
    return plain


def evidence_lines(entry: Entry) -> Iterator[str]:
    """The evidence about the ids of a request, for a person who decides. It names persons."""
    named = ", ".join((*entry.request.ids, *entry.request.lookups))
    yield f"request {entry.request_id}: {entry.request.kind} for {named}"
    for text in waiting_for(entry):
        yield f"  waits: {text}"
    for one in entry.evidence:
        if one.grade == "certain" and one.id in entry.all_ids:
            yield f"  certain    {one.id}"
            yield from _why(one)
    for one in entry.claims:
        decided = {None: "claim", True: "accepted", False: "declined"}[one.accepted]
        yield f"  {decided:<8} {one.number} {one.id}"
        yield from _why(one)


def evidence_json(entry: Entry) -> dict[str, Any]:
    """The same for programs. It names persons."""
    plain: dict[str, Any] = msgspec.to_builtins(
        {
            "request_id": entry.request_id,
            "kind": entry.request.kind,
            "named": entry.request.ids,
            "lookups": entry.request.lookups,
            "waits_for": list(waiting_for(entry)),
            "certain": [one for one in entry.evidence if one.grade == "certain" and one.id in entry.all_ids],
            "claims": [{**msgspec.to_builtins(one), "means": REASONS[one.reason]} for one in entry.claims],
        }
    )
    return plain


def _why(one: Evidence) -> Iterator[str]:
    yield f"      {REASONS[one.reason]}"
    if one.file:
        event = f" of an event {one.event}" if one.event else ""
        yield f"      {one.place} beside {one.tied_to}{event}: row {one.row} of {one.file}"
    rows = "1 row says so" if one.rows == 1 else f"{one.rows} rows say so"
    yield f"      {rows}; it joins {one.users} known {'user' if one.users == 1 else 'users'}"
