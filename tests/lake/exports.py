"""Exports as a test writes them, and what the lake makes of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from mixpanel_etl.lake import EventsTable, ExportProvenance, PromotedColumn, PublishedDay, Window, ingest
from mixpanel_etl.lake.export_decoder import decode, whole_lines

DAY = date(2026, 3, 5)
REQUESTED_AT = datetime(2026, 6, 1, tzinfo=UTC)


def ms(day: date = DAY, seconds: float = 0) -> int:
    """Milliseconds since 1970 of a moment of a UTC day."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000 + seconds * 1000)


def line(time: Any = None, event: Any = "Visit", **properties: Any) -> bytes:
    """A line of an export; `insert_id` stands for `$insert_id`, `processing` for `mp_processing_time_ms`."""
    names = {"insert_id": "$insert_id", "processing": "mp_processing_time_ms"}
    named = {names.get(key, key): value for key, value in properties.items()}
    record = {"event": event, "properties": {"time": ms(DAY, 1) if time is None else time, **named}}
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def days_from(first: date, count: int) -> list[date]:
    return [first + timedelta(days=n) for n in range(count)]


def request(
    first: date = DAY, last: date | None = None, zone: str = "UTC", later: float = 0, **provenance: Any
) -> ExportProvenance:
    """The provenance of a request, `later` minutes after `REQUESTED_AT`."""
    at = REQUESTED_AT + timedelta(minutes=later)
    return ExportProvenance(requested_at=at, window=Window(first, last or first, zone), **provenance)


def pull(
    table: EventsTable, lines: Iterable[bytes], provenance: ExportProvenance | None = None, **options: Any
) -> list[PublishedDay]:
    """All days of an export, sorted; the chunks are the lines."""
    return sorted(ingest(lines, table, provenance or request(), **options), key=lambda day: day.day)


def cut(data: bytes, sizes: Sequence[int]) -> Iterator[bytes]:
    """The data in chunks of these sizes, over and over."""
    start = turn = 0
    while start < len(data):
        end = start + max(sizes[turn % len(sizes)], 1)
        yield data[start:end]
        start, turn = end, turn + 1


def decoded(chunks: Iterable[bytes], promoted: Sequence[PromotedColumn] = ()) -> list[dict[str, Any]]:
    """What `decode` makes of an export, as rows."""
    return [row for batch in decode(whole_lines(chunks), promoted) for row in batch.to_pylist()]


def stored(table: EventsTable, day: date = DAY) -> list[dict[str, Any]]:
    """The rows of a published day, in the order of the file; `properties` as text."""
    return read(Path(table.uri) / f"date={day}" / "events.parquet")


def read(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.ParquetFile(path).read().to_pylist()
    return rows


def files(folder: Path) -> list[str]:
    """Every file below a folder, hidden ones too."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in files(folder)}
