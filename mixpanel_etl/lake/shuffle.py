"""The rows of a response, regrouped by day while they arrive; nothing is visible until the last byte is there."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import date
from functools import partial
from threading import Lock
from types import TracebackType
from typing import NamedTuple, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mixpanel_etl.lake.day_file import ExportProvenance, write_day
from mixpanel_etl.lake.dedup import copies
from mixpanel_etl.lake.export_window import day_number, day_of
from mixpanel_etl.lake.spill import Spill
from mixpanel_etl.lake.storage import Draft, Storage

#: Bytes of rows held in memory; as much again may be on its way to disk.
BUDGET_BYTES = 32 << 20
#: When a batch has rows of more days than this, the response is not in the order of its days.
_MIXED_DAYS = 4
_MIXED_BYTES = 8 << 20


class _Written(NamedTuple):
    draft: Draft
    rows: int
    duplicates: int


class Shuffle:
    """Takes rows of any day in any order, and gives a finished file for each day, without copies.

    Exports come roughly in the order of their days. A day that is over while others arrive is written at once; one
    that gets more rows after that is written again at the end. What is more than `BUDGET_BYTES` of a day waits on
    disk, and so does everything, until the end, as soon as many days come mixed. Memory is bounded in any
    case, and the rows of a day stay in the order of their arrival.

    Args:
        storage: lends the disk space.
        schema: of the events table.
        provenance: goes into the files.
    """

    def __init__(self, storage: Storage, schema: pa.Schema, provenance: ExportProvenance) -> None:
        self._storage = storage
        self._schema = schema
        self._provenance = provenance
        self._held: dict[int, list[pa.RecordBatch]] = {}
        self._held_bytes: dict[int, int] = {}
        self._mixed: list[pa.RecordBatch] | None = None  # a list as soon as days come mixed
        self._written: dict[int, _Written] = {}
        self._resources = ExitStack()
        self._spill = Spill(self._resources.enter_context(storage.scratch()))
        self._writing = Lock()  # what a thread needs for it is the larger part of the memory
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="shuffle")
        self._under_way: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._worker.shutdown()
        self._resources.close()

    def add(self, batch: pa.RecordBatch) -> None:
        """Take rows in the table's schema with their `date` (days since 1970).

        A full disk surfaces here, or in `finish`, as OSError.
        """
        days = pc.unique(batch.column("date")).to_pylist()
        if self._mixed is None and len(days) > _MIXED_DAYS:
            self._set_held_aside()
            self._mixed = []
        if self._mixed is not None:
            self._mixed.append(batch)
            if sum(mixed.nbytes for mixed in self._mixed) >= _MIXED_BYTES:
                self._set_mixed_aside()
            return
        for day in days:
            # Taken out of the batch, so that a few rows of one day do not keep the memory of all others.
            rows = batch if len(days) == 1 else batch.filter(pc.equal(batch.column("date"), day))
            self._hold(day, rows.drop_columns(["date"]))
        while sum(self._held_bytes.values()) >= BUDGET_BYTES:
            self._make_room()

    def finish(self) -> None:
        """Call once, after the last `add` and before `complete`."""
        if self._mixed:
            self._set_mixed_aside()
        self._wait()

    @contextmanager
    def complete(self, day: date) -> Iterator[tuple[Draft, int]]:
        """The finished file of a day, not yet visible, and its rows.

        Several threads may complete a day each; they publish side by side, but write one after the other.
        """
        number = day_number(day)
        written = self._written.get(number)
        held = self._held.get(number, [])
        if written and not held and not self._spill.rows(number):
            yield written.draft, written.rows
            return
        with self._storage.draft(str(day)) as draft:
            with self._writing:
                done = self._write(draft, number, held)
            yield draft, done.rows

    def _hold(self, day: int, rows: pa.RecordBatch) -> None:
        held = self._held.pop(day, [])
        self._held[day] = [*held, rows]  # now the last: it is the day that rows came for
        self._held_bytes[day] = self._held_bytes.get(day, 0) + rows.nbytes

    def _make_room(self) -> None:
        """Let go of the day for which no rows came for the longest time."""
        self._wait()  # this very day may be what is being written
        day = next(iter(self._held))
        rows = self._held.pop(day)
        del self._held_bytes[day]
        if self._held and day not in self._written:
            self._submit(partial(self._write_early, day, rows))
        else:
            self._submit(partial(self._spill.add, day, pa.Table.from_batches(rows)))

    def _write_early(self, day: int, rows: list[pa.RecordBatch]) -> None:
        draft = self._resources.enter_context(self._storage.draft(str(day_of(day))))
        written = self._write(draft, day, rows)
        self._spill.forget(day)
        self._written[day] = written

    def _set_held_aside(self) -> None:
        for day, batches in self._held.items():
            self._submit(partial(self._spill.add, day, pa.Table.from_batches(batches)))
        self._held, self._held_bytes = {}, {}

    def _set_mixed_aside(self) -> None:
        self._submit(partial(self._sort_aside, pa.Table.from_batches(self._mixed)))
        self._mixed = []

    def _sort_aside(self, table: pa.Table) -> None:
        table = table.take(pc.sort_indices(table.column("date")))  # stable: a day's rows stay in the order of arrival
        runs = pc.run_end_encode(table.column("date").combine_chunks())
        start = 0
        for day, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
            self._spill.add(day, table.slice(start, end - start).drop_columns(["date"]))
            start = end

    def _submit(self, work: Callable[[], None]) -> None:
        self._wait()
        self._under_way = self._worker.submit(work)

    def _wait(self) -> None:
        if self._under_way:
            self._under_way.result()

    def _write(self, draft: Draft, day: int, held: list[pa.RecordBatch]) -> _Written:
        """Write all that came for a day: what was written before, what was set aside since, what is held now."""
        before = self._written.get(day)

        def read(columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
            if before:
                with pq.ParquetFile(before.draft.path, pre_buffer=False) as file:
                    yield from file.iter_batches(8_192, columns=list(columns), use_threads=False)
            yield from self._spill.read(day, [self._schema.get_field_index(name) for name in columns])
            yield from held

        rows = (before.rows if before else 0) + self._spill.rows(day) + sum(batch.num_rows for batch in held)
        left_out = copies(read, rows)
        duplicates = (before.duplicates if before else 0) + len(left_out)
        kept = _without(read(self._schema.names), left_out)
        return _Written(draft, write_day(draft.path, kept, self._schema, self._provenance, duplicates), duplicates)


def _without(batches: Iterable[pa.RecordBatch], left_out: array[int]) -> Iterator[pa.RecordBatch]:
    start = 0
    for batch in batches:
        end = start + batch.num_rows
        within = left_out[bisect_left(left_out, start) : bisect_left(left_out, end)]
        if within:
            numbers = pa.arange(start, end)
            yield batch.filter(pc.invert(pc.is_in(numbers, pa.array(within, pa.int64()))))
        else:
            yield batch
        start = end
