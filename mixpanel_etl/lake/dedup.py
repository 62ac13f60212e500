"""Which rows of a day are copies: Mixpanel's raw export returns every ingested one (api-facts 1.4).

Copies agree in event, time, distinct_id and $insert_id. The one with the newest processing time stays, of equally new
ones the last received. Rows without an $insert_id are never copies. Keys are compared by 128 bits of hash.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator

import polars as pl
import pyarrow as pa

from mixpanel_etl.lake.columns import DEDUP_KEY
from mixpanel_etl.lake.spill import Spill

#: Rows compared at once. Copies meet in one bucket, because the bucket is taken from their hash.
BUCKET_ROWS = 250_000


def keys_of(rows: pa.Table) -> pl.DataFrame:
    """What is compared: 25 bytes for each row (with the columns of `stored_schema`), in their order."""
    events = pl.DataFrame(pl.from_arrow(rows.select([*DEDUP_KEY, "processing_time"])))
    identity = events.select(DEDUP_KEY)
    return pl.DataFrame(
        {
            "hash": identity.hash_rows(seed=1),
            "hash2": identity.select(reversed(DEDUP_KEY)).hash_rows(seed=2),
            "processing_time": events["processing_time"],
            "has_insert_id": events["insert_id"].is_not_null(),
        }
    )


def copies(keys: Iterable[pl.DataFrame], rows: int) -> pl.Series:
    """The rows to leave out, so that of each event one copy remains.

    Args:
        keys: `keys_of` the rows, in their order.
        rows: how many there are.

    Returns:
        Row numbers from 0 (sorted).
    """
    buckets = rows // BUCKET_ROWS + 1
    numbered = _numbered(keys)
    if buckets == 1:
        return _older(list(numbered))
    with tempfile.TemporaryFile(buffering=0) as file:
        spill = Spill(file)
        for frame in numbered:
            bucket = (pl.col("hash") % buckets).alias("bucket")
            for (number,), part in frame.group_by(bucket, maintain_order=True):
                spill.add(int(number), part.select(frame.columns).to_arrow())
        found = [_older([pl.DataFrame(pl.from_arrow(b)) for b in spill.read(number)]) for number in range(buckets)]
    return pl.concat(found).sort()


def _numbered(keys: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    row = 0
    for frame in keys:
        yield frame.select(pl.int_range(row, row + len(frame), dtype=pl.Int64).alias("row"), pl.all()).filter(
            "has_insert_id"
        )
        row += len(frame)


def _older(keys: list[pl.DataFrame]) -> pl.Series:
    if not keys:
        return pl.Series("row", [], dtype=pl.Int64)
    # Few rows have a twin; only those are sorted.
    twins = pl.concat(keys).filter(pl.col("hash").is_duplicated())
    newest_last = twins.sort("hash", "hash2", "processing_time", "row", nulls_last=False)
    kept = pl.struct("hash", "hash2").is_last_distinct()
    return newest_last.filter(~kept)["row"].sort()
