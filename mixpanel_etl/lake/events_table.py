"""The events table: one Parquet file a day, published in one step or not at all."""

from __future__ import annotations

import gzip
import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from typing import IO, TYPE_CHECKING, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq

from mixpanel_etl.lake.column_record import check_columns
from mixpanel_etl.lake.day_file import ExportProvenance, PublishedDay, read_day
from mixpanel_etl.lake.dedup import compactable
from mixpanel_etl.lake.errors import ConfigurationError, DayShrinks
from mixpanel_etl.lake.event_columns import CORE_SCHEMA, DEDUP_KEY, PromotedColumn, event_schema, in_core_schema
from mixpanel_etl.lake.partitioned_table import PartitionedTable
from mixpanel_etl.lake.person_columns import ANYWHERE
from mixpanel_etl.lake.scanning import Scan
from mixpanel_etl.lake.storage import Draft
from mixpanel_etl.lake.suppression import Suppressed, reply_without_suppressed

if TYPE_CHECKING:
    import polars as pl

_BATCH_ROWS = 8_192
_MALFORMED, _LINES = "_malformed", ".jsonl.gz"  # not in the table's own folder, where some readers want Parquet only


@dataclass(frozen=True)
class EventsTable(PartitionedTable[PublishedDay]):
    """`<lake>/<name>/date=YYYY-MM-DD/events.parquet`, on a disk or S3.

    Attributes:
        lake: path, `file://` or `s3://` URI of the lake.
        name: folder of this table in the lake.
        promoted: properties with a typed column.
        shrink_tolerance: share of a day's rows (0 to 1) that a new export may lack before the day is held back, beside
            what deduplication explains.

    Raises:
        ConfigurationError: an unknown kind of URI, a name that leads out of the lake, columns that clash, or a
            share outside 0 to 1.
    """

    name: str = "events"
    promoted: Sequence[PromotedColumn] = ()
    shrink_tolerance: float = 0.0
    column: str = field(default="date", init=False)
    schema: pa.Schema = field(init=False)

    file: ClassVar[str] = "events.parquet"

    def __post_init__(self) -> None:
        if not 0 <= self.shrink_tolerance <= 1:
            raise ConfigurationError(f"shrink_tolerance must be a share from 0 to 1, not {self.shrink_tolerance}")
        object.__setattr__(self, "schema", event_schema(self.promoted))
        super().__post_init__()

    @property
    def malformed_uri(self) -> str:
        """The folder of the lines that were set aside."""
        return self.storage.uri(f"{_MALFORMED}/{self.name}")

    def days(self) -> list[date]:
        """The days that have a file, including those without events; sorted."""
        return [date.fromisoformat(key) for key in self.keys() if re.fullmatch(r"\d{4}-\d\d-\d\d", key)]

    def day(self, day: date) -> PublishedDay | None:
        """What is published for a day; None if nothing is.

        Raises:
            UnreadableFile: the file is not a Parquet file.
        """
        return self._published(str(day))

    def file_schema(self, day: date) -> pa.Schema:
        """The schema that a published day really has.

        Raises:
            FileNotFoundError: the day is not published.
        """
        return self.storage.read_with(self._path(str(day)), pq.read_schema)

    def batches(self, day: date) -> Iterator[pa.RecordBatch]:
        """The rows of a day in the columns that all events have, some thousand at a time.

        Raises:
            FileNotFoundError: the day is not published.
        """
        with self.storage.snapshot(self._path(str(day))) as handle, pq.ParquetFile(handle, pre_buffer=False) as file:
            for batch in file.iter_batches(_BATCH_ROWS, columns=CORE_SCHEMA.names, use_threads=False):
                yield in_core_schema(batch)

    def scan(self, days: Iterable[date] | None = None) -> pl.LazyFrame:
        """The published events of some days (all by default), lazily.

        A promoted column that had other types on some days has a type that holds the values of all, if need be a
        string. A day that is not published contributes nothing.
        """
        present = self.days()
        wanted = set(present if days is None else days)
        files = [self._path(str(day)) for day in present if day in wanted]
        return Scan(self.storage, self.name, self.schema, others=False).files(files)

    def check_columns(self) -> None:
        """Make sure that the promoted columns hold the same properties as on the days that are published.

        Raises:
            ColumnTaken: another property fills one of them.
        """
        check_columns(self.storage, self.name, self.schema)

    def publish(
        self,
        day: date,
        draft: Draft,
        rows: int,
        provenance: ExportProvenance,
        *,
        allow_shrink: bool = False,
        malformed: Sequence[bytes] = (),
    ) -> PublishedDay:
        """Make a finished draft the file of its day, in one step.

        Args:
            day: the partition.
            draft: a complete file, see `write_day`.
            rows: how many it has. Those of suppressed persons are left out (see `lake.suppression`), and do not
                count as a loss.
            provenance: of the request that they came from.
            allow_shrink: replace a file that has more rows.
            malformed: malformed lines of the day; they are kept beside it and count as rows.

        Returns:
            The day as published; the one that is there already when a later request wrote it.

        Raises:
            DayShrinks: the lake has more rows for the day, and keeps them.
            ForeignFile: another project's file is there.
            OSError: the upload failed; what was there remains.
        """

        def check(present: PublishedDay | None) -> None:
            received = rows + len(malformed)
            if present and not allow_shrink and received < present.rows:
                self._check_loss(day, received, present.rows)
            self._keep_malformed(day, malformed)

        published, is_draft = self._replace(str(day), draft, provenance, check)
        return replace(published, malformed=len(malformed)) if is_draft else published

    def malformed(self, days: Iterable[date] | None = None) -> dict[date, list[bytes]]:
        """Malformed lines of exports, as they came, by the day beside which they were set aside.

        Args:
            days: only these (all by default). A day without such lines is not in the reply.
        """
        start = f"{_MALFORMED}/{self.name}/date="
        names = (name for name in self.storage.names(f"{_MALFORMED}/{self.name}", _LINES) if name.startswith(start))
        found = {date.fromisoformat(name.removeprefix(start).removesuffix(_LINES)): name for name in names}
        wanted = set(found) if days is None else set(days)
        lines = {}
        for day in sorted(wanted & set(found)):
            with self.storage.open(found[day]) as handle:
                kept = gzip.decompress(handle.read()).splitlines()
            lines[day] = [json.loads(line)["line"].encode("utf-8", "surrogateescape") for line in kept]
        return lines

    def _keep_malformed(self, day: date, lines: Sequence[bytes]) -> None:
        name = f"{_MALFORMED}/{self.name}/date={day}{_LINES}"
        # As JSON: a file that is not text would keep erasures from being certified.
        json_lines = (json.dumps({"line": line.decode("utf-8", "surrogateescape")}) + "\n" for line in lines)
        kept = reply_without_suppressed(self.storage, "".join(json_lines).encode(), ANYWHERE) if lines else None
        if kept:
            self.storage.write(name, kept)
        else:
            self.storage.remove(name)

    def _check_loss(self, day: date, rows: int, before: int) -> None:
        """Hold a day back that has fewer rows than before, unless the loss is explained.

        The export may have lost suppressed persons already, and copies: Mixpanel's compaction leaves one row of those
        that agree in event, distinct_id and `$insert_id`, regardless of their times (mixpanel-api.md#deduplication),
        where this table keeps one for each time.
        """
        explained = self.storage.read_with(self._path(str(day)), partial(self._explained, before - rows))
        allowed = math.floor(before * self.shrink_tolerance)
        if rows < before - explained - allowed:
            raise DayShrinks(day, (before, rows), explained, allowed)

    def _explained(self, missing: int, handle: IO[bytes]) -> int:
        with pq.ParquetFile(handle, pre_buffer=False) as file:
            suppressed = Suppressed(self.storage).count(file)
            if suppressed >= missing or not set(DEDUP_KEY) <= set(file.schema_arrow.names):
                return suppressed
            return suppressed + compactable(lambda names: file.iter_batches(_BATCH_ROWS, columns=list(names)))

    def _described(self, file: IO[bytes], key: str, uri: str) -> PublishedDay:
        return read_day(file, date.fromisoformat(key), uri)
