"""Events in batches, and each batch through `/import`. Source: mixpanel-api.md#import, #import-limits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterator, Set
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from mixpanel_etl.client.identity import IDENTITY_EVENTS
from mixpanel_etl.client.ingestion.events import MAX_EVENTS
from mixpanel_etl.push.event_mapping import ResolvedEvents
from mixpanel_etl.push.project_copy import CopiedEvents
from mixpanel_etl.push.rejected_rows import RejectedRow
from mixpanel_etl.push.repeated_events import Repeats

if TYPE_CHECKING:
    import polars as pl

MAX_BYTES = 2 << 20  # one of Mixpanel's documents says so, another one 10 MB
_ROWS = 8_192  # encoded at once: enough for vectors, little enough for memory

#: Given insert_ids, whether each is meant.
Choice = Callable[["pl.Series"], "pl.Series"]
FOREIGN = "{} is an identity event, which the project does not take: its ID merge is another one"
REPEATED = "an earlier row has the same key, user and day: Mixpanel would keep one of the two"


@dataclass(frozen=True)
class EventBatch:
    """Rows that go into one request.

    Attributes:
        number: from 1.
        rows: as the query returned them.
        events: `line` and `insert_id` of each, among others.
    """

    number: int
    rows: pa.RecordBatch
    events: pl.DataFrame

    @property
    def count(self) -> int:
        return len(self.events)

    @property
    def nbytes(self) -> int:
        """Size of the lines in bytes."""
        return int(self.events["line"].str.len_bytes().sum()) + len(self.events)

    def ndjson(self) -> bytes:
        """The lines, each with its line end."""
        import polars as pl

        lines = (self.events["line"] + "\n").to_arrow(compat_level=pl.CompatLevel.oldest())
        # Arrow stores strings one behind the other: their buffer is the whole text already.
        ends, content = lines.buffers()[1:]
        first, last = np.frombuffer(ends, np.int64)[[lines.offset, lines.offset + len(lines)]]
        return memoryview(content)[first:last].tobytes()

    def halves(self) -> tuple[EventBatch, EventBatch]:
        """Two batches of the same number."""
        count = self.rows.num_rows
        return self._part(0, count // 2), self._part(count // 2, count)

    def without(self, positions: Container[int]) -> EventBatch:
        """A batch of the same number without some of the rows."""
        import polars as pl

        kept = pl.Series([place not in positions for place in range(self.rows.num_rows)])
        return EventBatch(self.number, *_filtered(self.rows, self.events, kept))

    def rejected_row(self, position: int, message: str, field: str = "") -> RejectedRow:
        """One of the rows, with the reason of its rejection."""
        return _rejected_row(self.rows, self.events, position, message, field=field, batch=self.number)

    def _part(self, start: int, end: int) -> EventBatch:
        return EventBatch(self.number, self.rows.slice(start, end - start), self.events[start:end])


@dataclass
class Seen:
    """Counts of the rows of a query that are made into batches."""

    rows: int = 0
    skipped: int = 0
    overwritten: Counter[str] = field(default_factory=Counter)  # see `CopiedEvents`
    left_out: Counter[str] = field(default_factory=Counter)  # see `PushedRows`
    altered: Counter[str] = field(default_factory=Counter)  # see `PushedRows`


def event_batches(
    rows: pa.RecordBatchReader,
    events: ResolvedEvents | CopiedEvents,
    now: datetime,
    reject: Callable[[RejectedRow], None],
    *,
    seen: Seen,
    leave_out: Callable[[pl.DataFrame], pl.Series] | None = None,
    only: Choice | None = None,
    foreign: Callable[[], Set[str]] | None = None,
) -> Iterator[EventBatch]:
    """Rows as batches of at most 2,000 events and 2 MiB.

    Args:
        rows: of the query; read as batches are asked for.
        events: how rows become events.
        now: see `ResolvedEvents.encode`.
        reject: called with each row that can't be sent.
        seen: counts the rows.
        leave_out: insert_ids of rows to be left out, because Mixpanel has them.
        only: insert_ids of rows to be sent, where not all are; others are as if they were not there.
        foreign: names of identity events that the project does not take, asked when there are such events. One of them
            would have the whole batch rejected. Without it (in a dry run) they are counted only.
    """
    repeats = Repeats()
    number = 0
    for part, encoded in _encoded(rows, events, now, only):
        seen.rows += part.num_rows
        good = encoded["message"].is_null()
        for position in (~good).arg_true():
            reject(
                _rejected_row(part, encoded, position, encoded["message"][position], field=encoded["field"][position])
            )
        if leave_out is not None:
            known = leave_out(encoded.select("insert_id")) & good
            seen.skipped += int(known.sum())
            good &= ~known
        for position in _foreign(encoded, good, foreign, seen).arg_true():
            name = encoded["event"][position]
            if isinstance(events, CopiedEvents):
                seen.left_out[name] += 1
            else:
                reject(_rejected_row(part, encoded, position, FOREIGN.format(name), field="event"))
            good[position] = False
        again = repeats.among(encoded["identity"], good)
        for how, places in events.alterations(part).items():
            count = int((places & good & ~again).sum())
            if count:
                seen.altered[how] += count
        for position in again.arg_true():
            reject(_rejected_row(part, encoded, position, REPEATED, field="key"))
        kept, chosen = _filtered(part, encoded, good & ~again)
        for start, end in _cuts(chosen["line"]):
            number += 1
            yield EventBatch(number, kept.slice(start, end - start), chosen[start:end])


def _foreign(encoded: pl.DataFrame, good: pl.Series, foreign: Callable[[], Set[str]] | None, seen: Seen) -> pl.Series:
    """Which rows are identity events that the project does not take."""
    found = encoded["event"].is_in(list(IDENTITY_EVENTS)) & good
    if not found.any():
        return found
    if foreign is None:
        for name in encoded["event"].filter(found):
            seen.altered[f"{name}: sent to projects with Original ID Merge only"] += 1
        return found & False
    return found & encoded["event"].is_in(list(foreign()))


def _encoded(
    rows: pa.RecordBatchReader, events: ResolvedEvents | CopiedEvents, now: datetime, only: Choice | None
) -> Iterator[tuple[pa.RecordBatch, pl.DataFrame]]:
    for part in _parts(rows):
        encoded = events.encode(part, now)
        yield (part, encoded) if only is None else _filtered(part, encoded, only(encoded["insert_id"]))


def _parts(rows: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    """Rows in batches of a useful size, regardless of the driver's."""
    held: list[pa.RecordBatch] = []
    count = 0
    for batch in rows:
        for start in range(0, batch.num_rows, _ROWS):
            held.append(batch.slice(start, _ROWS))
            count += held[-1].num_rows
            if count >= _ROWS:
                yield pa.concat_batches(held)
                held, count = [], 0
    if held:
        yield pa.concat_batches(held)


def _filtered(part: pa.RecordBatch, encoded: pl.DataFrame, chosen: pl.Series) -> tuple[pa.RecordBatch, pl.DataFrame]:
    if chosen.all():
        return part, encoded
    return part.filter(chosen.to_arrow()), encoded.filter(chosen)


def _cuts(lines: pl.Series) -> Iterator[tuple[int, int]]:
    """Where batches begin and end."""
    ends = (lines.str.len_bytes().cast(int) + 1).cum_sum().to_numpy()
    start = 0
    while start < len(ends):
        before = int(ends[start - 1]) if start else 0
        fitting = int(ends.searchsorted(before + MAX_BYTES, side="right"))
        end = min(max(fitting, start + 1), start + MAX_EVENTS, len(ends))
        yield start, end
        start = end


def _rejected_row(
    rows: pa.RecordBatch, events: pl.DataFrame, position: int, message: str, *, field: str, batch: int = 0
) -> RejectedRow:
    (row,) = rows.slice(position, 1).to_pylist()
    return RejectedRow(events["insert_id"][position], row, message, field=field, batch=batch)
