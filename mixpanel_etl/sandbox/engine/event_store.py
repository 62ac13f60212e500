"""Every ingested copy of every event, in a temporary DuckDB file.

Events are not deduplicated: an export returns each copy, as Mixpanel's does (mixpanel-api.md#deduplication). The rows
are in the order of arrival (`seq`), and `time_ms` is as exported. Reads are streamed and writes are batched, so that
memory is bounded.
"""

from __future__ import annotations

import struct
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, date, timedelta
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa

from mixpanel_etl.sandbox.engine.buckets import Buckets, midnight
from mixpanel_etl.sandbox.engine.event_line import EventLine, EventLineError, parse_event_line, properties_text

_BATCH_ROWS = 10_000
_BATCH_BYTES = 32_000_000
_READ_ROWS = 2048
_MEMORY_LIMIT = "256MB"


class Days(NamedTuple):
    """Days, both inclusive, in the zone in which the project's exports cut them."""

    first: date
    last: date

    @property
    def milliseconds(self) -> tuple[int, int]:
        """From the first millisecond (inclusive) to the end (exclusive), in the terms of `EventLine.time_ms`."""
        return midnight(self.first, UTC) * 1000, midnight(self.last + timedelta(days=1), UTC) * 1000

    def __len__(self) -> int:
        return (self.last - self.first).days + 1


class DeduplicatedEvent(NamedTuple):
    """An event without its duplicates: one of each (event, time, distinct_id, $insert_id)."""

    event: str
    time_ms: int
    distinct_id: str | None
    insert_id: str | None
    properties: str


class EventStore:
    """The events of all projects. Safe to use from several threads."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="mixpanel_sandbox_", ignore_cleanup_errors=True)
        path = Path(self._directory.name) / "events.duckdb"
        self._connection = duckdb.connect(str(path), config={"memory_limit": _MEMORY_LIMIT, "threads": 2})
        # On this data zstd writes twice as fast as DuckDB's own choice, to a third of the size.
        self._connection.execute("SET force_compression = 'zstd'")
        # Each checkpoint rewrites the last row group: at the default of 16 MB loading would mostly rewrite.
        self._connection.execute("SET checkpoint_threshold = '128MB'")
        self._connection.execute(_CREATE)
        self._writer = self._connection.cursor()
        self._writing = Lock()
        self._next_seq = 0
        self._counts: Counter[int] = Counter()

    def close(self) -> None:
        self._connection.close()
        self._directory.cleanup()

    def clear(self) -> None:
        """Forget all events of all projects."""
        with self._writing:
            self._writer.execute("TRUNCATE events")
            self._counts.clear()

    def add(self, project_id: int, lines: Iterable[bytes]) -> int:
        """Append exported lines. Returns their number.

        Raises EventLineError with the number of an invalid line; batches before it have been added.
        """
        added = 0
        with ThreadPoolExecutor(1) as writer:  # DuckDB compresses one batch while Python parses the next
            pending = None
            for batch in _batches(lines):
                if pending:
                    pending.result()
                pending = writer.submit(self._append, project_id, batch)
                added += len(batch)
            if pending:
                pending.result()
        return added

    def lines(
        self,
        project_id: int,
        days: Days,
        *,
        events: Sequence[str] | None = None,
        limit: int | None = None,
        time_in_ms: bool = False,
    ) -> Iterator[bytes]:
        """The exported lines of the days in chunks that end with a newline, in order of arrival, as of now."""
        parameters = [time_in_ms, project_id, *days.milliseconds, events, events, limit]
        with closing(self._connection.cursor()) as cursor:
            for batch in cursor.sql(_LINES, params=parameters).to_arrow_reader(_READ_ROWS):
                yield _bytes_of(batch.column(0))

    def deduplicated(self, project_id: int, days: Days) -> Iterator[DeduplicatedEvent]:
        """The events of the days without duplicates, unordered; `time` in `properties` is in milliseconds.

        Of the copies of an event, the one with the newest `mp_processing_time_ms` is kept, and of those the last to
        arrive. All rows without `$insert_id` are kept.
        """
        with closing(self._connection.cursor()) as cursor:
            cursor.execute(_DEDUPLICATED, [project_id, *days.milliseconds])
            while rows := cursor.fetchmany(_READ_ROWS):
                for event, time_ms, distinct_id, insert_id, line in rows:
                    yield DeduplicatedEvent(event, time_ms, distinct_id, insert_id, properties_text(line))

    def count(self, project_id: int) -> int:
        """Number of copies of events in the project."""
        return self._counts[project_id]

    def counts(
        self, project_id: int, buckets: Buckets, events: Sequence[str] | None
    ) -> list[tuple[str, str, int, int]]:
        """(event, label of the bucket, events, distinct users) without duplicates, for buckets that have events."""
        parameters = [buckets.starts, buckets.labels, project_id, buckets.starts[0], buckets.end, events, events]
        return self.query(_COUNTS, parameters)

    def shard_sizes(self, project_id: int, shards: Collection[tuple[str, int]]) -> dict[tuple[str, int], int]:
        """Number of stored events of each (distinct_id, day since epoch), at least of `shards`."""
        days = [day for _, day in shards]
        ids = [distinct_id for distinct_id, _ in shards]
        rows = self.query(_SHARD_SIZES, [project_id, min(days), max(days), ids])
        return {(distinct_id, day): count for distinct_id, day, count in rows}

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of a small result."""
        with closing(self._connection.cursor()) as cursor:
            return cursor.execute(sql, list(parameters)).fetchall()

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        """The rows of a result of any size, streamed."""
        with closing(self._connection.cursor()) as cursor:
            cursor.execute(sql, list(parameters))
            while rows := cursor.fetchmany(_READ_ROWS):
                yield from rows

    def rewrite(self, project_id: int, distinct_ids: Collection[str], change: Callable[[str, bytes], bytes]) -> int:
        """Replace every line of these users with `change(distinct_id, line)`, in one transaction. Returns their number.

        `time` is in milliseconds.
        """
        users = [project_id, list(distinct_ids)]
        with self._writing:
            self._writer.begin()
            try:
                rows = self._writer.execute(_LINES_OF_USERS, users).fetchall()
                if rows:
                    self._writer.execute(_DELETE_USERS, users)
                    self._insert(
                        project_id, [parse_event_line(change(owner, line.rstrip(b"\n"))) for owner, line in rows]
                    )
            except BaseException:
                self._writer.rollback()
                raise
            self._writer.commit()
        return len(rows)

    def delete_users(self, project_id: int, distinct_ids: Collection[str]) -> int:
        """Delete every copy of every event of these users. Returns their number."""
        with self._writing:
            rows = self._writer.execute(_DELETE_USERS, [project_id, list(distinct_ids)]).fetchall()
            self._counts[project_id] -= rows[0][0]
        return int(rows[0][0])

    def _append(self, project_id: int, batch: Sequence[EventLine]) -> None:
        with self._writing:
            self._insert(project_id, batch)
            self._counts[project_id] += len(batch)

    def _insert(self, project_id: int, records: Sequence[EventLine]) -> None:
        if not records:
            return
        first, self._next_seq = self._next_seq, self._next_seq + len(records)
        columns = [pa.array(values, kind) for values, kind in zip(zip(*records, strict=True), _TYPES, strict=True)]
        seq = pa.array(range(first, self._next_seq), pa.int64())
        self._writer.register("batch", pa.table([seq, *columns], names=["seq", *EventLine._fields]))
        self._writer.execute("INSERT INTO events SELECT ?, * FROM batch", [project_id])
        self._writer.unregister("batch")


_CREATE = r"""
CREATE TABLE events (
    project_id BIGINT, seq BIGINT,
    event VARCHAR, time_ms BIGINT, distinct_id VARCHAR, insert_id VARCHAR, processing_ms BIGINT,
    head BLOB, tail BLOB
);
CREATE MACRO line(head, shown, tail) AS head || encode(shown::VARCHAR) || tail || '\x0A'::BLOB"""
_TYPES = (pa.string(), pa.int64(), pa.string(), pa.string(), pa.int64(), pa.binary(), pa.binary())

_LINES = """
SELECT line(head, CASE WHEN ? THEN time_ms ELSE time_ms // 1000 END, tail)
FROM events
WHERE project_id = ? AND time_ms >= ? AND time_ms < ? AND (?::VARCHAR[] IS NULL OR list_contains(?, event))
LIMIT ?"""

_LINES_OF_USERS = """
SELECT distinct_id, line(head, time_ms, tail)
FROM events
WHERE project_id = ? AND distinct_id IN (SELECT unnest(?::VARCHAR[]))
ORDER BY seq"""
_DELETE_USERS = "DELETE FROM events WHERE project_id = ? AND distinct_id IN (SELECT unnest(?::VARCHAR[]))"

# The window reads keys only: with the lines, a large project would not fit into memory.
_DEDUPLICATED = """
SELECT event, time_ms, distinct_id, insert_id, line(head, time_ms, tail)
FROM events
WHERE seq IN (
    SELECT seq
    FROM events
    WHERE project_id = ? AND time_ms >= ? AND time_ms < ?
    QUALIFY insert_id IS NULL OR row_number() OVER (
        PARTITION BY event, distinct_id, time_ms, insert_id
        ORDER BY processing_ms DESC NULLS LAST, seq DESC
    ) = 1
)"""

_COUNTS = """
WITH buckets AS (SELECT unnest(?::BIGINT[]) AS start_ms, unnest(?::VARCHAR[]) AS label),
kept AS (
    SELECT DISTINCT event, distinct_id, time_ms, insert_id, CASE WHEN insert_id IS NULL THEN seq END AS itself
    FROM events
    WHERE project_id = ? AND time_ms >= ? AND time_ms < ? AND (?::VARCHAR[] IS NULL OR list_contains(?, event))
)
SELECT event, label, count(*), count(DISTINCT nullif(distinct_id, ''))
FROM kept ASOF JOIN buckets ON kept.time_ms >= buckets.start_ms
GROUP BY event, label"""

_SHARD_SIZES = """
SELECT distinct_id, time_ms // 86400000 AS day, count(*)
FROM events
WHERE project_id = ? AND time_ms // 86400000 BETWEEN ? AND ? AND list_contains(?, distinct_id)
GROUP BY ALL"""


def _batches(lines: Iterable[bytes]) -> Iterator[list[EventLine]]:
    batch: list[EventLine] = []
    size = 0
    for number, line in enumerate(lines, start=1):
        text = line.strip(b" \t\r\n")
        if not text:
            continue
        try:
            batch.append(parse_event_line(text))
        except EventLineError as error:
            raise EventLineError(f"line {number} is not an exported event: {error}") from error
        size += len(text)
        if len(batch) >= _BATCH_ROWS or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    yield batch


def _bytes_of(lines: pa.BinaryArray) -> bytes:
    """The concatenated values of an Arrow array: a slice of its data buffer."""
    _, offsets, data = lines.buffers()
    (start,) = struct.unpack_from("<i", offsets, 4 * lines.offset)
    (end,) = struct.unpack_from("<i", offsets, 4 * (lines.offset + len(lines)))
    return bytes(memoryview(data)[start:end])
