"""The events table: one Parquet file a day, each the record of its own publication."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mixpanel_etl.lake.columns import ID_PROPERTIES, JSON, TIMESTAMP, PromotedColumn, event_schema
from mixpanel_etl.lake.errors import ForeignFile
from mixpanel_etl.lake.storage import Storage, storage
from mixpanel_etl.lake.window import Window

#: Rows of a row group: small enough to skip by statistics, large enough to compress.
ROW_GROUP_ROWS = 65_536
_WRITE_ROWS = 16_384
_METADATA_KEY = b"mixpanel_etl"


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


@dataclass(frozen=True)
class PublishedDay:
    """A day of the lake, as its file's own metadata tells it. Times are UTC.

    Attributes:
        duplicates: copies left out when the day was written.
        request: the `Provenance` as a plain dict (dates and times in ISO form).
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


class DayShrinks(Exception):  # noqa: N818 - collected into DaysHeldBack, never shown by itself
    def __init__(self, day: date, rows: tuple[int, int]) -> None:
        self.day, self.rows = day, rows
        super().__init__(day, rows)


@dataclass(frozen=True)
class EventsTable:
    """`<lake>/<name>/date=YYYY-MM-DD/events.parquet`, on a disk or S3.

    Attributes:
        lake: path, `file://` or `s3://` URI of the lake.
        name: folder of this table in the lake.
        promoted: properties with a typed column.

    Raises:
        ConfigurationError: an unknown kind of URI, or columns that clash.
    """

    lake: str
    name: str = "events"
    promoted: Sequence[PromotedColumn] = ()
    schema: pa.Schema = field(init=False)
    _storage: Storage = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "schema", event_schema(self.promoted))
        object.__setattr__(self, "_storage", storage(self.lake))

    @property
    def uri(self) -> str:
        return self._storage.uri(self.name)

    def days(self) -> list[date]:
        """The days that have a file, those without events included; sorted."""
        names = self._storage.names(self.name, ".parquet")
        found = (
            part.removeprefix("date=")
            for name in names
            for part in Path(name).parts
            if part.startswith("date=")
        )
        return sorted({date.fromisoformat(day) for day in found})

    def day(self, day: date) -> PublishedDay | None:
        """What is published for a day; None if nothing is."""
        try:
            with self._storage.open(self._file(day)) as handle:
                size = handle.seek(0, 2)
                footer = pq.read_metadata(handle)
        except FileNotFoundError:
            return None
        record = json.loads((footer.metadata or {}).get(_METADATA_KEY, b"{}"))
        times = {
            name: _moment(record.get(name)) for name in ("first_time", "last_time", "newest_processing_time")
        }
        return PublishedDay(
            day=day,
            uri=self._storage.uri(self._file(day)),
            rows=footer.num_rows,
            bytes=size,
            duplicates=record.get("duplicates", 0),
            request=record.get("request", {}),
            **times,
        )

    def file_schema(self, day: date) -> pa.Schema:
        """The schema that a published day really has.

        Raises:
            FileNotFoundError: the day is not published.
        """
        with self._storage.open(self._file(day)) as handle:
            return pq.read_schema(handle)

    def scan(self, days: Iterable[date] | None = None) -> pl.LazyFrame:
        """The published events of some days (all by default), lazily, with `properties` as a plain string.

        A day that is not published contributes nothing.
        """
        present = self.days()
        wanted = set(present if days is None else days)
        files = [self._storage.uri(self._file(day)) for day in present if day in wanted]
        empty = pl.LazyFrame(pl.from_arrow(self.schema.empty_table()))
        frame = pl.concat([empty, *(pl.scan_parquet(file, hive_partitioning=False) for file in files)])
        return frame.with_columns(pl.col("properties").ext.storage())

    def publish(
        self,
        day: date,
        batches: Iterable[pa.RecordBatch],
        provenance: Provenance,
        *,
        copies: pl.Series,
        allow_shrink: bool = False,
    ) -> PublishedDay:
        """Write a day and make it visible in one step.

        Args:
            day: the partition.
            batches: its rows, in `stored_schema` without the day.
            provenance: of the request that they came from.
            copies: numbers of the rows to leave out, sorted.
            allow_shrink: replace a file that has more rows.

        Returns:
            The day as published; the one that is there already when a later request wrote it.

        Raises:
            DayShrinks: the lake has more rows for the day, and keeps them.
            ForeignFile: another project's file is there.
            OSError: the disk is full, the upload failed; what was there remains.
        """
        with self._storage.draft(self._file(day)) as draft:
            rows = self._write(draft.path, batches, provenance, copies)
            with self._storage.exclusive(self._file(day)):
                present = self.day(day)
                if present and self._is_newer(present, provenance):
                    return present
                if present and rows < present.rows and not allow_shrink:
                    raise DayShrinks(day, (present.rows, rows))
                draft.publish()
        published = self.day(day)
        if published is None:
            raise FileNotFoundError(f"{self._storage.uri(self._file(day))} vanished after it was published")
        return published

    def _file(self, day: date) -> str:
        return f"{self.name}/date={day}/events.parquet"

    def _is_newer(self, present: PublishedDay, provenance: Provenance) -> bool:
        there = present.request
        if there.get("project_id") and provenance.project_id and there["project_id"] != provenance.project_id:
            raise ForeignFile(present.uri, [f"project {there['project_id']}, not {provenance.project_id}"])
        return bool(there) and datetime.fromisoformat(there["requested_at"]) > provenance.requested_at

    def _write(
        self, path: str, batches: Iterable[pa.RecordBatch], provenance: Provenance, copies: pl.Series
    ) -> int:
        extremes = _Extremes()
        rows = 0
        indexed = [name for name in self.schema.names if name != "properties"]
        with pq.ParquetWriter(
            path,
            self.schema,
            compression="zstd",
            compression_level=1,
            use_dictionary=[name for name in indexed if name not in ("time", "insert_id", "processing_time")],
            write_statistics=indexed,
        ) as writer:
            for batch in _gathered(_without(batches, copies)):
                shaped = self._shape(batch, provenance.window)
                writer.write_batch(shaped, row_group_size=ROW_GROUP_ROWS)
                extremes.see(shaped)
                rows += shaped.num_rows
            record = {"duplicates": len(copies), "request": _plain(provenance), **extremes.plain()}
            writer.add_key_value_metadata({_METADATA_KEY: json.dumps(record, ensure_ascii=False)})
        return rows

    def _shape(self, batch: pa.RecordBatch, window: Window) -> pa.RecordBatch:
        columns = {
            **{name: batch.column(name) for name in batch.schema.names},
            "time": window.utc(batch.column("time")),
            "processing_time": batch.column("processing_time").cast(TIMESTAMP),
            "properties": pa.ExtensionArray.from_storage(JSON, batch.column("properties")),
        }
        return pa.record_batch([columns[name] for name in self.schema.names], schema=self.schema)


def _without(batches: Iterable[pa.RecordBatch], copies: pl.Series) -> Iterator[pa.RecordBatch]:
    start = 0
    for batch in batches:
        rows = pl.int_range(start, start + batch.num_rows, eager=True)
        first, last = copies.search_sorted(start), copies.search_sorted(start + batch.num_rows)
        start += batch.num_rows
        yield batch if first == last else batch.filter((~rows.is_in(copies[first:last].implode())).to_arrow())


def _gathered(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Batches of a size that is worth a call to the Parquet writer."""
    waiting: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        waiting.append(batch)
        rows += batch.num_rows
        if rows >= _WRITE_ROWS:
            yield pa.concat_batches(waiting)
            waiting, rows = [], 0
    if rows:
        yield pa.concat_batches(waiting)


class _Extremes:
    """First and last event and newest processing time of the rows seen."""

    _names = {
        "first_time": ("time", "min"),
        "last_time": ("time", "max"),
        "newest_processing_time": ("processing_time", "max"),
    }

    def __init__(self) -> None:
        self._found: dict[str, datetime] = {}

    def see(self, batch: pa.RecordBatch) -> None:
        for name, (column, which) in self._names.items():
            value = pc.min_max(batch.column(column))[which].as_py()
            if value is not None:
                known = self._found.get(name, value)
                self._found[name] = min(known, value) if which == "min" else max(known, value)

    def plain(self) -> dict[str, str]:
        return {name: value.isoformat() for name, value in self._found.items()}


def _plain(provenance: Provenance) -> dict[str, Any]:
    window = provenance.window
    return {
        **{key: value for key, value in asdict(provenance).items() if key != "window"},
        "requested_at": provenance.requested_at.isoformat(),
        "from_date": str(window.first),
        "to_date": str(window.last),
        "zone": window.zone,
    }


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text).astimezone(UTC) if text else None


__all__ = ["ID_PROPERTIES", "DayShrinks", "EventsTable", "Provenance", "PublishedDay"]
