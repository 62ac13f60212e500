"""Tables whose partitions are single Parquet files: reports, snapshots, catalogues, rejected rows."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from mixpanel_etl.lake.documents import packed
from mixpanel_etl.lake.errors import PartitionsHeldBack, shrinks
from mixpanel_etl.lake.partitioned_table import PartitionedTable
from mixpanel_etl.lake.person_columns import Places, declares_persons
from mixpanel_etl.lake.provenance import Provenance, read_record, write_record
from mixpanel_etl.lake.row_groups import ROW_GROUP_ROWS, bloom_filters, row_groups
from mixpanel_etl.lake.scanning import Scan
from mixpanel_etl.lake.suppression import reply_without_suppressed

if TYPE_CHECKING:
    import polars as pl

_REPLIES = "_replies"  # engines skip folders and files that begin with an underscore


@dataclass(frozen=True)
class Partition:
    """A published partition, as its file tells it.

    Attributes:
        provenance: the `Provenance` in its plain form; empty for a file that this package did not write.
    """

    key: str
    uri: str
    rows: int
    bytes: int
    provenance: dict[str, Any]

    @property
    def requested_at(self) -> datetime | None:
        """When its rows were asked for (UTC)."""
        text = self.provenance.get("requested_at")
        return datetime.fromisoformat(text).astimezone(UTC) if text else None


@dataclass(frozen=True)
class Table(PartitionedTable[Partition]):
    """`<lake>/<name>/<column>=<key>/data.parquet`, on a disk or S3: one file per partition, published in one step.

    Attributes:
        lake: path, `file://` or `s3://` URI of the lake.
        name: folder of this table in the lake; may have several levels, e.g. `reports/signups`.
        schema: schema of every file, without the partition column, which readers make of the folder's name.
        column: name of the partition column.

    Raises:
        ConfigurationError: an unknown kind of URI, or a name that leads out of the lake.
    """

    schema: pa.Schema

    def partition(self, key: str) -> Partition | None:
        """What is published for a partition; None if nothing is.

        Raises:
            UnreadableFile: the file is not a Parquet file.
        """
        return self._published(key)

    def write(
        self,
        key: str,
        rows: pa.Table | Iterable[pa.RecordBatch],
        provenance: Provenance,
        *,
        allow_shrink: bool = True,
    ) -> Partition:
        """Publish a partition, replacing what was there.

        Args:
            key: of the partition.
            rows: in the table's schema; read once, and never held as a whole when they come as batches.
            provenance: goes into the file's metadata.
            allow_shrink: replace a partition that has more than twice as many rows.

        Returns:
            The partition as published; the one that is there already when a later request wrote it.

        Raises:
            ForeignFile: another project's file is there.
            PartitionsHeldBack: the partition would shrink, which is not allowed.
            OSError: the disk is full or the upload failed; what was there remains.
        """
        batches = rows.to_batches() if isinstance(rows, pa.Table) else rows
        with self.storage.draft(self.name.replace("/", "-")) as draft:
            write_parquet(draft.path, batches, self.schema, provenance)
            arrived = pq.read_metadata(draft.path).num_rows

            def check(present: Partition | None) -> None:
                if present and not allow_shrink and shrinks(present.rows, arrived):
                    raise PartitionsHeldBack({key: (present.rows, arrived)})

            return self._replace(key, draft, provenance, check)[0]

    def as_published(self, partition: Partition, rows: pa.Table) -> pa.Table:
        """The rows of a partition that was just written: those of suppressed persons are not among them."""
        if partition.rows == rows.num_rows and not partition.provenance.get("suppressed"):
            return rows
        return pa.Table.from_batches(self.batches(partition.key), self.schema)

    def scan(self, keys: Iterable[str] | None = None) -> pl.LazyFrame:
        """The rows of some partitions (all by default), lazily, with the partition's key as a column of strings.

        Columns that only some partitions have are null in the others; one that has several types in them has a type
        that holds the values of all, if need be a string. A partition that is not published contributes nothing.
        """
        import polars as pl

        present = self.keys()
        wanted = set(present if keys is None else keys)
        scan = Scan(self.storage, self.name, self.schema, others=True)
        frames = [
            scan.files([self._path(key)]).with_columns(pl.lit(key).alias(self.column))
            for key in present
            if key in wanted
        ]
        return pl.concat(frames) if frames else scan.empty().with_columns(pl.lit("").alias(self.column))

    def batches(self, key: str) -> Iterator[pa.RecordBatch]:
        """The rows of a partition in the table's schema, a batch at a time; none if it is not published."""
        with suppress(FileNotFoundError), self.storage.snapshot(self._path(key)) as file:
            yield from ds.ParquetFileFormat().make_fragment(file).to_batches(schema=self.schema)

    def remove(self, key: str) -> None:
        """Remove a partition; harmless when there is none."""
        self.storage.remove(self._path(key))

    def keep_reply(self, name: str, content: bytes) -> str:
        """Keep a raw reply of Mixpanel beside the rows that were made of it: `_replies/<name>.gz`. Its address.

        Suppressed persons are left out, see `lake.suppression`.
        """
        path = f"{self.name}/{_REPLIES}/{quote(name, safe='=.')}.gz"
        kept = reply_without_suppressed(self.storage, content, Places(segments=declares_persons(self.schema)))
        self.storage.write(path, packed(b"") if kept is None else kept)
        return self.storage.uri(path)

    def reply(self, name: str) -> bytes | None:
        """A raw reply that was kept."""
        try:
            with self.storage.open(f"{self.name}/{_REPLIES}/{quote(name, safe='=.')}.gz") as handle:
                return gzip.decompress(handle.read())
        except FileNotFoundError:
            return None

    def _described(self, file: IO[bytes], key: str, uri: str) -> Partition:
        size, footer = file.seek(0, 2), pq.read_metadata(file)
        return Partition(key, uri, footer.num_rows, size, read_record(footer))


def write_parquet(path: str, batches: Iterable[pa.RecordBatch], schema: pa.Schema, provenance: Provenance) -> None:
    """Write a file of a `Table`."""
    options = {"compression": "zstd", "compression_level": 1, "bloom_filter_options": bloom_filters(schema)}
    with pq.ParquetWriter(path, schema, **options) as writer:
        for rows in row_groups(batches):
            writer.write_table(rows, row_group_size=ROW_GROUP_ROWS)
        write_record(writer, provenance.plain())
