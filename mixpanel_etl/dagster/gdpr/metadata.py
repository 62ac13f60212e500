"""What Dagster shows of a data subject request: counts, hashes, times; no personal id."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import dagster as dg
import msgspec

from mixpanel_etl.gdpr import certificate
from mixpanel_etl.gdpr.confirmation import waiting_for
from mixpanel_etl.gdpr.ledger import Ledger
from mixpanel_etl.gdpr.progress import ROW, Progress, Step

#: Requests that the text of a check names.
_MAX_ROWS = 200


def step_metadata(ledger: Ledger, one: Progress, step: Step, now: datetime) -> dict[str, Any]:
    """The metadata of a step that is done."""
    details = {
        "requests": _request,
        "jobs": _jobs,
        "outcomes": _jobs,
        "erasures": _erasure,
        "deliveries": _delivery,
        "certificates": _certificate,
    }
    shown = {**request_metadata(one, now), **details[step](ledger, one)}
    return {f"mixpanel_etl/{name}": value for name, value in shown.items() if value is not None}


def request_metadata(one: Progress, now: datetime) -> dict[str, Any]:
    """What is shown of a data subject request at every step."""
    return {
        "kind": one.entry.request.kind,
        "compliance_type": one.entry.request.compliance,
        "state": one.state(now),
        "deadline": dg.MetadataValue.timestamp(one.deadline),
        "days_left": (one.deadline - now).days,
    }


def table_of(progress: Iterable[Progress], now: datetime) -> dg.MetadataValue:
    """Data subject requests as a table, the one with the closest deadline first; at most 200."""
    rows = sorted(progress, key=lambda one: one.deadline)[:_MAX_ROWS]
    columns = [dg.TableColumn(name) for name in ROW]
    return dg.MetadataValue.table([dg.TableRecord(one.row(now)) for one in rows], dg.TableSchema(columns))


def _request(ledger: Ledger, one: Progress) -> dict[str, Any]:
    entry, found = one.entry, one.entry.expansion
    if entry.rejected:
        return {"rejected": entry.rejected}
    return {
        "ids_asked": found and found.asked,
        "ids_found_by_lookup": found and found.found_by_lookup,
        "ids": found and found.total,
        "ids_shared_with_others": found and found.shared,
        "ids_claimed": found and found.claimed,
        "ids_accepted": found and found.accepted,
        "ids_never_seen": found and found.never_seen,
        "waits_for": "; ".join(waiting_for(entry)) or None,
        "asked": found and dg.MetadataValue.json(msgspec.to_builtins(found.sources)),
        "seen_in": found and dg.MetadataValue.json(found.seen_in),
        "id_hashes": dg.MetadataValue.json(list(entry.forgotten(ledger.lake).hashes)),
        "hold_until": dg.MetadataValue.timestamp(entry.hold_until) if entry.hold_until else None,
    }


def _jobs(ledger: Ledger, one: Progress) -> dict[str, Any]:  # noqa: ARG001
    jobs = one.jobs
    timestamps = {"created": [job.created_at for job in jobs], "ended": [job.ended_at for job in jobs]}
    return {
        "jobs": dg.MetadataValue.json([job.job_id for job in jobs]),
        "tracking_ids": dg.MetadataValue.json([job.tracking_id for job in jobs]),
        "status": ", ".join(sorted({job.status for job in jobs})),
        "requests_in_job": max((len(job.request_ids) for job in jobs), default=0),
        "polls": sum(job.polls for job in jobs),
        **{
            name: dg.MetadataValue.timestamp(max(known))
            for name, times in timestamps.items()
            if (known := [time for time in times if time])
        },
    }


def _erasure(ledger: Ledger, one: Progress) -> dict[str, Any]:  # noqa: ARG001
    last = one.entry.erasures[-1]
    return {
        "requests_erased_together": last["requests"],
        "rows_removed": {name: table["rows_removed"] for name, table in last["tables"].items()},
        "files_rewritten": sum(table["files_rewritten"] for table in last["tables"].values()),
        "files_scanned": last["files_scanned"],
        "rows_found_by_final_scan": last["remaining"],
        "suppressed_until": dg.MetadataValue.timestamp(datetime.fromisoformat(last["suppressed_until"])),
    }


def _delivery(ledger: Ledger, one: Progress) -> dict[str, Any]:  # noqa: ARG001
    delivery = one.entry.delivery
    if delivery is None:
        return {}
    return {
        "uri": dg.MetadataValue.path(delivery.uri),
        "files": delivery.files,
        "bytes": delivery.bytes,
        "expires": dg.MetadataValue.timestamp(delivery.expires_at),
    }


def _certificate(ledger: Ledger, one: Progress) -> dict[str, Any]:
    json_uri, markdown_uri = certificate.addresses(ledger.storage, one.entry.request_id)
    return {
        "certificate": dg.MetadataValue.md(certificate.markdown(ledger.storage, one.entry.request_id)),
        "json": dg.MetadataValue.path(json_uri),
        "markdown": dg.MetadataValue.path(markdown_uri),
    }
