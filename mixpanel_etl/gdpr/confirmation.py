"""What a person decides about ids that are not certain: which of the claimed ones belong to the person of a request."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import nullcontext
from datetime import datetime
from functools import partial
from typing import Any

from mixpanel_etl.client import Gdpr, MixpanelError
from mixpanel_etl.gdpr.data_subject_requests import names_a_person
from mixpanel_etl.gdpr.decisions import leave_jobs
from mixpanel_etl.gdpr.evidence import REASONS
from mixpanel_etl.gdpr.ledger import Ledger, LedgerError
from mixpanel_etl.gdpr.ledger_entries import Decision, Entry
from mixpanel_etl.gdpr.progress import Progress, open_requests, progress_of
from mixpanel_etl.gdpr.request_expansion import DOUBTS

Now = Callable[[], datetime]


def confirm(
    ledger: Ledger, gdpr: Callable[[], Gdpr], choices: Mapping[str, Collection[int]], now: Now, *, by: str
) -> tuple[list[Entry], list[Exception]]:
    """Decide which of the claimed ids belong to the people of requests. Those that are not accepted are declined.

    What is decided can be decided again until Mixpanel's job has ended (a deletion: has STARTED). Declining an id
    that is in a job cancels the job; its other requests get another one.

    Args:
        ledger: ledger of the lake.
        gdpr: opens the client's GDPR API; called only if a job has to be cancelled.
        choices: by request id, the numbers of the accepted claims, as `Evidence.number` has them.
        now: the aware present.
        by: who decides.

    Returns:
        The requests as they are in the ledger now, and an error for each that stays as it was: there is no such open
        request, nothing of it needs a decision, a number is unknown, no id would be left, or it is too late.
    """
    progress = {one.entry.request_id: one for one in open_requests(ledger, choices)}
    done, errors = list[Entry](), list[Exception]()
    for request_id, accepted in choices.items():
        try:
            one = progress.get(request_id) or Progress(ledger.entry(request_id), ())
            done.append(_confirm(ledger, gdpr, one, accepted, now, by=by))
        except (LedgerError, MixpanelError) as error:
            errors.append(error)
    return done, errors


def waiting_for(entry: Entry) -> Iterator[str]:
    """Why a request waits for a person, without naming anybody."""
    for reason in entry.in_doubt:
        if reason == "claims":
            yield from _claims(entry)
        elif reason == "never_seen" and entry.expansion:
            yield f"{entry.expansion.never_seen} of {entry.expansion.asked} {DOUBTS[reason]}"
        else:
            yield DOUBTS[reason]


def _confirm(
    ledger: Ledger, gdpr: Callable[[], Gdpr], one: Progress, accepted: Collection[int], now: Now, *, by: str
) -> Entry:
    entry = one.entry
    _check(one, accepted, now())
    declined_now = [claim.id for claim in entry.claims if claim.accepted and claim.number not in accepted]
    accepted_now = [claim.id for claim in entry.claims if not claim.accepted and claim.number in accepted]
    if one.jobs and declined_now:
        leave_jobs(ledger, gdpr, one, now)
    kept = () if declined_now else tuple(job.job_id for job in one.jobs)
    decide = partial(
        _decided,
        accepted=frozenset(accepted),
        new=tuple(accepted_now),
        expand=bool(accepted_now or declined_now) and not kept,
        by=by,
        at=now(),
    )

    def change(current: Entry) -> Entry:
        (seen_now,) = progress_of([current], ledger.jobs())
        if tuple(job.job_id for job in seen_now.jobs) != kept or current.claims != entry.claims:
            raise LedgerError(f"request {entry.request_id} has changed meanwhile: look at its evidence again")
        return decide(current)

    with ledger.locked() if entry.settled_at else nullcontext():  # no job is created for one that is not settled
        return ledger.change(entry, change)


def _claims(entry: Entry) -> Iterator[str]:
    claims = [claim for claim in entry.claims if claim.is_open]
    for reason, text in REASONS.items():
        if count := sum(claim.reason == reason for claim in claims):
            yield f"{count} claimed {'id' if count == 1 else 'ids'} ({text})"


def _check(one: Progress, accepted: Collection[int], now: datetime) -> None:
    entry, numbers = one.entry, {claim.number for claim in one.entry.claims}
    name = f"request {entry.request_id}"
    if entry.is_closed:
        raise LedgerError(f"{name} is {one.state(now)} already")
    if entry.expanded_at is None and not entry.expansion:
        raise LedgerError(f"{name} is not expanded yet: wait until its step `requests` has run")
    if not entry.claims and not entry.doubts:
        raise LedgerError(f"{name} needs no decision: all of its ids are certain")
    if unknown := sorted(set(accepted) - numbers):
        raise LedgerError(f"{name} has no claim {unknown[0]}; its claims: {', '.join(map(str, sorted(numbers)))}")
    chosen = [claim.id for claim in entry.claims if claim.number in accepted]
    if not entry.request.ids and not chosen:
        raise LedgerError(f"{name} would have no id left; `mixpanel-etl gdpr cancel {entry.request_id}` ends it")
    if names_a_person(entry.request_id, chosen):
        raise LedgerError(
            f"{name} contains an accepted id, which would outlive the request: cancel it and use another request_id"
        )
    if not entry.in_doubt and one.jobs and all(job.ended_at for job in one.jobs):
        raise LedgerError(f"the Mixpanel job of {name} has ended: what was decided can't be changed any more")
    decided = [claim for claim in entry.claims if claim.accepted and claim.number not in accepted]
    if decided and one.jobs and any(job.ended_at for job in one.jobs):
        raise LedgerError(f"the Mixpanel job of {name} has ended: claim {decided[0].number} can't be declined any more")


def _decided(
    entry: Entry, *, accepted: Collection[int], new: tuple[str, ...], expand: bool, by: str, at: datetime
) -> Entry:
    evidence = tuple(
        one.replace(accepted=one.number in accepted) if one.grade == "claimed" else one for one in entry.evidence
    )
    changes: dict[str, Any] = {
        "evidence": evidence,
        "confirmed_doubts": entry.doubts,
        "cancelling_at": None,
        "decisions": (
            *entry.decisions,
            Decision(
                what="confirmed",
                by=by,
                at=at,
                accepted=len(accepted),
                declined=len(entry.claims) - len(accepted),
                detail=", ".join(entry.in_doubt),
            ),
        ),
    }
    if expand:  # from the accepted ids others may follow, which are shown before anything is sent
        changes |= {"expanded_at": None, "settled_at": None}
    elif new:  # its jobs go on; the new ids get one of their own, and what was done after them is done again
        changes |= {"ids": tuple(dict.fromkeys((*entry.ids, *new))), "outcome": "", "delivery": None}
    else:
        changes["settled_at"] = entry.settled_at or at
    return entry.replace(**changes)
