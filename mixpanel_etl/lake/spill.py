"""Rows regrouped by a key (their day, their bucket) with memory that does not grow: what exceeds a budget goes to a nameless file."""

from __future__ import annotations

import os
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import IO, Self

import pyarrow as pa
import pyarrow.compute as pc

#: Bytes of rows held before they are written out; twice that while a write is under way.
BUDGET_BYTES = 32 << 20


class Spill:
    """Collects batches and gives them back by key.

    The file has no name from the start, so that the system frees it however this process ends (design, promise 2).

    Args:
        schema: of the batches.
        key: the int32 column by which rows are grouped; it is left out of what comes back.
        budget_bytes: of rows held in memory.
    """

    def __init__(self, schema: pa.Schema, key: str, budget_bytes: int = BUDGET_BYTES) -> None:
        self.schema = schema.remove(schema.get_field_index(key))
        self._key = key
        self._budget = budget_bytes
        self._pending: list[pa.RecordBatch] = []
        self._pending_bytes = 0
        self._chunks: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
        self._rows: defaultdict[int, int] = defaultdict(int)
        self._file: IO[bytes] = tempfile.TemporaryFile(prefix="mixpanel_etl-")  # noqa: SIM115 - closed with the spill
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="spill")
        self._write: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.shutdown(cancel_futures=True)
        self._file.close()

    def add(self, batch: pa.RecordBatch) -> None:
        """Take a batch; a full disk surfaces here, or in `finish`, as OSError."""
        self._pending.append(batch)
        self._pending_bytes += batch.nbytes
        if self._pending_bytes >= self._budget:
            self._flush()

    def finish(self) -> None:
        """Call once, after the last `add` and before `read`."""
        self._flush()
        if self._write:
            self._write.result()
        self._file.flush()

    def rows(self, key: int) -> int:
        """Rows of one key."""
        return self._rows[key]

    def read(self, key: int) -> Iterator[pa.RecordBatch]:
        """The rows of one key, in the order in which they were added, as batches without the key column.

        May run for several keys in several threads at once.
        """
        for offset, length in self._chunks[key]:
            data = os.pread(self._file.fileno(), length, offset)
            yield pa.ipc.read_record_batch(pa.py_buffer(data), self.schema)

    def _flush(self) -> None:
        if self._write:
            self._write.result()
        if self._pending:
            self._write = self._writer.submit(self._write_out, self._pending)
        self._pending, self._pending_bytes = [], 0

    def _write_out(self, batches: list[pa.RecordBatch]) -> None:
        batch = pa.Table.from_batches(batches).combine_chunks().to_batches()[0]
        keys = batch.column(self._key)
        if pc.min_max(keys)["min"] != pc.min_max(keys)["max"]:
            batch = batch.take(pc.sort_indices(keys))  # stable: equal keys stay in the order of arrival
            keys = batch.column(self._key)
        body = batch.drop_columns([self._key])
        start = 0
        for run in pc.run_end_encode(keys).run_ends.to_pylist():
            self._append(keys[start].as_py(), body.slice(start, run - start))
            start = run

    def _append(self, key: int, batch: pa.RecordBatch) -> None:
        data = batch.serialize()
        self._chunks[key].append((self._file.tell(), data.size))
        self._rows[key] += batch.num_rows
        self._file.write(data)
