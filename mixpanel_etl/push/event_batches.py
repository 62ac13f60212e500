"""Events in batches, and each batch through `/import`. Source: specification 6.1; api-facts 4.1, 15 (C1)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from mixpanel_etl.client import BadRequest, FailedRecord, Mixpanel, PayloadTooLarge, RecordsRejected, ReplyError
from mixpanel_etl.client.events import MOST_EVENTS
from mixpanel_etl.push.dead_letters import DeadLetter
from mixpanel_etl.push.events import ResolvedEvents
from mixpanel_etl.push.projects import CopiedEvents
from mixpanel_etl.push.repeats import Repeats

if TYPE_CHECKING:
    import polars as pl

MOST_BYTES = 2 << 20  # one of Mixpanel's documents says so, another one 10 MB
_READINGS = 3
_ROWS = 8_192  # encoded at once: enough for vectors, little enough for memory

#: Given insert_ids, whether each is meant.
Choice = Callable[["pl.Series"], "pl.Series"]
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
    def nbytes(self) -> int:
        """Of the lines together."""
        return int(self.events["line"].str.len_bytes().sum()) + len(self.events)

    def ndjson(self) -> bytes:
        """The lines as one text, each with its end."""
        import polars as pl

        texts = (self.events["line"] + "\n").to_arrow(compat_level=pl.CompatLevel.oldest())
        # Arrow lays texts one behind the other: what holds them is the whole text already.
        ends, content = texts.buffers()[1:]
        first, last = np.frombuffer(ends, np.int64)[[texts.offset, texts.offset + len(texts)]]
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

    def letter(self, position: int, message: str, field: str = "") -> DeadLetter:
        """The letter of one of the rows."""
        return _letter(self.rows, self.events, position, message, field=field, batch=self.number)

    def _part(self, start: int, end: int) -> EventBatch:
        return EventBatch(self.number, self.rows.slice(start, end - start), self.events[start:end])


@dataclass
class Seen:
    """What became of the rows of a query on their way into batches."""

    rows: int = 0
    skipped: int = 0
    overwritten: Counter[str] = field(default_factory=Counter)  # see `CopiedEvents`


def event_batches(
    rows: pa.RecordBatchReader,
    events: ResolvedEvents | CopiedEvents,
    now: datetime,
    refuse: Callable[[DeadLetter], None],
    *,
    seen: Seen,
    leave_out: Choice | None = None,
    only: Choice | None = None,
) -> Iterator[EventBatch]:
    """Rows as batches of at most 2,000 events and 2 MiB.

    Args:
        rows: of the query; read as batches are asked for.
        events: how rows become events.
        now: see `ResolvedEvents.encode`.
        refuse: told of each row that can't be sent.
        seen: counts the rows.
        leave_out: insert_ids of rows to be left out, because Mixpanel has them.
        only: insert_ids of rows to be sent, where not all are; others are as if they were not there.
    """
    repeats = Repeats()
    number = 0
    for part, encoded in _encoded(rows, events, now, only):
        seen.rows += part.num_rows
        good = encoded["message"].is_null()
        for position in (~good).arg_true():
            refuse(_letter(part, encoded, position, encoded["message"][position], field=encoded["field"][position]))
        if leave_out is not None:
            known = leave_out(encoded["insert_id"]) & good
            seen.skipped += int(known.sum())
            good &= ~known
        again = repeats.among(encoded["identity"], good)
        for position in again.arg_true():
            refuse(_letter(part, encoded, position, REPEATED, field="key"))
        kept, chosen = _filtered(part, encoded, good & ~again)
        for start, end in _cuts(chosen["line"]):
            number += 1
            yield EventBatch(number, kept.slice(start, end - start), chosen[start:end])


class EventSender:
    """Sends batches of events, which may be sent any number of times."""

    def __init__(self, mixpanel: Mixpanel) -> None:
        self._import = mixpanel.ingestion.import_lines

    def deliver(self, batch: EventBatch) -> list[DeadLetter]:
        """Send a batch: the letters of the rows that Mixpanel refused. All others are stored.

        Raises:
            MixpanelError: it is not known what is stored; send it again.
        """
        count = batch.rows.num_rows
        try:
            self._sent(batch.ndjson(), count)
        except PayloadTooLarge as error:
            if count == 1:
                return [batch.letter(0, error.fact)]
            return [letter for half in batch.halves() for letter in self.deliver(half)]
        except RecordsRejected as error:
            failed = {one.index: one for one in _of_batch(error, count)}
            letters = [batch.letter(index, one.message, one.field) for index, one in failed.items()]
            if error.imported is not None and error.imported + len(failed) < count and len(failed) < count:
                # Of some rows it says nothing. They are sent by themselves, and count when it says yes to all of them.
                letters += self.deliver(batch.without(failed))
            return letters
        except BadRequest as error:
            return [batch.letter(position, error.fact) for position in range(count)]
        return []

    def _sent(self, lines: bytes, count: int) -> None:
        """Send, and again when the answer can't be read: it may have been cut off, and twice does no harm.

        Raises:
            ReplyError: no answer can be read, or it says that fewer were imported, and not which.
        """
        for attempt in range(1, _READINGS + 1):
            try:
                imported = self._import(lines, count).num_records_imported
                if imported < count:
                    raise ReplyError(f"{imported} of {count} events were imported", endpoint="POST /import", status=200)
            except ReplyError:
                if attempt == _READINGS:
                    raise
            else:
                return


def _of_batch(error: RecordsRejected, count: int) -> list[FailedRecord]:
    """What Mixpanel did not take.

    Raises:
        ReplyError: it names records that the batch does not have, so that nobody knows which these are.
    """
    strange = [one.index for one in error.failed_records if not 0 <= one.index < count]
    if strange:
        raise ReplyError(f"record {strange[0]} of a batch of {count} was refused", endpoint=error.endpoint)
    return error.failed_records


def _encoded(
    rows: pa.RecordBatchReader, events: ResolvedEvents | CopiedEvents, now: datetime, only: Choice | None
) -> Iterator[tuple[pa.RecordBatch, pl.DataFrame]]:
    for part in _parts(rows):
        encoded = events.encode(part, now)
        yield (part, encoded) if only is None else _filtered(part, encoded, only(encoded["insert_id"]))


def _parts(rows: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    """Rows in batches of a useful size, whatever the driver makes of them."""
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
        fitting = int(ends.searchsorted(before + MOST_BYTES, side="right"))
        end = min(max(fitting, start + 1), start + MOST_EVENTS, len(ends))
        yield start, end
        start = end


def _letter(
    rows: pa.RecordBatch, events: pl.DataFrame, position: int, message: str, *, field: str, batch: int = 0
) -> DeadLetter:
    (row,) = rows.slice(position, 1).to_pylist()
    return DeadLetter(events["insert_id"][position], row, message, field=field, batch=batch)
