"""The rows of a response, regrouped by day while they arrive; nothing is visible until the last byte is there."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from datetime import date
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc

from mixpanel_etl.lake.dedup import KEY_COLUMNS, copies
from mixpanel_etl.lake.spill import Spill
from mixpanel_etl.lake.storage import Storage
from mixpanel_etl.lake.window import day_number

#: Bytes of decoded rows held before they are set aside; as much again is held while that happens.
BUDGET_BYTES = 8 << 20


class Shuffle:
    """Takes rows of any day in any order and gives them back by day, without copies.

    Memory is bounded by `BUDGET_BYTES`, whatever the response holds and however its days are mixed: the rest is on
    disk, LZ4-compressed, in a nameless file.

    Args:
        storage: lends the disk space.
    """

    def __init__(self, storage: Storage) -> None:
        self._pending: list[pa.RecordBatch] = []
        self._pending_bytes = 0
        self._files = ExitStack()
        self._rows = Spill(self._files.enter_context(storage.scratch()))
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="shuffle")
        self._write: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.shutdown()
        self._files.close()

    def add(self, batch: pa.RecordBatch) -> None:
        """Take a batch in `stored_schema`; a full disk surfaces here, or in `finish`, as OSError."""
        self._pending.append(batch)
        self._pending_bytes += batch.nbytes
        if self._pending_bytes >= BUDGET_BYTES:
            self._flush()

    def finish(self) -> None:
        """Call once, after the last `add` and before any `day`."""
        if self._pending:
            self._flush()
        if self._write:
            self._write.result()

    def day(self, day: date) -> tuple[Iterator[pa.RecordBatch], int]:
        """The rows of a day without copies, and how many copies are left out. Several threads may ask at once."""
        number = day_number(day)
        left_out = copies(lambda: self._rows.read(number, KEY_COLUMNS), self._rows.rows(number))
        return _without(self._rows.read(number), left_out), len(left_out)

    def _flush(self) -> None:
        if self._write:
            self._write.result()
        self._write = self._writer.submit(self._set_aside, pa.Table.from_batches(self._pending))
        self._pending, self._pending_bytes = [], 0

    def _set_aside(self, table: pa.Table) -> None:
        for number, rows in _by_day(table):
            self._rows.add(number, rows)


def _by_day(table: pa.Table) -> Iterator[tuple[int, pa.Table]]:
    span = pc.min_max(table.column("date")).as_py()
    if span["min"] != span["max"]:
        table = table.take(pc.sort_indices(table.column("date")))  # stable: a day's rows stay in the order of arrival
    runs = pc.run_end_encode(table.column("date").combine_chunks())
    start = 0
    for number, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
        yield number, table.slice(start, end - start).drop_columns(["date"])
        start = end


def _without(batches: Iterator[pa.RecordBatch], left_out: array[int]) -> Iterator[pa.RecordBatch]:
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
