"""Which rows of a day are copies: Mixpanel's raw export returns every ingested one (api-facts 1.4).

Copies agree in event, time, distinct_id and $insert_id. The one with the newest processing time stays, of equally new
ones the last received. Rows without an $insert_id are never copies.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from mixpanel_etl.lake.columns import DEDUP_KEY

#: Rows compared at once. Copies meet in one bucket, because the bucket is taken from their time.
BUCKET_ROWS = 250_000
KEY_COLUMNS = (*DEDUP_KEY, "processing_time")


def copies(read: Callable[[], Iterator[pa.RecordBatch]], rows: int) -> array[int]:
    """The rows to leave out, so that of each event one copy remains.

    Args:
        read: gives the rows from the first; called once for every `BUCKET_ROWS` rows.
        rows: how many there are.

    Returns:
        Row numbers from 0, sorted.
    """
    buckets = rows // BUCKET_ROWS + 1
    found = array("q")
    for bucket in range(buckets):
        found.extend(_older(_bucket(read(), bucket, buckets)))
    return found if buckets == 1 else array("q", sorted(found))


def _bucket(batches: Iterator[pa.RecordBatch], bucket: int, buckets: int) -> pa.Table:
    parts = []
    row = 0
    for batch in batches:
        numbered = batch.select(KEY_COLUMNS).append_column("row", pa.arange(row, row + batch.num_rows))
        row += batch.num_rows
        wanted = batch.column("insert_id").is_valid()
        if buckets > 1:
            times = pc.divide(batch.column("time").cast(pa.int64()), 1000)  # many projects send whole seconds
            modulo = pc.subtract(times, pc.multiply(pc.divide(times, buckets), buckets))
            wanted = pc.and_(wanted, pc.equal(modulo, bucket))
        parts.append(numbered if pc.all(wanted).as_py() else numbered.filter(wanted))
    return pa.Table.from_batches(parts) if parts else pa.table({name: [] for name in (*KEY_COLUMNS, "row")})


def _older(rows: pa.Table) -> list[int]:
    counts = pc.value_counts(rows.column("insert_id"))
    repeated = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
    if not len(repeated):
        return []
    # Few rows share their $insert_id with another; only those are compared.
    twins = rows.filter(pc.is_in(rows.column("insert_id"), repeated))
    order = [(name, "ascending", "at_start") for name in (*DEDUP_KEY, "processing_time", "row")]
    newest_last = twins.take(pc.sort_indices(twins, sort_keys=order))
    keys = list(zip(*(newest_last.column(name).to_pylist() for name in DEDUP_KEY), strict=True))
    numbers = newest_last.column("row").to_pylist()
    return sorted(numbers[n] for n in range(len(keys) - 1) if keys[n] == keys[n + 1])
