"""Rows on their way into a Parquet file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa

#: A row group: few enough rows to skip by statistics and to hold in memory, enough to compress.
ROW_GROUP_ROWS = 65_536
ROW_GROUP_BYTES = 6 << 20


def row_groups(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """The batches put together: the writer makes (at least) one row group of whatever it is given."""
    held: list[pa.RecordBatch] = []
    size = 0
    for batch in batches:
        held.append(batch)
        size += batch.nbytes
        if size >= ROW_GROUP_BYTES:
            yield pa.Table.from_batches(held)
            held, size = [], 0
    if held:
        yield pa.Table.from_batches(held)
