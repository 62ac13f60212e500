"""The end of a request: the lake is erased, and the certificate written."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from mixpanel_etl.errors import listed
from mixpanel_etl.gdpr import certificate
from mixpanel_etl.gdpr.erasure import Erasure, erase
from mixpanel_etl.gdpr.ledger import Ledger
from mixpanel_etl.gdpr.ledger_entries import Entry, Job
from mixpanel_etl.gdpr.progress import Progress
from mixpanel_etl.gdpr.redaction import GdprError
from mixpanel_etl.gdpr.request_expansion import expand_again
from mixpanel_etl.gdpr.suppression_list import Suppression
from mixpanel_etl.lake.leases import Lease
from mixpanel_etl.lake.suppression import hasher

#: Deleted rows still show in raw exports for so long (mixpanel-api.md#deleted-events).
LINGERING = timedelta(days=30)
#: What a deletion takes at most, before they begin to linger (mixpanel-api.md#gdpr-jobs).
_DELETION = timedelta(days=30)


class NotErased(GdprError):
    """The final scan still found rows. The requests stay open."""


def erase_from_lake(
    ledger: Ledger, progress: Sequence[Progress], now: datetime, protected: Collection[str] = ()
) -> list[Entry]:
    """Remove the people of requests from the lake together, and keep re-exports from bringing them back.

    Their ids are looked for once more before. Running it again after a crash goes on where it was. Processes that do
    it at the same time do it one after the other, and each request is erased by one of them.

    Args:
        ledger: ledger of the lake.
        progress: the requests.
        now: aware time.
        protected: see `request_expansion.expand_requests`.

    Returns:
        The requests as they are in the ledger now.

    Raises:
        NotErased: ids of some requests were still found, or files could not be read. The other requests are
            recorded as erased.
        LeaseHeld: another process erases for longer than a lease is waited for; the message says which.
    """
    if not progress:
        return []
    with ledger.locked("erasures") as held:
        return _erase(ledger, _not_erased_since(ledger, progress), now, protected, held)


def _not_erased_since(ledger: Ledger, progress: Sequence[Progress]) -> list[Progress]:
    """Without those that another process erased after they were read."""
    recorded = {entry.request_id: len(entry.erasures) for entry in ledger.entries()}
    return [one for one in progress if recorded.get(one.entry.request_id) == len(one.entry.erasures)]


def _erase(
    ledger: Ledger, progress: Sequence[Progress], now: datetime, protected: Collection[str], lease: Lease
) -> list[Entry]:
    entries = expand_again(ledger, progress, "erasures", now, protected)
    ids = {one for entry in entries for one in entry.all_ids}
    if not ids:
        return []
    ended = all(each.state(now) == "ended" for each in progress)
    until = now + LINGERING + (timedelta(0) if ended else _DELETION)
    # Before: every publication from now on leaves these people out.
    Suppression(ledger.lake).add(ids, until)
    erasure = erase(ledger.lake, ids)
    hash_of = hasher(ledger.storage)
    # A file that can't be read may hold any of them.
    left = [one for one in entries if erasure.unread or erasure.remaining_hashes & set(map(hash_of, one.all_ids))]
    lease.check()
    record = certificate.erasure_record(erasure, len(entries), now, until)
    done = [
        ledger.change(one, lambda entry: entry.replace(erasures=(*entry.erasures, record)))
        for one in entries
        if one not in left
    ]
    if left:
        raise NotErased(_reason(erasure, len(left), len(entries)))
    return done


def _reason(erasure: Erasure, held: int, requests: int) -> str:
    said = [f"{held} of {requests} requests are not erased from the lake; the others are"]
    if erasure.unread:
        said.append(
            f"{len(erasure.unread)} files can't be read: {listed(erasure.unread)}; "
            "repair them or move them out of the lake"
        )
    if erasure.misnamed:
        said.append(f"files in {', '.join(erasure.misnamed)} are called after one of the ids: rename or remove them")
    if not (erasure.unread or erasure.misnamed):
        said.append(f"{erasure.remaining} rows were still found: check that nothing else writes to the lake")
    return ". ".join([*said, "Then run this again"])


def certify(ledger: Ledger, one: Progress, jobs: Sequence[Job], now: datetime, project_id: int | None = None) -> Entry:
    """Write the certificate of a request of which only this is missing.

    Args:
        ledger: of the lake.
        one: the request.
        jobs: all of the ledger.
        now: aware.
        project_id: of Mixpanel, where it is known.

    Returns:
        The request as it is when it is completed, without any personal id; see `close`.
    """
    done = one.entry.forgotten(ledger.lake).replace(completed_at=now)
    certificate.write(
        ledger.storage, certificate.certificate(done, jobs, ledger.storage.uri("").rstrip("/"), project_id)
    )
    return done


def close(ledger: Ledger, done: Entry) -> Entry:
    """Remove the ids of a certified request."""
    return ledger.change(done, lambda _: done)
