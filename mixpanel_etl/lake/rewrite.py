"""A Parquet file written again without some of its rows: schema, row groups, encodings and metadata stay."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from mixpanel_etl.lake.day_file import WrittenRows
from mixpanel_etl.lake.provenance import METADATA_KEY, read_record, write_record
from mixpanel_etl.lake.row_groups import BLOOM_FILTER

#: Given the rows of a row group: those to be kept, and None when all of them stay as they are.
Change = Callable[[pa.Table], pa.Table | None]


def rewrite(
    source: IO[bytes],
    path: str,
    change: Change,
    amend: Callable[[dict[str, Any], int], Mapping[str, Any]],
    scrub: Callable[[pa.Schema], pa.Schema] = lambda schema: schema,
) -> int:
    """Write a file again, one row group at a time.

    Args:
        source: the file as it is.
        path: where the new one goes.
        change: what becomes of the rows of a row group.
        amend: the file's record as it is to be, made of the one that is there (its times are those of the rows kept)
            and the number of rows left out.
        scrub: what becomes of the file's schema, metadata included; it may leave out columns.

    Returns:
        How many rows were left out.
    """
    with pq.ParquetFile(source, pre_buffer=False) as file:
        whole = file.schema_arrow
        others = {key: value for key, value in (whole.metadata or {}).items() if key != METADATA_KEY.encode()}
        schema = scrub(whole.with_metadata(others or None))
        seen = WrittenRows()
        removed = 0
        with pq.ParquetWriter(path, schema, **_like(file.metadata)) as writer:
            for number in range(file.num_row_groups):
                rows = file.read_row_group(number, use_threads=False)
                kept = change(rows)
                kept = rows if kept is None else kept
                removed += rows.num_rows - kept.num_rows
                if kept.num_rows:
                    kept = kept if kept.column_names == schema.names else kept.select(schema.names)
                    kept = pa.Table.from_arrays(kept.columns, schema=schema)
                    writer.write_table(kept, row_group_size=kept.num_rows)
                    seen.add(kept)
            record = read_record(file.metadata)
            if "first_time" in record:
                times = ("first_time", "last_time", "newest_processing_time")
                record = {**{key: value for key, value in record.items() if key not in times}, **seen.times}
            write_record(writer, amend(record, removed))
    return removed


def _like(footer: pq.FileMetaData) -> dict[str, Any]:
    """The writer's options that make files like this one."""
    if not footer.num_row_groups:
        return {"compression": "zstd", "compression_level": 1}
    group = footer.row_group(0)
    columns = [group.column(number) for number in range(group.num_columns)]
    compression = {
        column.path_in_schema: column.compression.lower().replace("uncompressed", "none") for column in columns
    }
    return {
        "compression": compression,
        "compression_level": {name: 1 for name, codec in compression.items() if codec == "zstd"} or None,
        "use_dictionary": [column.path_in_schema for column in columns if column.has_dictionary_page],
        "write_statistics": [column.path_in_schema for column in columns if column.is_stats_set],
        "bloom_filter_options": {
            column.path_in_schema: BLOOM_FILTER for column in columns if column.bloom_filter_length is not None
        }
        or None,
    }
