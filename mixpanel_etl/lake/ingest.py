"""An export's bytes into published days: all of them after the last byte, or none."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from datetime import date

import pyarrow as pa

from mixpanel_etl.lake.day_file import ExportProvenance, PublishedDay
from mixpanel_etl.lake.errors import DaysHeldBack, DayShrinks, DaysMalformed
from mixpanel_etl.lake.event_columns import TIMESTAMP
from mixpanel_etl.lake.events_table import EventsTable
from mixpanel_etl.lake.export_decoder import decode, whole_lines
from mixpanel_etl.lake.export_window import Window, day_of
from mixpanel_etl.lake.malformed_lines import MalformedLines
from mixpanel_etl.lake.shuffle import Shuffle

#: Days finished at the same time; each may hold a row group in memory.
_WRITERS = min(2, os.cpu_count() or 1)


def ingest(
    chunks: Iterable[bytes],
    table: EventsTable,
    provenance: ExportProvenance,
    *,
    allow_shrink: bool = False,
    set_aside_malformed: bool = False,
    on_rows: Callable[[int, date], None] | None = None,
) -> Iterator[PublishedDay]:
    """Read an export to its end, then publish each of its days.

    Memory does not grow with the response, a day or the number of days. Until the days are published, their rows take
    disk space beside the lake (for S3 in the system's temporary folder, `TMPDIR`): about half of the decompressed
    response.

    Args:
        chunks: the decompressed JSON lines, cut anywhere; errors raised by it pass through.
        table: where the days go.
        provenance: of the request; its window names the days that are written.
        allow_shrink: let a day with fewer events than the lake holds replace it.
        set_aside_malformed: publish also the days that have malformed lines, and keep these lines beside them
            (`EventsTable.malformed`). An event of another day belongs to the first or last day of the window.
        on_rows: called with the number of rows decoded since the last call, and the day of the last of them. What it
            raises ends the reading, before anything is published.

    Yields:
        Each day when it is published. When one fails, those that are under way are still finished and yielded.

    Raises:
        TerminatedEarly, OutsideWindow: the response is not whole, or not the one asked for; nothing changed.
        MalformedLine: no line is an event; nothing changed.
        DaysMixed: a line is malformed, and the response is not in the order of its days; nothing changed.
        DaysMalformed: after all other days, for those that have malformed lines.
        DaysHeldBack: after all other days, for those that would have shrunk.
        OSError: the disk is full or the upload failed.
    """
    window = provenance.window
    collected = MalformedLines(window)
    with _frugal_memory(), Shuffle(table.storage, table.schema, provenance) as shuffle:
        for batch in decode(whole_lines(chunks), table.promoted, collected):
            shuffle.add(_final(batch, table.schema, window))
            if on_rows:
                on_rows(batch.num_rows, day_of(batch.column("date")[-1].as_py()))
        shuffle.finish()
        lines = collected.by_day()

        def publish(day: date) -> PublishedDay:
            aside = [malformed.line for malformed in lines.get(day, []) if malformed.first == day]
            with shuffle.complete(day) as (draft, rows):
                return table.publish(day, draft, rows, provenance, allow_shrink=allow_shrink, malformed=aside)

        yield from _publish_all([day for day in window if set_aside_malformed or day not in lines], publish)
    if lines and not set_aside_malformed:
        raise DaysMalformed({day: [malformed.reason for malformed in found] for day, found in lines.items()})


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
    held: dict[date, DayShrinks] = {}
    failure: Exception | None = None
    pool = ThreadPoolExecutor(_WRITERS, thread_name_prefix="publish")
    try:
        futures = [pool.submit(publish, day) for day in days]
        for future in as_completed(futures):
            try:
                yield future.result()
            except DayShrinks as shrinks:
                held[shrinks.day] = shrinks
            except CancelledError:
                pass
            except Exception as error:  # noqa: BLE001 - raised below, after the days under way are yielded
                failure = failure or error
                for waiting in futures:
                    waiting.cancel()
    finally:
        pool.shutdown(cancel_futures=True)
    if failure:
        raise failure
    if held:
        raise DaysHeldBack(
            {day: shrinks.rows for day, shrinks in held.items()},
            {day: shrinks.explained for day, shrinks in held.items()},
            {day: shrinks.allowed for day, shrinks in held.items()},
        )


def _final(rows: pa.RecordBatch, schema: pa.Schema, window: Window) -> pa.RecordBatch:
    """Decoded rows as the table has them, and their date."""
    columns = {
        **{name: rows.column(name) for name in rows.schema.names},
        "time": window.utc(rows.column("time")),
        "processing_time": rows.column("processing_time").cast(TIMESTAMP),
    }
    names = [*schema.names, "date"]
    return pa.record_batch([columns[name] for name in names], schema=schema.append(pa.field("date", pa.int32())))
