"""The Parquet file of one day, which is also the record of how it came to be (design 4)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mixpanel_etl.lake.export_window import Window
from mixpanel_etl.lake.provenance import Provenance, read_record, write_record
from mixpanel_etl.lake.row_groups import ROW_GROUP_ROWS, bloom_filters, row_groups


@dataclass(frozen=True, kw_only=True)
class ExportProvenance(Provenance):
    """Which export wrote the file of a day.

    Attributes:
        window: the days of the request, and the zone in which they were cut.
        events: names that the request was restricted to; empty for all.
        where: expression that the request was restricted by.
    """

    window: Window
    events: Sequence[str] = ()
    where: str | None = None

    def plain(self) -> dict[str, Any]:
        """As JSON holds it: times in ISO form, the window as `from_date`, `to_date` and `zone`."""
        return {
            **{key: value for key, value in super().plain().items() if key != "window"},
            "from_date": str(self.window.first),
            "to_date": str(self.window.last),
            "zone": self.window.zone,
        }


@dataclass(frozen=True)
class PublishedDay:
    """A day of the lake, as its file tells it. Times are UTC.

    Attributes:
        duplicates: copies left out when the day was written.
        provenance: the `ExportProvenance` in its plain form; empty for a file that this package did not write.
        malformed: lines set aside when the day was published just now (see `EventsTable.malformed`).
    """

    day: date
    uri: str
    rows: int
    bytes: int
    duplicates: int
    first_time: datetime | None
    last_time: datetime | None
    newest_processing_time: datetime | None
    provenance: dict[str, Any]
    malformed: int = 0


def write_day(
    path: str, batches: Iterable[pa.RecordBatch], schema: pa.Schema, provenance: ExportProvenance, duplicates: int
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
    seen = WrittenRows()
    with pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        compression_level=1,
        use_dictionary=[name for name in indexed if name not in unique],
        write_statistics=indexed,
        bloom_filter_options=bloom_filters(schema),
    ) as writer:
        for rows in row_groups(batches):
            writer.write_table(rows, row_group_size=ROW_GROUP_ROWS)
            seen.add(rows)
        record = {"duplicates": duplicates, "request": provenance.plain(), **seen.times}
        write_record(writer, record)
    return seen.rows


class WrittenRows:
    """How many rows were written, and the extremes of their times."""

    def __init__(self) -> None:
        self.rows = 0
        self.times: dict[str, datetime] = {}

    def add(self, rows: pa.Table) -> None:
        self.rows += rows.num_rows
        if not {"time", "processing_time"} <= set(rows.column_names):
            return
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
    record = read_record(footer)
    return PublishedDay(
        day=day,
        uri=uri,
        rows=footer.num_rows,
        bytes=size,
        duplicates=record.get("duplicates", 0),
        provenance=record.get("request", {}),
        first_time=_timestamp(record.get("first_time")),
        last_time=_timestamp(record.get("last_time")),
        newest_processing_time=_timestamp(record.get("newest_processing_time")),
    )


def _timestamp(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text).astimezone(UTC) if text else None
