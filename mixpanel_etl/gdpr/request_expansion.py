"""From what a request names to the ids of its people, each with its evidence; what is not certain waits for a person.

It is done when a request is taken in, again before its Mixpanel job is created, and again before the lake is erased.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Literal

import msgspec

from mixpanel_etl.gdpr.data_subject_requests import Rejection, names_a_person, reserved_id
from mixpanel_etl.gdpr.evidence import Evidence
from mixpanel_etl.gdpr.intake import rejected_table, write_rejection
from mixpanel_etl.gdpr.ledger import Ledger
from mixpanel_etl.gdpr.ledger_entries import Entry, Expansion, Job, Repetition, Source
from mixpanel_etl.gdpr.linked_ids import Person, expand_together
from mixpanel_etl.gdpr.profile_lookups import Directory, Found
from mixpanel_etl.gdpr.progress import Progress, progress_of
from mixpanel_etl.gdpr.redaction import GdprError

#: Why a request waits for a person, beside its claims.
DOUBTS = {
    "never_seen": "ids that it names were never seen, neither in the lake nor in Mixpanel",
    "too_many_ids": "its ids lead to more than 500 others, of which not all are listed",
    "unread_files": "files of the lake could not be read",
}


def expand_requests(
    ledger: Ledger,
    request_ids: Iterable[str],
    directory: Directory,
    now: datetime,
    *,
    hold: timedelta = timedelta(0),
    protected: Collection[str] = (),
) -> tuple[list[Entry], list[Exception]]:
    """Find the ids of the people of requests. One that is expanded already stays as it is.

    A request of which everything is certain begins its hold; another one waits until a person confirms it.

    Args:
        ledger: ledger of the lake.
        request_ids: which requests; those that are over are passed over.
        directory: where lookups are looked up, and ids that the lake has never seen.
        now: aware time.
        hold: how long a deletion waits before it goes to Mixpanel.
        protected: ids that belong to no single person. A request that names one is rejected; others are left out.

    Returns:
        The requests as they are in the ledger now, and what kept others from being expanded.
    """
    wanted = set(request_ids)
    entries = [entry for entry in ledger.entries() if entry.request_id in wanted]
    fresh = [entry for entry in entries if entry.expanded_at is None]
    errors = list[Exception]()
    looked_up, found = [entry for entry in fresh if entry.request.lookups and not entry.expansion], Found()
    if looked_up:
        try:
            found = directory.look_up({value for entry in looked_up for value in entry.request.lookups})
        except GdprError as error:
            errors.append(error)
            fresh = [entry for entry in fresh if entry not in looked_up]  # the others go on
    people = _people(ledger, fresh)
    unseen = {entry.request_id: _unseen(entry, people[entry.request_id]) for entry in fresh}
    known = directory.seen({one for ids in unseen.values() for one in ids}) if any(unseen.values()) else Found()
    done = {}
    for entry in fresh:
        if reason := _reason(entry, found, protected):
            done[entry.request_id] = _reject(ledger, entry, reason, now)
            continue
        person = people[entry.request_id]
        never_seen = [one for one in unseen[entry.request_id] if one not in known.ids]
        sources = (
            *(entry.expansion.sources if entry.expansion else ()),
            *(found.sources if entry in looked_up else ()),
            *(known.sources if unseen[entry.request_id] else ()),
        )
        claims = [*_found_by_lookup(entry, found), *person.evidence]
        expanded = _expanded(entry, person, claims, protected)
        until = now + hold if entry.request.kind == "deletion" else now
        changes: dict[str, Any] = {
            "doubts": _doubts(person, never_seen),
            "expansion": _expansion(expanded, person, len(never_seen), sources),
            "expanded_at": now,
            "hold_until": until,
        }
        expanded = expanded.replace(**changes)
        changes |= {"ids": expanded.ids, "evidence": expanded.evidence}
        changes["settled_at"] = None if expanded.in_doubt else now
        done[entry.request_id] = ledger.change(entry, partial(Entry.replace, **changes))
    return [done.get(entry.request_id, entry) for entry in entries], errors


def expand_again(
    ledger: Ledger,
    progress: Sequence[Progress],
    before: Literal["jobs", "erasures"],
    now: datetime,
    protected: Collection[str] = (),
) -> list[Entry]:
    """Look once more for the ids of requests, before their jobs are created or the lake is erased.

    What is certain is added; what is claimed waits for a person, and holds up nothing but the certificate.

    Args:
        ledger: ledger of the lake.
        progress: the requests.
        before: what comes next. Before the first job, ids that are not certain any more are claims again.
        now: aware time.
        protected: see `expand_requests`.

    Returns:
        The requests as they are in the ledger now.
    """
    people = _people(ledger, [one.entry for one in progress])
    again = partial(_again, before=before, now=now, protected=protected)
    with ledger.locked():  # no job is created meanwhile
        jobs = ledger.jobs()
        return [
            ledger.change(one.entry, partial(again, person=people[one.entry.request_id], jobs=jobs)) for one in progress
        ]


def _people(ledger: Ledger, entries: Sequence[Entry]) -> dict[str, Person]:
    if not entries:
        return {}
    return expand_together(ledger.lake, {entry.request_id: (*entry.request.ids, *entry.accepted) for entry in entries})


def _again(
    entry: Entry, *, person: Person, before: str, now: datetime, jobs: Sequence[Job], protected: Collection[str]
) -> Entry:
    if entry.expansion is None:
        return entry
    known = set(entry.all_ids)
    expanded = _expanded(entry, person, person.evidence, protected)
    new = [one for one in expanded.ids if one not in known]
    if before == "erasures":
        expanded = expanded.replace(ids=entry.ids, later_ids=(*entry.later_ids, *new))
    elif progress_of([entry], jobs)[0].jobs:  # jobs name ids by their places
        expanded = expanded.replace(ids=(*entry.ids, *new))
    repetition = Repetition(
        before=before, at=now, new_ids=len(new), new_claims=len(expanded.claims) - len(entry.claims)
    )
    expansion = msgspec.structs.replace(
        entry.expansion,
        total=len(expanded.all_ids),
        claimed=len(expanded.claims),
        accepted=len(expanded.accepted),
        repeated=(*entry.expansion.repeated, repetition),
    )
    return expanded.replace(expansion=expansion)


def _expanded(entry: Entry, person: Person, evidence: Iterable[Evidence], protected: Collection[str]) -> Entry:
    """The request with the ids that are certain or accepted, and all evidence: that of before with its decisions."""
    named = {*entry.request.ids, *entry.accepted}
    merged = {one.id: one for one in entry.evidence}
    number = max((one.number for one in entry.evidence), default=0)
    for one in evidence:
        before = merged.get(one.id)
        if one.id in protected or one.id in named:
            continue
        if one.grade == "certain":
            merged[one.id] = one
        elif before is None or before.grade == "certain":
            number += 1
            merged[one.id] = one.replace(number=number)
    ids = tuple(one for one in person.ids if one in named or one not in protected)
    return entry.replace(ids=ids, evidence=tuple(merged.values()))


def _found_by_lookup(entry: Entry, found: Found) -> list[Evidence]:
    profiles = {value: ids for value in entry.request.lookups if (ids := found.ids.get(value))}
    return [
        Evidence(id=one, grade="claimed", reason="lookup", place="lookup", rows=1, users=len(ids))
        for ids in profiles.values()
        for one in ids
    ]


def _unseen(entry: Entry, person: Person) -> list[str]:
    """Named ids without a row in the lake that no person has confirmed."""
    return [] if "never_seen" in entry.confirmed_doubts else [one for one in person.unseen if one in entry.request.ids]


def _doubts(person: Person, never_seen: Collection[str]) -> tuple[str, ...]:
    found: Mapping[str, object] = {
        "never_seen": never_seen,
        "too_many_ids": set(person.ids) & set(person.shared),
        "unread_files": person.unread,
    }
    return tuple(name for name in DOUBTS if found[name])


def _expansion(expanded: Entry, person: Person, never_seen: int, sources: tuple[Source, ...]) -> Expansion:
    return Expansion(
        asked=len(expanded.request.ids),
        found_by_lookup=sum(one.reason == "lookup" for one in expanded.evidence),
        total=len(expanded.ids),
        seen_in=dict(person.seen_in),
        shared=len(person.shared),
        claimed=len(expanded.claims),
        accepted=len(expanded.accepted),
        never_seen=never_seen or (expanded.expansion.never_seen if expanded.expansion else 0),
        unread=person.unread,
        sources=sources,
    )


def _reason(entry: Entry, found: Found, protected: Collection[str]) -> str:
    """Why a request can't go on; empty when it can."""
    unknown = sum(1 for value in entry.request.lookups if not found.ids.get(value)) if not entry.expansion else 0
    if unknown:
        return (
            f"{unknown} of its {len(entry.request.lookups)} lookups match no profile; check the spelling "
            "and send it again under another request_id, with distinct_ids if they are known"
        )
    looked_up = [one for value in entry.request.lookups for one in found.ids.get(value, ())]
    if names_a_person(entry.request_id, [*entry.request.ids, *looked_up]):
        return "its request_id contains an id of the person, and would outlive the request: give it a number"
    if shared := reserved_id(looked_up):
        return f"its lookup leads to {shared!r}, which is a placeholder id: the events of many people have it"
    if set(protected).intersection([*entry.request.ids, *looked_up]):
        return "one of its ids is on the list of protected ids, which belong to no single person"
    return ""


def _reject(ledger: Ledger, entry: Entry, reason: str, now: datetime) -> Entry:
    key = f"{entry.request_id}~{entry.fingerprint}"
    rejection = Rejection(entry.request_id, entry.request.kind, reason, "")
    write_rejection(rejected_table(ledger.lake), key, rejection, "the expansion of its ids", now)
    return ledger.change(entry, lambda one: one.forgotten(ledger.lake).replace(rejected=reason))
