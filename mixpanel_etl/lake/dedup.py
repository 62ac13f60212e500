"""Which rows of a day are copies: Mixpanel's raw export returns every ingested one (mixpanel-api.md#deduplication).

Copies agree in event, time, distinct_id and $insert_id. The one with the newest processing time stays, of equally new
ones the last received. Rows without an $insert_id are never copies, nor are those whose $insert_id says nothing (`""`,
`"undefined"`, `"null"`...).
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mixpanel_etl.lake.event_columns import DEDUP_KEY
from mixpanel_etl.reserved_ids import RESERVED_IDS, is_reserved

#: Rows compared at once. Copies meet in one bucket, because the bucket is taken from their time.
BUCKET_ROWS = 150_000

_COMPACTION_KEY = ("event_name", "distinct_id", "insert_id")

#: Gives rows from the first, with at least the columns asked for.
Read = Callable[[Sequence[str]], Iterator[pa.RecordBatch]]


def copies(read: Read, rows: int) -> array[int]:
    """The rows to leave out, so that of each event one copy remains.

    Args:
        read: gives the rows; called once or twice for every `BUCKET_ROWS` of them.
        rows: how many there are.

    Returns:
        Row numbers from 0, sorted.
    """
    buckets = rows // BUCKET_ROWS + 1
    found = array("q")
    for bucket in range(buckets):
        # Few rows share their $insert_id with another; only those are looked at closely.
        repeated = _repeated(read(("time", "insert_id")), bucket, buckets)
        if len(repeated):
            found.extend(_older(read((*DEDUP_KEY, "processing_time")), repeated, bucket, buckets))
    return found if buckets == 1 else array("q", sorted(found))


def compactable(read: Read) -> int:
    """How many rows Mixpanel's compaction may take out of a day.

    It leaves one of the rows that agree in event, distinct_id and `$insert_id`, regardless of their times
    (mixpanel-api.md#deduplication).

    Args:
        read: gives the rows of the day; called once.
    """
    import polars as pl

    hashes, rows = [], 0
    for batch in read(_COMPACTION_KEY):
        key = pl.col("insert_id").str.strip_chars().str.to_lowercase()
        telling = pl.DataFrame(batch.select(_COMPACTION_KEY)).filter(key != "", ~key.is_in(RESERVED_IDS))
        hashes.append(telling.hash_rows().to_numpy())
        rows += telling.height
    return rows - len(np.unique(np.concatenate(hashes))) if hashes else 0


def _repeated(batches: Iterator[pa.RecordBatch], bucket: int, buckets: int) -> pa.Array:
    ids = [batch.column("insert_id").filter(_in_bucket(batch, bucket, buckets)) for batch in batches]
    counts = pc.value_counts(pa.chunked_array(ids, pa.string()))
    repeated = counts.field("values").filter(pc.greater(counts.field("counts"), 1)).to_pylist()
    return pa.array([insert_id for insert_id in repeated if not is_reserved(insert_id)], pa.string())


def _older(batches: Iterator[pa.RecordBatch], repeated: pa.Array, bucket: int, buckets: int) -> list[int]:
    twins = []
    row = 0
    for batch in batches:
        wanted = pc.and_(_in_bucket(batch, bucket, buckets), pc.is_in(batch.column("insert_id"), repeated))
        numbered = batch.select([*DEDUP_KEY, "processing_time"]).append_column("row", pa.arange(row, row + len(wanted)))
        twins.append(numbered.filter(wanted))
        row += batch.num_rows
    order = [(name, "ascending", "at_start") for name in (*DEDUP_KEY, "processing_time", "row")]
    table = pa.Table.from_batches(twins)
    newest_last = table.take(pc.sort_indices(table, sort_keys=order))
    keys = list(zip(*(newest_last.column(name).to_pylist() for name in DEDUP_KEY), strict=True))
    numbers = newest_last.column("row").to_pylist()
    return sorted(numbers[n] for n in range(len(keys) - 1) if keys[n] == keys[n + 1])


def _in_bucket(batch: pa.RecordBatch, bucket: int, buckets: int) -> pa.Array:
    has_id = batch.column("insert_id").is_valid()
    if buckets == 1:
        return has_id
    seconds = pc.divide(batch.column("time").cast(pa.int64()), 1000)  # many projects send seconds without fractions
    return pc.and_(has_id, pc.equal(pc.subtract(seconds, pc.multiply(pc.divide(seconds, buckets), buckets)), bucket))
