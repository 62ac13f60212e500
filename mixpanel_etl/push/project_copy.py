"""The events of one project's lake as events of another project: ids, times and properties are what they were.

Source: mixpanel-api.md#export-records (what Mixpanel adds to an event), mixpanel-api.md#import (what it takes).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import available_timezones

import msgspec
import pyarrow as pa

from mixpanel_etl.client.ingestion.events import EARLIEST, INSERT_ID, MAX_AHEAD, MAX_BYTES, MAX_MEMBERS, check_nested
from mixpanel_etl.lake import EventsTable
from mixpanel_etl.lake.event_columns import CORE_SCHEMA, replace_surrogate_escapes
from mixpanel_etl.push.event_values import HALVED, PLACEHOLDER, altered
from mixpanel_etl.push.push_error import PushError
from mixpanel_etl.reserved_ids import RESERVED_IDS

if TYPE_CHECKING:
    import polars as pl

#: Properties that Mixpanel writes into every event that it receives: these describe the first arrival, and would be
#: overwritten.
OVERWRITTEN = ("$import", "$mp_api_endpoint", "$mp_api_timestamp_ms", "$mp_event_size", "mp_processing_time_ms")
_OWN = ("time", "$insert_id", "ip", "token")
_Members = dict[str, msgspec.Raw]
_PEOPLE = ["distinct_id", "user_id", "device_id"]
_EARLIEST = int(EARLIEST.timestamp() * 1000)


@dataclass(frozen=True)
class ProjectMapping:
    """The lake of another project, whose events are copied.

    Attributes:
        source: path or URI of that lake.
        table: its folder of events.
        time_zone: in which its days are cut: UTC, or the time zone of a project from before 2023.

    Raises:
        PushError: no such time zone.
    """

    source: str
    table: str = "events"
    time_zone: str = "UTC"

    def __post_init__(self) -> None:
        if self.time_zone not in available_timezones():
            raise PushError(f"time_zone is {self.time_zone!r}: give an IANA name, as Europe/Berlin")

    @property
    def events(self) -> EventsTable:
        return EventsTable(self.source, self.table)

    @property
    def person_columns(self) -> list[str]:
        """Those that say whose a row is."""
        return _PEOPLE

    def of(self, schema: pa.Schema) -> CopiedEvents:  # noqa: ARG002 - the lake's schema is always the same
        """The copy, with nothing in it yet."""
        return CopiedEvents()

    def count(self, day: date) -> int:
        """How many events the lake has of a day; 0 when it has none."""
        published = self.events.day(day)
        return published.rows if published else 0

    def rows(self, day: date, to_project: int | None = None) -> pa.RecordBatchReader:
        """The events of a day.

        Args:
            day: a partition of the lake.
            to_project: where they go to.

        Raises:
            PushError: the day is not in the lake, or the lake is that of the project to which its events would go.
        """
        published = self.events.day(day)
        if published is None:
            raise PushError(f"{self.events.uri} has no {day}: export that day first")
        from_project = published.provenance.get("project_id")
        if to_project is not None and from_project == to_project:
            raise PushError(
                f"{published.uri} was exported from project {to_project}, into which it would be copied: give "
                "env_prefix of the other project, or another source"
            )
        return pa.RecordBatchReader.from_batches(CORE_SCHEMA, self.events.batches(day))


@dataclass
class CopiedEvents:
    """Events on their way from one project to another.

    Attributes:
        overwritten: the fields that were left out because Mixpanel writes them itself, and how many events had each.
    """

    overwritten: Counter[str] = field(default_factory=Counter)

    def alterations(self, batch: pa.RecordBatch) -> dict[str, pl.Series]:
        """What is changed of events: see `ResolvedEvents.alterations`."""
        import polars as pl

        properties = pl.Series(_plain(batch.column("properties")), dtype=pl.String)
        halved = altered(properties, is_json=True)[HALVED]
        if "properties_as_sent" in batch.schema.names:
            halved |= pl.Series(batch.column("properties_as_sent").is_valid().to_pylist(), dtype=pl.Boolean)
        return {f"properties: {HALVED}": halved} if halved.any() else {}

    def encode(self, batch: pa.RecordBatch, now: datetime) -> pl.DataFrame:
        """The events of some rows of a lake: see `ResolvedEvents.encode`."""
        import polars as pl

        latest = int((now + MAX_AHEAD).timestamp() * 1000)
        columns = [_plain(batch.column(name)) for name in ("event_name", "distinct_id", "insert_id", "properties")]
        rows = [
            _Row(*values) for values in zip(batch.column("time").cast(pa.int64()).to_pylist(), *columns, strict=True)
        ]
        schema = dict.fromkeys(("line", "insert_id", "field", "message"), pl.String)
        found = zip(*(self._event(row, latest) for row in rows), strict=True)
        events = pl.DataFrame(dict(zip(schema, found, strict=False)), schema=schema)  # of no rows, no columns are found
        # Events that differ in their time are two in the other project, too, and must be two in this one.
        known = pl.DataFrame({"$event": columns[0], "$id": columns[1], "$ms": [row.time for row in rows]})
        return events.with_columns(
            known["$event"].alias("event"), pl.struct("insert_id", *known.get_columns()).hash().alias("identity")
        )

    def _event(self, row: _Row, latest: int) -> tuple[str, str, str | None, str | None]:
        """Line, insert_id, and what is wrong."""
        try:
            members: _Members = msgspec.json.decode(replace_surrogate_escapes(row.properties or "{}"), type=_Members)
        except (msgspec.DecodeError, RecursionError) as error:
            return "{}", _hash(msgspec.json.encode([row.event, row.time, row.insert_id])), "properties", str(error)
        for known in OVERWRITTEN:
            if members.pop(known, None) is not None:
                self.overwritten[known] += 1
        for own in _OWN:
            members.pop(own, None)
        insert_id = _insert_id(row, members)
        # Where it happened is among the properties; by our address it would be here (mixpanel-api.md#geolocation).
        properties = {"time": row.time, "$insert_id": insert_id, "ip": "0", **members}
        line = msgspec.json.encode({"event": row.event, "properties": properties})
        field, message = next(_faults(row, members, len(line), latest), (None, None))
        return line.decode(), insert_id, field, message


class _Row(NamedTuple):
    """An event of the lake; `time` in milliseconds."""

    time: int
    event: str | None
    distinct_id: str | None
    insert_id: str | None
    properties: str | None


def _insert_id(row: _Row, members: _Members) -> str:
    """The event's own where Mixpanel takes it; else a hash that is the same each time."""
    if row.insert_id is None:
        return _hash(msgspec.json.encode([row.event, row.time, members]))
    if INSERT_ID.fullmatch(row.insert_id) and row.insert_id.lower() not in RESERVED_IDS:
        return row.insert_id
    return _hash(row.insert_id.encode())


def _hash(content: bytes) -> str:
    return blake2b(content, digest_size=16).hexdigest()


def _faults(row: _Row, members: _Members, size: int, latest: int) -> Iterator[tuple[str, str]]:
    """The fields that Mixpanel would not take, and why."""
    if not row.event:
        yield "event", "the event has no name"
    if row.time < _EARLIEST:
        yield "time", "before 1971"
    if row.time > latest:
        yield "time", "more than an hour in the future"
    if row.distinct_id is None and not ("$user_id" in members or "$device_id" in members):
        yield "distinct_id", "distinct_id is missing"
    if row.distinct_id and row.distinct_id.lower() in RESERVED_IDS:
        yield "distinct_id", PLACEHOLDER.format(row.distinct_id)
    count = len(members) + 3  # time, $insert_id, ip
    if count > MAX_MEMBERS:
        yield "", f"{count} properties, at most {MAX_MEMBERS} are allowed"
    if size > MAX_BYTES:
        yield "", f"{size} bytes, an event must be smaller than 1 MB"
    text = row.properties or ""
    if "[" in text or text.count("{") > 1:  # most events have nothing nested
        yield from _nested_faults(members)


def _nested_faults(members: _Members) -> Iterator[tuple[str, str]]:
    for key, value in members.items():
        if bytes(value)[:1] in (b"{", b"["):
            try:
                check_nested(key, msgspec.json.decode(value))
            except (ValueError, TypeError) as error:
                yield key, str(error)


def _plain(column: pa.Array) -> list[str | None]:
    values: list[str | None] = (column.storage if isinstance(column, pa.ExtensionArray) else column).to_pylist()
    return values
