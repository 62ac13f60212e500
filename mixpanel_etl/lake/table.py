"""The events table: one Parquet file a day, published in one step or not at all."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from mixpanel_etl.lake.columns import CORE_SCHEMA, PromotedColumn, event_schema, in_core_schema
from mixpanel_etl.lake.dayfile import ExportProvenance, PublishedDay, read_day
from mixpanel_etl.lake.errors import DayShrinks, UnreadableFile, WriteConflict
from mixpanel_etl.lake.names import check_folder
from mixpanel_etl.lake.provenance import is_newer
from mixpanel_etl.lake.publication import publish, versions
from mixpanel_etl.lake.storage import Draft, Storage, storage
from mixpanel_etl.lake.suppression import Suppressed

if TYPE_CHECKING:
    import polars as pl

_BATCH_ROWS = 8_192


@dataclass(frozen=True)
class EventsTable:
    """`<lake>/<name>/date=YYYY-MM-DD/events.parquet`, on a disk or S3.

    Attributes:
        lake: path, `file://` or `s3://` URI of the lake.
        name: folder of this table in the lake.
        promoted: properties with a typed column.

    Raises:
        ConfigurationError: an unknown kind of URI, a name that leads out of the lake, or columns that clash.
    """

    lake: str
    name: str = "events"
    promoted: Sequence[PromotedColumn] = ()
    schema: pa.Schema = field(init=False)
    storage: Storage = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "schema", event_schema(self.promoted))
        check_folder(self.name)
        object.__setattr__(self, "storage", storage(self.lake))

    @property
    def uri(self) -> str:
        return self.storage.uri(self.name)

    def days(self) -> list[date]:
        """The days that have a file, those without events included; sorted."""
        names = self.storage.names(self.name, "/events.parquet")
        found = (
            re.fullmatch(rf"{re.escape(self.name)}/date=(\d{{4}}-\d\d-\d\d)/events\.parquet", name) for name in names
        )
        return [date.fromisoformat(match[1]) for match in found if match]

    def day(self, day: date) -> PublishedDay | None:
        """What is published for a day; None if nothing is.

        Raises:
            UnreadableFile: what is there is no Parquet file.
        """
        uri = self.storage.uri(self._file(day))
        try:
            return self.storage.read_with(self._file(day), lambda handle: read_day(handle, day, uri))
        except FileNotFoundError:
            return None
        except pa.ArrowInvalid as error:
            raise UnreadableFile(uri, str(error)) from error

    def file_schema(self, day: date) -> pa.Schema:
        """The schema that a published day really has.

        Raises:
            FileNotFoundError: the day is not published.
        """
        return self.storage.read_with(self._file(day), pq.read_schema)

    def batches(self, day: date) -> Iterator[pa.RecordBatch]:
        """The rows of a day in the columns that all events have, some thousand at a time.

        Raises:
            FileNotFoundError: the day is not published.
        """
        with self.storage.snapshot(self._file(day)) as handle, pq.ParquetFile(handle, pre_buffer=False) as file:
            for batch in file.iter_batches(_BATCH_ROWS, columns=CORE_SCHEMA.names, use_threads=False):
                yield in_core_schema(batch)

    def scan(self, days: Iterable[date] | None = None) -> pl.LazyFrame:
        """The published events of some days (all by default), lazily.

        A day that is not published contributes nothing.
        """
        import polars as pl

        present = self.days()
        wanted = set(present if days is None else days)
        files = [self._file(day) for day in present if day in wanted]
        return pl.scan_pyarrow_dataset(self.storage.dataset(files, self.schema))

    def publish(
        self, day: date, draft: Draft, rows: int, provenance: ExportProvenance, *, allow_shrink: bool = False
    ) -> PublishedDay:
        """Make a finished draft the file of its day, in one step.

        Args:
            day: the partition.
            draft: a complete file, see `write_day`.
            rows: how many it has. Those of suppressed persons are left out (see `lake.suppression`), and do not
                count as a loss.
            provenance: of the request that they came from.
            allow_shrink: replace a file that has more rows.

        Returns:
            The day as published; the one that is there already when a later request wrote it.

        Raises:
            DayShrinks: the lake has more rows for the day, and keeps them.
            ForeignFile: another project's file is there.
            OSError: the upload failed; what was there remains.
        """
        name = self._file(day)
        for version in versions(self.storage, name):
            present = self.day(day)
            if present and is_newer(present.uri, present.request, provenance):
                return present
            if present and not allow_shrink and rows < present.rows - self._suppressed(day, rows < present.rows):
                raise DayShrinks(day, (present.rows, rows))
            with suppress(WriteConflict):
                publish(self.storage, draft, name, version)
                if published := self.day(day):
                    return published
                break
        raise FileNotFoundError(f"{self.storage.uri(name)} vanished when it was published")

    def _suppressed(self, day: date, matters: bool) -> int:
        """How many rows of a published day are of suppressed persons, whom the export may have lost already."""
        if not matters or not (suppressed := Suppressed(self.storage)):
            return 0
        return self.storage.read_with(self._file(day), lambda handle: suppressed.count(pq.ParquetFile(handle)))

    def _file(self, day: date) -> str:
        return f"{self.name}/date={day}/events.parquet"
