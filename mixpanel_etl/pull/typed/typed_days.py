"""A day of typed events, made of the day of all events that the lake has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mixpanel_etl.lake import EventsTable, Partition, Provenance, Table
from mixpanel_etl.pull.typed.seen_types import Seen
from mixpanel_etl.pull.typed.typed_columns import TypedColumn, typed_schema
from mixpanel_etl.pull.typed.typed_rows import Typing


@dataclass(frozen=True)
class TypedDay:
    """A published day of an event.

    Attributes:
        seen: what was seen of its properties.
    """

    partition: Partition
    seen: Seen


def type_day(
    events: EventsTable,
    day: date,
    event: str,
    columns: Sequence[TypedColumn],
    *,
    table: str,
    run_id: str = "",
) -> TypedDay:
    """Publish the events of one name and day, with a column for each property. Memory does not grow with the day.

    Args:
        events: where the day is.
        day: the partition.
        event: name of the events.
        columns: see `columns_of`.
        table: folder of the typed table, in the same lake.
        run_id: the run that does it.

    Returns:
        The day as published; what the file's own record says when one was there that came of a later export.

    Raises:
        FileNotFoundError: the day is not published in `events`.
        ForeignFile: another project's file is there.
        OSError: the disk is full or the upload failed; what was there remains.
    """
    published = events.day(day)
    if published is None:
        raise FileNotFoundError(f"{events.uri} has no {day}")
    seen = Seen()
    typing = Typing(columns, seen)
    request: dict[str, Any] = {
        "event": event,
        "properties": {column.source: sorted(column.types) for column in columns},
    }

    def rows() -> Iterator[pa.RecordBatch]:
        yield from map(typing.batch, _events(events, day, event))
        # The record is written after the last row: only then is it known what was seen.
        request["seen"] = seen.plain()

    asked = published.provenance.get("requested_at")
    provenance = Provenance(
        # Of the export that brought the events: what is made of a later one stays.
        requested_at=datetime.fromisoformat(asked) if asked else datetime.now(UTC),
        run_id=run_id,
        project_id=published.provenance.get("project_id"),
        request=request,
    )
    partition = Table(events.lake, table, typed_schema(columns)).write(str(day), rows(), provenance)
    return TypedDay(partition, Seen.read(partition.provenance.get("seen", {})))


def survey(events: EventsTable, days: Iterable[date], event: str) -> Seen:
    """What the lake has of an event's properties in some days; of those that are not published nothing."""
    seen = Seen()
    typing = Typing([], seen)
    for day in days:
        if events.day(day):
            for batch in _events(events, day, event):
                typing.look(batch)
    return seen


def types_of(partition: Partition) -> Mapping[str, frozenset[str]]:
    """The types that a typed partition was made with, by property."""
    return {name: frozenset(types) for name, types in partition.provenance.get("properties", {}).items()}


def _events(events: EventsTable, day: date, event: str) -> Iterator[pa.RecordBatch]:
    for batch in events.batches(day):
        chosen = batch.filter(pc.equal(batch.column("event_name"), event))
        if chosen.num_rows:
            yield chosen
