"""The Parquet file of one day, which is also the record of how it came to be (design 4)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from types import TracebackType
from typing import IO, Any, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mixpanel_etl.lake.window import Window

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


class DayFile:
    """Writes the Parquet file of one day.

    Args:
        path: where; the file is complete after `close`.
        schema: of the events table.
    """

    def __init__(self, path: str, schema: pa.Schema) -> None:
        indexed = [name for name in schema.names if name != "properties"]
        unique = ("time", "insert_id", "processing_time")
        self.rows = 0
        self.fragments = 0
        self._extremes: dict[str, datetime] = {}
        self._writer = pq.ParquetWriter(
            path,
            schema,
            compression="zstd",
            compression_level=1,
            use_dictionary=[name for name in indexed if name not in unique],
            write_statistics=indexed,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()

    def append_group(self, rows: pa.Table) -> None:
        """Write rows as a row group of their own."""
        self._writer.write_table(rows, row_group_size=max(rows.num_rows, 1))
        self.fragments += 1
        self._note(rows)

    def append(self, rows: pa.RecordBatch, group_rows: int) -> None:
        """Write rows into row groups of a size."""
        self._writer.write_batch(rows, row_group_size=group_rows)
        self._note(rows)

    def close(self, duplicates: int, provenance: Provenance) -> None:
        """Complete the file with the record of its making."""
        record = {"duplicates": duplicates, "request": provenance.plain()}
        times = {name: value.isoformat() for name, value in self._extremes.items()}
        self._writer.add_key_value_metadata({_METADATA_KEY: json.dumps(record | times, ensure_ascii=False)})
        self._writer.close()

    def _note(self, rows: pa.Table | pa.RecordBatch) -> None:
        self.rows += rows.num_rows
        times, processing = pc.min_max(rows.column("time")), pc.max(rows.column("processing_time"))
        found = [
            ("first_time", min, times["min"]),
            ("last_time", max, times["max"]),
            ("newest_processing_time", max, processing),
        ]
        for name, choose, scalar in found:
            if (value := scalar.as_py()) is not None:
                self._extremes[name] = choose(value, self._extremes.get(name, value))


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
