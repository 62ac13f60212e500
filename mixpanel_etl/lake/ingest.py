"""An export's bytes into published days: all of them after the last byte, or none."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from mixpanel_etl.lake.columns import TIMESTAMP
from mixpanel_etl.lake.dayfile import ExportProvenance, PublishedDay
from mixpanel_etl.lake.decode import decode, whole_lines
from mixpanel_etl.lake.errors import DaysHeldBack, DayShrinks, OutsideWindow
from mixpanel_etl.lake.shuffle import Shuffle
from mixpanel_etl.lake.table import EventsTable
from mixpanel_etl.lake.window import Window, day_number, day_of

#: Days finished at the same time; each may hold a row group in memory.
_WRITERS = min(2, os.cpu_count() or 1)


def ingest(
    chunks: Iterable[bytes],
    table: EventsTable,
    provenance: ExportProvenance,
    *,
    allow_shrink: bool = False,
    on_rows: Callable[[int], None] | None = None,
) -> Iterator[PublishedDay]:
    """Read an export to its end, then publish each of its days.

    Memory does not grow with the response, a day or the number of days. Until the days are published, their rows take
    disk space beside the lake (for S3 in the system's temporary folder, `TMPDIR`): about half of the decompressed
    response.

    Args:
        chunks: the decompressed JSON lines, cut anywhere; errors raised by it pass through.
        table: where the days go.
        provenance: of the request; its window names the days that are written, and no other day may occur.
        allow_shrink: let a day with fewer events than the lake holds replace it.
        on_rows: called with the number of rows decoded since the last call.

    Yields:
        Each day when it is published. When one fails, those that are under way are still finished and yielded.

    Raises:
        TerminatedEarly, MalformedLine, OutsideWindow: the response is not whole or not the one asked for; nothing
            changed.
        DaysHeldBack: after all other days, for those that would have shrunk.
        OSError: the disk is full or the upload failed.
    """
    window = provenance.window
    with _frugal_memory(), Shuffle(table.storage, table.schema, provenance) as shuffle:
        for batch in _inside(decode(whole_lines(chunks), table.promoted), window):
            shuffle.add(_final(batch, table.schema, window))
            if on_rows:
                on_rows(batch.num_rows)
        shuffle.finish()

        def publish(day: date) -> PublishedDay:
            with shuffle.complete(day) as (draft, rows):
                return table.publish(day, draft, rows, provenance, allow_shrink=allow_shrink)

        yield from _publish_all(window, publish)


@contextmanager
def _frugal_memory() -> Iterator[None]:
    """Arrow's jemalloc pool where there is one: it gives memory back sooner (a tenth less at the peak)."""
    before = pa.default_memory_pool()
    if "jemalloc" in pa.supported_memory_backends():
        pa.set_memory_pool(pa.jemalloc_memory_pool())
    try:
        yield
    finally:
        pa.set_memory_pool(before)


def _publish_all(days: Iterable[date], publish: Callable[[date], PublishedDay]) -> Iterator[PublishedDay]:
    held: dict[date, tuple[int, int]] = {}
    failure: Exception | None = None
    pool = ThreadPoolExecutor(_WRITERS, thread_name_prefix="publish")
    try:
        futures = [pool.submit(publish, day) for day in days]
        for future in as_completed(futures):
            try:
                yield future.result()
            except DayShrinks as shrinks:
                held[shrinks.day] = shrinks.rows
            except CancelledError:
                pass
            except Exception as error:  # noqa: BLE001 - raised below, after the days under way are told
                failure = failure or error
                for waiting in futures:
                    waiting.cancel()
    finally:
        pool.shutdown(cancel_futures=True)
    if failure:
        raise failure
    if held:
        raise DaysHeldBack(held)


def _final(rows: pa.RecordBatch, schema: pa.Schema, window: Window) -> pa.RecordBatch:
    """Decoded rows as the table has them, and their date."""
    columns = {
        **{name: rows.column(name) for name in rows.schema.names},
        "time": window.utc(rows.column("time")),
        "processing_time": rows.column("processing_time").cast(TIMESTAMP),
    }
    names = [*schema.names, "date"]
    return pa.record_batch([columns[name] for name in names], schema=schema.append(pa.field("date", pa.int32())))


def _inside(batches: Iterable[pa.RecordBatch], window: Window) -> Iterator[pa.RecordBatch]:
    first, last = day_number(window.first), day_number(window.last)
    strays, stray_days = 0, set[int]()
    for batch in batches:
        days = batch.column("date")
        outside = pc.or_(pc.less(days, first), pc.greater(days, last))
        if pc.any(outside).as_py():
            stray_days.update(pc.unique(days.filter(outside)).to_pylist())
            strays += pc.sum(outside).as_py()
        elif not strays:
            yield batch
    if strays:
        listed = ", ".join(str(day_of(day)) for day in sorted(stray_days)[:5])
        raise OutsideWindow(
            f"{strays:,} events lie outside the days asked for ({window}, cut in {window.zone}): {listed}. The project "
            "cuts its days in another zone: check the project's time zone and whether it was created before 2023 "
            "(MIXPANEL_TIMEZONE, MIXPANEL_CREATED_BEFORE_2023). Nothing was written"
        )
