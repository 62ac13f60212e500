"""What follows when Mixpanel is done: the lake is erased, and the certificate written."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from mixpanel_etl.gdpr import certificate
from mixpanel_etl.gdpr.erasure import erase
from mixpanel_etl.gdpr.errors import GdprError
from mixpanel_etl.gdpr.expansion import expand_again
from mixpanel_etl.gdpr.ledger import Entry, Job, Ledger
from mixpanel_etl.gdpr.progress import Progress
from mixpanel_etl.gdpr.suppression import Suppression

#: Deleted rows still show in raw exports for so long (api-facts 1.3).
LINGERING = timedelta(days=30)
#: What a deletion takes at most, before they begin to linger (api-facts 7).
_DELETION = timedelta(days=30)


class NotErased(GdprError):
    """The final scan still found rows. The requests stay open."""


def erase_from_lake(
    ledger: Ledger, progress: Sequence[Progress], now: datetime, protected: Collection[str] = ()
) -> list[Entry]:
    """Remove the people of requests from the lake together, and keep re-exports from bringing them back.

    Their ids are looked for once more before. Running it again after a crash goes on where it was.

    Args:
        ledger: ledger of the lake.
        progress: the requests.
        now: aware time.
        protected: see `expansion.expand_requests`.

    Returns:
        The requests as they are in the ledger now.

    Raises:
        NotErased: the final scan found rows all the same.
    """
    if not progress:
        return []
    entries = expand_again(ledger, progress, "erasures", now, protected)
    ids = {one for entry in entries for one in entry.all_ids}
    ended = all(each.state(now) == "ended" for each in progress)
    until = now + LINGERING + (timedelta(0) if ended else _DELETION)
    # Before: whoever publishes a day from now on leaves these people out.
    Suppression(ledger.lake).add(ids, until)
    erasure = erase(ledger.lake, ids)
    if erasure.remaining:
        unread = f", and {len(erasure.unread)} files can't be read ({erasure.unread[0]}...)" if erasure.unread else ""
        raise NotErased(
            f"{erasure.remaining} rows of the people of {len(progress)} requests are still in the lake after the "
            f"erasure{unread}. See that nothing else writes to it, and run this again"
        )
    record = certificate.erasure_record(erasure, len(progress), now, until)
    return [ledger.change(each, lambda entry: entry.but(erasures=(*entry.erasures, record))) for each in entries]


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
    done = one.entry.forgotten(ledger.lake).but(completed_at=now)
    certificate.write(
        ledger.storage, certificate.certificate(done, jobs, ledger.storage.uri("").rstrip("/"), project_id)
    )
    return done


def close(ledger: Ledger, done: Entry) -> Entry:
    """Forget whom a certified request is about."""
    return ledger.change(done, lambda _: done)
