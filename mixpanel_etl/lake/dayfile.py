"""The Parquet file of one day, which is also the record of how it came to be (design 4)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mixpanel_etl.lake.window import Window

#: A row group: few enough rows to skip by statistics and to hold in memory, enough to compress.
ROW_GROUP_ROWS = 65_536
ROW_GROUP_BYTES = 6 << 20
_METADATA_KEY = "mixpanel_etl"


@dataclass(frozen=True)
class Provenance:
    """Which request and run wrote a file; kept in the file's metadata.

    Attributes:
        requested_at: when the export was asked for (UTC). Of two publications of a day the later request wins.
        window: the days of the request, and the zone in which they were cut.
        run_id: the run that wrote it; a retry of that run skips the day.
        project_id: of Mixpanel, where known.
        events: names that the request was restricted to; empty for all.
        where: expression that the request was restricted by.
        version: of this package.
    """

    requested_at: datetime
    window: Window
    run_id: str = ""
    project_id: int | None = None
    events: Sequence[str] = ()
    where: str | None = None
    version: str = ""

    def plain(self) -> dict[str, Any]:
        """As JSON holds it: dates and times in ISO form, the window as `from_date`, `to_date` and `zone`."""
        return {
            **{key: value for key, value in asdict(self).items() if key != "window"},
            "requested_at": self.requested_at.isoformat(),
            "from_date": str(self.window.first),
            "to_date": str(self.window.last),
            "zone": self.window.zone,
        }


@dataclass(frozen=True)
class PublishedDay:
    """A day of the lake, as its file tells it. Times are UTC.

    Attributes:
        duplicates: copies left out when the day was written.
        request: the `Provenance` in its plain form; empty for a file that this package did not write.
    """

    day: date
    uri: str
    rows: int
    bytes: int
    duplicates: int
    first_time: datetime | None
    last_time: datetime | None
    newest_processing_time: datetime | None
    request: dict[str, Any]


def write_day(
    path: str, batches: Iterable[pa.RecordBatch], schema: pa.Schema, provenance: Provenance, duplicates: int
) -> int:
    """Write the file of a day.

    Args:
        path: where.
        batches: its rows, in the table's schema.
        schema: of the events table.
        provenance: goes into the metadata.
        duplicates: copies that were left out of the rows.

    Returns:
        How many rows were written.
    """
    indexed = [name for name in schema.names if name != "properties"]
    unique = ("time", "insert_id", "processing_time")
    seen = _Seen()
    with pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        compression_level=1,
        use_dictionary=[name for name in indexed if name not in unique],
        write_statistics=indexed,
    ) as writer:
        for rows in _row_groups(batches):
            writer.write_table(rows, row_group_size=ROW_GROUP_ROWS)
            seen.note(rows)
        record = {"duplicates": duplicates, "request": provenance.plain(), **seen.times}
        writer.add_key_value_metadata({_METADATA_KEY: json.dumps(record, ensure_ascii=False, default=str)})
    return seen.rows


def _row_groups(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """The batches put together: the writer makes (at least) one row group of whatever it is given."""
    held: list[pa.RecordBatch] = []
    size = 0
    for batch in batches:
        held.append(batch)
        size += batch.nbytes
        if size >= ROW_GROUP_BYTES:
            yield pa.Table.from_batches(held)
            held, size = [], 0
    if held:
        yield pa.Table.from_batches(held)


class _Seen:
    """How many rows were written, and the extremes of their times."""

    def __init__(self) -> None:
        self.rows = 0
        self.times: dict[str, datetime] = {}

    def note(self, rows: pa.Table) -> None:
        self.rows += rows.num_rows
        times, processing = pc.min_max(rows.column("time")), pc.max(rows.column("processing_time"))
        for name, choose, scalar in (
            ("first_time", min, times["min"]),
            ("last_time", max, times["max"]),
            ("newest_processing_time", max, processing),
        ):
            if (value := scalar.as_py()) is not None:
                self.times[name] = choose(value, self.times.get(name, value))


def read_day(handle: IO[bytes], day: date, uri: str) -> PublishedDay:
    """What a day's file says of itself; only its footer is read."""
    size = handle.seek(0, 2)
    footer = pq.read_metadata(handle)
    record = json.loads((footer.metadata or {}).get(_METADATA_KEY.encode(), b"{}"))
    times = {name: _moment(record.get(name)) for name in ("first_time", "last_time", "newest_processing_time")}
    return PublishedDay(
        day=day,
        uri=uri,
        rows=footer.num_rows,
        bytes=size,
        duplicates=record.get("duplicates", 0),
        request=record.get("request", {}),
        **times,
    )


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text).astimezone(UTC) if text else None
