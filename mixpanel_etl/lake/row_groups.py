"""Rows on their way into a Parquet file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa

from mixpanel_etl.lake.person_columns import ID_COLUMNS

#: A row group: few enough rows to skip by statistics and to hold in memory, enough to compress.
ROW_GROUP_ROWS = 65_536
ROW_GROUP_BYTES = 6 << 20
#: Persons in a row group, and how often a filter may say "perhaps" of one who is not in it. 16 KB a column.
BLOOM_FILTER = {"ndv": 8_192, "fpp": 0.01}


def bloom_filters(schema: pa.Schema) -> dict[str, Any] | None:
    """The writer's `bloom_filter_options`: to find a person's files without reading all of them."""
    names = [name for name in ID_COLUMNS if name in schema.names and schema.field(name).type == pa.string()]
    return dict.fromkeys(names, BLOOM_FILTER) or None


def row_groups(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """The batches put together: the writer makes at least one row group of each table."""
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
