"""What profiles and activities say of requests: who has an e-mail address, and which ids have ever been seen.

Both are asked for twice, in the newest snapshot of the lake (or its rows) and in Mixpanel: a snapshot is old, and may
be filtered; Mixpanel has forgotten profiles that were deleted since.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

import msgspec
import pyarrow.parquet as pq

from mixpanel_etl.client import Mixpanel, MixpanelError
from mixpanel_etl.gdpr.ledger_entries import Source
from mixpanel_etl.gdpr.redaction import GdprError, without_ids
from mixpanel_etl.lake.provenance import read_record
from mixpanel_etl.lake.storage import Storage, storage

_VALUES_A_QUERY = 50
_PROFILES_A_QUERY = 500
_ACTIVITIES_A_QUERY = 20
#: A query's budget is 60 an hour, for everything: beyond this number, ids stay unseen, and a person decides.
_MAX_ACTIVITY_QUERIES = 5
#: How far back activities are asked for: what is older is in the lake.
_RECENT = timedelta(days=30)
_SNAPSHOT_SOURCES = ("engage", "jql")


@dataclass
class Found:
    """What was found by value or id.

    Attributes:
        ids: distinct ids of the profiles that have a value; a value without a profile is missing.
        sources: what was asked.
    """

    ids: dict[str, tuple[str, ...]] = field(default_factory=dict)
    sources: tuple[Source, ...] = ()


class Directory(Protocol):
    """Where people are looked up."""

    def look_up(self, values: Collection[str]) -> Found:
        """The distinct ids of the profiles in which the lookup property has one of some values, in any case."""

    def seen(self, ids: Collection[str]) -> Found:
        """Which ids Mixpanel has seen: each that it has leads to itself in `Found.ids`."""


@dataclass(frozen=True)
class Profiles:
    """The `Directory` of a project: its profiles in the lake, and Mixpanel.

    Attributes:
        lake: path, `file://` or `s3://` URI.
        table: folder of the snapshots of profiles in the lake.
        name: profile property that lookups name, as `$email`.
        mixpanel: opens a client.
        now: the aware present.
        project_id: of Mixpanel; snapshots of other projects do not count.
    """

    lake: str
    table: str
    name: str
    mixpanel: Callable[[], AbstractContextManager[Mixpanel]]
    now: Callable[[], datetime]
    project_id: int | None = None

    def look_up(self, values: Collection[str]) -> Found:
        """See `Directory.look_up`. A query for each 50 values.

        Raises:
            GdprError: Mixpanel could not be asked.
        """
        wanted: dict[str, set[str]] = {value.casefold(): set() for value in values}
        sources = []
        if snapshot := self._newest_snapshot():
            name, record = snapshot
            before = sum(map(bool, wanted.values()))
            self._collect(wanted, _of_snapshot(storage(self.lake), name, values))
            sources.append(_source_of(record, len(values), sum(map(bool, wanted.values())) - before))
        in_mixpanel: dict[str, set[str]] = {value: set() for value in wanted}
        asked_at = self.now()
        problem = ""
        try:
            with self.mixpanel() as client:
                self._collect(in_mixpanel, _of_mixpanel(client, self.name, values))
        except MixpanelError as error:
            problem = f"{len(values)} lookups could not be sent to Mixpanel: {without_ids(str(error), values)}"
        if problem:
            raise GdprError(problem)  # out here: the original names persons
        known = sum(map(bool, in_mixpanel.values()))
        sources.append(Source(name="Mixpanel profiles", as_of=asked_at, asked=len(values), found=known))
        found = {value: wanted[value.casefold()] | in_mixpanel[value.casefold()] for value in values}
        return Found({value: tuple(sorted(ids)) for value, ids in found.items() if ids}, tuple(sources))

    def seen(self, ids: Collection[str]) -> Found:
        """See `Directory.seen`: profiles, and events of the last 30 days. What can't be asked is not seen."""
        sources, known, asked_at = [], set[str](), self.now()
        for name, ask in (("Mixpanel profiles", _with_profiles), ("Mixpanel activity", _with_events)):
            left = sorted(set(ids) - known)
            if not left:
                break
            found, problem = set[str](), ""
            try:
                with self.mixpanel() as client:
                    for some in ask(client, left, asked_at):
                        found |= some & set(left)
            except MixpanelError as error:  # nothing of its text: it may name persons
                problem = f"{type(error).__name__}{f' ({error.status})' if error.status else ''}"
            known |= found
            sources.append(Source(name=name, as_of=asked_at, asked=len(left), found=len(found), problem=problem))
        return Found({one: (one,) for one in known}, tuple(sources))

    def _newest_snapshot(self) -> tuple[str, dict[str, Any]] | None:
        """The snapshot of users that was asked for last, as its file's record says; a name alone proves nothing."""
        store = storage(self.lake)
        found = []
        for name in store.names(self.table, "/data.parquet"):
            with store.open(name) as handle:
                record = read_record(pq.read_metadata(handle))
            is_of_users = record.get("source") in _SNAPSHOT_SOURCES and record.get("data_group_id") is None
            is_ours = None in (self.project_id, record.get("project_id")) or record["project_id"] == self.project_id
            if is_of_users and is_ours and "requested_at" in record:
                found.append((datetime.fromisoformat(record["requested_at"]), name, record))
        if not found:
            return None
        _, name, record = max(found, key=lambda one: one[:2])
        return name, record

    def _collect(self, wanted: dict[str, set[str]], profiles: Iterable[tuple[str, dict[str, Any]]]) -> None:
        for distinct_id, properties in profiles:
            held = properties.get(self.name)
            for value in held if isinstance(held, list) else [held]:
                if (key := str(value).casefold()) in wanted:
                    wanted[key].add(distinct_id)


def _source_of(record: dict[str, Any], asked: int, found: int) -> Source:
    limits = [name for name in ("where", "cohort", "output_properties") if record.get(name) is not None]
    return Source(
        name="profile snapshot",
        as_of=datetime.fromisoformat(record["requested_at"]),
        asked=asked,
        found=found,
        limits=f"filtered by {', '.join(limits)}" if limits else "",
    )


def _of_snapshot(store: Storage, name: str, values: Collection[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    import polars as pl

    with store.open(name) as handle:
        for batch in pq.ParquetFile(handle).iter_batches(columns=["distinct_id", "properties"]):
            frame = pl.DataFrame({"id": batch["distinct_id"].to_pylist(), "text": _texts(batch["properties"])})
            near = frame.filter(pl.col("text").str.contains_any(list(values), ascii_case_insensitive=True))
            for distinct_id, text in near.iter_rows():
                yield distinct_id, msgspec.json.decode(text)


def _texts(column: Any) -> list[str]:
    return [str(value) for value in getattr(column, "storage", column).to_pylist()]


def _of_mixpanel(client: Mixpanel, name: str, values: Collection[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    spellings = list(dict.fromkeys(spelling for value in values for spelling in (value, value.lower())))
    for some in _parts(spellings, _VALUES_A_QUERY):
        conditions = (f"properties[{json.dumps(name)}] == {json.dumps(v, ensure_ascii=False)}" for v in some)
        for page in client.query.engage(where=" or ".join(conditions), output_properties=[name]):
            for profile in page.results:
                yield profile.distinct_id, dict(profile.properties)


def _with_profiles(client: Mixpanel, ids: list[str], now: datetime) -> Iterator[set[str]]:  # noqa: ARG001
    for some in _parts(ids, _PROFILES_A_QUERY):
        for page in client.query.engage(distinct_ids=some, output_properties=["$last_seen"]):
            yield {profile.distinct_id for profile in page.results}


def _with_events(client: Mixpanel, ids: list[str], now: datetime) -> Iterator[set[str]]:
    today = (now - timedelta(hours=12)).date()  # nowhere is it still the day before
    for some in _parts(ids, _ACTIVITIES_A_QUERY)[:_MAX_ACTIVITY_QUERIES]:
        events = client.query.stream_query(some, today - _RECENT, today)
        yield {
            str(event.properties.get(name))
            for event in events
            for name in ("distinct_id", "$distinct_id", "$device_id", "$user_id")
        }


def _parts(values: list[str], size: int) -> list[list[str]]:
    return [values[start : start + size] for start in range(0, len(values), size)]
