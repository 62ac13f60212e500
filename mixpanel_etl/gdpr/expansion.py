"""From what a request names to all ids of its people: lookups among the profiles, then everything that was merged."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import msgspec

from mixpanel_etl.client import Mixpanel
from mixpanel_etl.gdpr.intake import rejected_table, write_refusal
from mixpanel_etl.gdpr.ledger import Entry, Expansion, Ledger
from mixpanel_etl.gdpr.people import Person, expand
from mixpanel_etl.gdpr.requests import Refusal, names_a_person, nobodys
from mixpanel_etl.lake.storage import Storage, storage

#: Finds people by values of a profile property: distinct ids by value.
Lookup = Callable[[Collection[str]], dict[str, tuple[str, ...]]]
_VALUES_A_QUERY = 50


def expand_requests(
    ledger: Ledger,
    request_ids: Iterable[str],
    look_up: Lookup,
    now: datetime,
    *,
    hold: timedelta = timedelta(0),
    protected: Collection[str] = (),
) -> list[Entry]:
    """Find all ids of the people of requests, and begin their hold. One that is expanded already stays as it is.

    Args:
        ledger: of the lake.
        request_ids: which; those that are over are passed over.
        look_up: see `Lookup`.
        now: aware.
        hold: how long a deletion waits before it goes to Mixpanel.
        protected: ids that belong to no single person. A request that leads to one is rejected.

    Returns:
        The requests as they are in the ledger now.
    """
    wanted = set(request_ids)
    entries = [entry for entry in ledger.entries() if entry.request_id in wanted]
    fresh = [entry for entry in entries if entry.expanded_at is None]
    found = look_up({value for entry in fresh for value in entry.request.lookups}) if fresh else {}
    asked = {entry.request_id: _asked(entry, found) for entry in fresh}
    people = expand(ledger.lake, {one for ids in asked.values() for one in ids}) if fresh else {}
    done = {}
    for entry in fresh:
        theirs = [people[one] for one in asked[entry.request_id]]
        ids = tuple(dict.fromkeys(one for person in theirs for one in person.ids))
        if reason := _reason(entry, ids, found, protected):
            done[entry.request_id] = _reject(ledger, entry, reason, now)
            continue
        changes: dict[str, Any] = {
            "ids": ids,
            "expansion": _expansion(entry, asked[entry.request_id], theirs, len(ids)),
            "expanded_at": now,
            "hold_until": now + hold if entry.request.kind == "deletion" else now,
        }
        done[entry.request_id] = ledger.change(entry, partial(Entry.but, **changes))
    return [done.get(entry.request_id, entry) for entry in entries]


def _expansion(entry: Entry, asked: Collection[str], people: Iterable[Person], total: int) -> Expansion:
    seen: Counter[str] = Counter()
    shared: set[str] = set()
    for person in {person.ids: person for person in people}.values():
        seen.update(person.seen_in)
        shared.update(person.shared)
    return Expansion(
        asked=len(entry.request.ids),
        found_by_lookup=len(asked) - len(entry.request.ids),
        total=total,
        seen_in=dict(sorted(seen.items())),
        shared=len(shared),
    )


def _asked(entry: Entry, found: dict[str, tuple[str, ...]]) -> list[str]:
    looked_up = (one for value in entry.request.lookups for one in found.get(value, ()))
    return list(dict.fromkeys([*entry.request.ids, *looked_up]))


def _reason(
    entry: Entry, everything: Sequence[str], found: dict[str, tuple[str, ...]], protected: Collection[str]
) -> str:
    """Why a request can't go on; empty when it can."""
    nobody = sum(1 for value in entry.request.lookups if not found.get(value))
    if nobody:
        return (
            f"{nobody} of its {len(entry.request.lookups)} lookups found nobody among the profiles; check the spelling "
            "and send it again under another request_id, with distinct_ids if they are known"
        )
    if names_a_person(entry.request_id, everything):
        return "its request_id contains an id of the person, and would outlive the request: give it a number"
    if shared := nobodys(everything):
        return f"its lookup leads to {shared!r}, which is nobody's id: many people's events have it"
    if set(protected).intersection(everything):
        return (
            "its ids lead to one on the list of protected ids, which belongs to no single person: leave out the id "
            "that shares a device or an alias with it"
        )
    return ""


def _reject(ledger: Ledger, entry: Entry, reason: str, now: datetime) -> Entry:
    key = f"{entry.request_id}~{entry.fingerprint}"
    refusal = Refusal(entry.request_id, entry.request.kind, reason, "")
    write_refusal(rejected_table(ledger.lake), key, refusal, "the expansion of its ids", now)
    return ledger.change(entry, lambda one: one.forgotten(ledger.lake).but(rejected=reason))


def look_up(
    lake: str, table: str, name: str, values: Collection[str], mixpanel: Callable[[], AbstractContextManager[Mixpanel]]
) -> dict[str, tuple[str, ...]]:
    """The distinct ids of the profiles in which a property has one of some values, in any case of letters.

    Args:
        lake: path or URI.
        table: of profiles in the lake, with `distinct_id` and `properties`; its newest partition is read.
        name: of the property, as `$email`.
        values: to be found.
        mixpanel: a client, asked about what the lake does not have: one query for 50 values.

    Returns:
        Ids by value; a value that nobody has is missing.
    """
    if not values:
        return {}
    wanted: dict[str, set[str]] = {value.casefold(): set() for value in values}
    _collect(wanted, name, _of_lake(storage(lake), table, values))
    missing = sorted(value for value in values if not wanted[value.casefold()])
    if missing:
        with mixpanel() as client:
            _collect(wanted, name, _of_mixpanel(client, name, missing))
    return {value: tuple(sorted(wanted[value.casefold()])) for value in values if wanted[value.casefold()]}


def _collect(wanted: dict[str, set[str]], name: str, profiles: Iterable[tuple[str, dict[str, Any]]]) -> None:
    for distinct_id, properties in profiles:
        held = properties.get(name)
        for value in held if isinstance(held, list) else [held]:
            if (key := str(value).casefold()) in wanted:
                wanted[key].add(distinct_id)


def _of_lake(store: Storage, table: str, values: Collection[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    files = store.names(table, "/data.parquet")
    if not files:
        return
    import polars as pl
    import pyarrow.parquet as pq

    with store.open(files[-1]) as handle:  # the newest day
        for batch in pq.ParquetFile(handle).iter_batches(columns=["distinct_id", "properties"]):
            frame = pl.DataFrame({"id": batch["distinct_id"].to_pylist(), "text": _texts(batch["properties"])})
            near = frame.filter(pl.col("text").str.contains_any(list(values), ascii_case_insensitive=True))
            for distinct_id, text in near.iter_rows():
                yield distinct_id, msgspec.json.decode(text)


def _texts(column: Any) -> list[str]:
    return [str(value) for value in getattr(column, "storage", column).to_pylist()]


def _of_mixpanel(client: Mixpanel, name: str, values: Collection[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    listed = list(values)
    for start in range(0, len(listed), _VALUES_A_QUERY):
        some = listed[start : start + _VALUES_A_QUERY]
        conditions = (f"properties[{json.dumps(name)}] == {json.dumps(v, ensure_ascii=False)}" for v in some)
        for page in client.query.engage(where=" or ".join(conditions), output_properties=[name]):
            for profile in page.results:
                yield profile.distinct_id, dict(profile.properties)
