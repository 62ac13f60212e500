"""The rows of a response on their way into the lake: a file a day, invisible until the last byte has arrived."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import date
from types import TracebackType
from typing import Self

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mixpanel_etl.lake.columns import JSON, TIMESTAMP
from mixpanel_etl.lake.dayfile import DayFile, Provenance
from mixpanel_etl.lake.dedup import copies, keys_of
from mixpanel_etl.lake.spill import Spill
from mixpanel_etl.lake.storage import Draft, Storage
from mixpanel_etl.lake.window import day_number, day_of

#: Bytes of decoded rows held before they are written out, as a row group for each day that occurs in them.
BUDGET_BYTES = 16 << 20
#: Rows of a row group when a day is written anew.
ROW_GROUP_ROWS = 65_536
#: A day in row groups smaller than this (its events came mixed with those of other days) is written anew.
_FRAGMENT_ROWS = 4_096
_READ_ROWS = 8_192


class Drafts:
    """A Parquet file for each day that occurs in a response, filled while it arrives.

    Memory is bounded by `BUDGET_BYTES`, whatever the response holds and however its days are mixed: rows are written
    out as they come, already in their final form. A day whose copies all arrived close together is then finished as it
    stands; one with copies further apart, or in fragments, is written once more.

    Args:
        storage: where the drafts and later the days are.
        schema: of the files.
        provenance: of the request; goes into the files.
    """

    def __init__(self, storage: Storage, schema: pa.Schema, provenance: Provenance) -> None:
        self._storage = storage
        self._schema = schema
        self._provenance = provenance
        self._pending: list[pa.RecordBatch] = []
        self._pending_bytes = 0
        self._files: dict[date, tuple[Draft, DayFile]] = {}
        self._close_copies: dict[date, int] = {}
        self._resources = ExitStack()
        self._keys = self._resources.enter_context(Spill())
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="draft")
        self._write: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.shutdown()
        self._resources.close()

    def add(self, batch: pa.RecordBatch) -> None:
        """Take a batch in `stored_schema`; a full disk surfaces here, or in `finish`, as OSError."""
        self._pending.append(batch)
        self._pending_bytes += batch.nbytes
        if self._pending_bytes >= BUDGET_BYTES:
            self._flush()

    def finish(self) -> None:
        """Call once, after the last `add` and before `complete`."""
        if self._pending:
            self._flush()
        if self._write:
            self._write.result()

    @contextmanager
    def complete(self, day: date) -> Iterator[tuple[Draft, int]]:
        """The finished draft of a day, without copies, and its rows. Several threads may complete a day each."""
        draft, file = self._files.get(day) or self._new_file(day)
        late = copies(self._keys.read(day_number(day)), file.rows)
        duplicates = self._close_copies.get(day, 0) + len(late)
        if not len(late) and file.fragments <= file.rows // _FRAGMENT_ROWS + 1:
            file.close(duplicates, self._provenance)
            yield draft, file.rows
            return
        file.close(duplicates, self._provenance)
        with self._storage.draft(str(day)) as anew, DayFile(anew.path, self._schema) as whole:
            with pq.ParquetFile(draft.path, pre_buffer=False) as fragments:
                for rows in _without(fragments.iter_batches(_READ_ROWS, use_threads=False), late):
                    whole.append(rows, ROW_GROUP_ROWS)
            whole.close(duplicates, self._provenance)
            yield anew, whole.rows

    def _new_file(self, day: date) -> tuple[Draft, DayFile]:
        draft = self._resources.enter_context(self._storage.draft(str(day)))
        self._files[day] = draft, self._resources.enter_context(DayFile(draft.path, self._schema))
        return self._files[day]

    def _flush(self) -> None:
        if self._write:
            self._write.result()
        self._write = self._writer.submit(self._write_out, pa.Table.from_batches(self._pending))
        self._pending, self._pending_bytes = [], 0

    def _write_out(self, table: pa.Table) -> None:
        for day, rows in _by_day(table):
            keys = keys_of(rows)
            close = copies([keys], len(keys))
            if len(close):
                kept = ~pl.int_range(len(keys), eager=True).is_in(close.implode())
                rows, keys = rows.filter(kept.to_arrow()), keys.filter(kept)  # noqa: PLW2901
                self._close_copies[day] = self._close_copies.get(day, 0) + len(close)
            self._keys.add(day_number(day), keys)
            _, file = self._files.get(day) or self._new_file(day)
            file.append_group(self._shape(rows))

    def _shape(self, rows: pa.Table) -> pa.Table:
        properties = rows.column("properties")
        columns = {
            **{name: rows.column(name) for name in rows.column_names},
            "time": self._provenance.window.utc(rows.column("time")),
            "processing_time": rows.column("processing_time").cast(TIMESTAMP),
            "properties": pa.chunked_array(
                [pa.ExtensionArray.from_storage(JSON, chunk) for chunk in properties.chunks], type=JSON
            ),
        }
        return pa.table([columns[name] for name in self._schema.names], schema=self._schema)


def _by_day(table: pa.Table) -> Iterator[tuple[date, pa.Table]]:
    span = pc.min_max(table.column("day")).as_py()
    if span["min"] != span["max"]:
        table = table.take(pc.sort_indices(table.column("day")))  # stable: a day's rows stay in the order of arrival
    runs = pc.run_end_encode(table.column("day").combine_chunks())
    start = 0
    for number, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
        yield day_of(number), table.slice(start, end - start).drop_columns(["day"])
        start = end


def _without(batches: Iterator[pa.RecordBatch], left_out: pl.Series) -> Iterator[pa.RecordBatch]:
    start = 0
    for batch in batches:
        end = start + batch.num_rows
        within = left_out[left_out.search_sorted(start) : left_out.search_sorted(end)]
        rows = pl.int_range(start, end, eager=True)
        yield batch.filter((~rows.is_in(within.implode())).to_arrow()) if len(within) else batch
        start = end
