"""Which rows of a day are copies: Mixpanel's raw export returns every ingested one (api-facts 1.4)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import polars as pl
import pyarrow as pa

from mixpanel_etl.lake.columns import DEDUP_KEY
from mixpanel_etl.lake.spill import Spill

#: Rows compared at once. Copies meet in one bucket, because the bucket is taken from their hash.
BUCKET_ROWS = 250_000
_KEYS = pa.schema(
    [
        ("bucket", pa.int32()),
        ("hash", pa.uint64()),
        ("hash2", pa.uint64()),
        ("processing", pa.int64()),
        ("row", pa.int64()),
    ]
)


def copies(batches: Iterable[pa.RecordBatch], rows: int) -> pl.Series:
    """The rows to leave out, so that of each event one copy remains.

    Copies agree in event, time, distinct_id and $insert_id; the one with the newest processing time stays, of equally new ones
    the last received. Rows without an $insert_id are never copies (api-facts 1.4). Keys are compared by 128 bits of hash.

    Args:
        batches: one day, with the columns of `stored_schema`.
        rows: how many there are.

    Returns:
        Row numbers (int64, sorted) from the first batch's first row on.
    """
    buckets = rows // BUCKET_ROWS + 1
    keys = _keys(batches, buckets)
    if buckets == 1:
        return _losers([pl.DataFrame(pl.from_arrow(batch)) for batch in keys]).sort()
    with Spill(_KEYS, key="bucket") as spill:
        for batch in keys:
            spill.add(batch)
        spill.finish()
        found = [
            _losers([pl.DataFrame(pl.from_arrow(b)) for b in spill.read(bucket)]) for bucket in range(buckets)
        ]
    return pl.concat(found).sort()


def _keys(batches: Iterable[pa.RecordBatch], buckets: int) -> Iterator[pa.RecordBatch]:
    row = 0
    for batch in batches:
        events = pl.DataFrame(pl.from_arrow(batch.select([*DEDUP_KEY, "processing_time"])))
        identity = events.select(DEDUP_KEY)
        keys = pl.DataFrame(
            {
                "hash": identity.hash_rows(seed=1),
                "hash2": identity.select(reversed(DEDUP_KEY)).hash_rows(seed=2),
                "processing": events["processing_time"],
                "row": pl.int_range(row, row + len(events), eager=True),
            }
        ).select((pl.col("hash") % buckets).cast(pl.Int32).alias("bucket"), pl.all())
        row += len(events)
        yield from keys.filter(events["insert_id"].is_not_null()).to_arrow().cast(_KEYS).to_batches()


def _losers(keys: list[pl.DataFrame]) -> pl.Series:
    if not keys:
        return pl.Series("row", [], dtype=pl.Int64)
    # Few rows have a twin; only those are sorted.
    twins = pl.concat(keys).filter(pl.col("hash").is_duplicated())
    newest_last = twins.sort("hash", "hash2", "processing", "row", nulls_last=False)
    kept = pl.struct("hash", "hash2").is_last_distinct()
    return newest_last.filter(~kept)["row"]
