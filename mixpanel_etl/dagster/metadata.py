"""What the Dagster UI shows of tables: their columns, a preview, what they cost."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import dagster as dg
import pyarrow as pa

from mixpanel_etl.client import Mixpanel
from mixpanel_etl.lake import EventsTable, Partition, Table
from mixpanel_etl.pull.reports import WITHHELD

_PREVIEW_ROWS = 10
#: Beside each preview: its columns whose values are not shown. Previews of older versions, which showed all, lack it.
WITHHELD_COLUMNS = "mixpanel_etl/withheld_columns"


def declared_table(table: EventsTable | Table, descriptions: Mapping[str, str]) -> dict[str, Any]:
    """The metadata of an asset's definition: where its table is, its name in the lake, and its columns.

    Args:
        table: table of the lake.
        descriptions: description by column.
    """
    return {
        "dagster/column_schema": column_schema(table.schema, descriptions),
        "dagster/storage_kind": "parquet",
        "dagster/table_name": table.name,
        "dagster/uri": table.uri,
    }


def column_schema(schema: pa.Schema, descriptions: Mapping[str, str]) -> dg.TableSchema:
    """The columns as Dagster's catalogue shows them."""
    return dg.TableSchema(
        [
            dg.TableColumn(
                column.name,
                str(column.type.storage_type if isinstance(column.type, pa.BaseExtensionType) else column.type),
                description=descriptions.get(column.name),
                constraints=dg.TableColumnConstraints(nullable=column.nullable),
            )
            for column in schema
        ]
    )


def published(partition: Partition) -> dict[str, Any]:
    """The metadata of a materialization: rows, size, place."""
    return {
        "dagster/partition_row_count": partition.rows,
        "dagster/uri": partition.uri,
        "mixpanel_etl/bytes": partition.bytes,
    }


def preview(rows: pa.Table, shown: Collection[str]) -> dict[str, Any]:
    """The first rows, as the UI shows them. No erasure reaches Dagster's storage, so no value of a person goes there.

    Args:
        rows: as they were published.
        shown: columns that are declared to tell nothing of a person; of the others the UI shows where they are null.
    """
    first = rows.slice(0, _PREVIEW_ROWS).to_pylist()
    records = [
        dg.TableRecord({name: _plain(value) if name in shown else _withheld(value) for name, value in row.items()})
        for row in first
    ]
    return {
        "mixpanel_etl/preview": dg.MetadataValue.table(records, column_schema(rows.schema, {})),
        WITHHELD_COLUMNS: [name for name in rows.schema.names if name not in shown],
    }


def queries(mixpanel: Mixpanel) -> dict[str, Any]:
    """Queries that this client has spent, and what is left of the hour's budget for everybody."""
    return {
        "mixpanel_etl/queries_spent": mixpanel.spent("query"),
        "mixpanel_etl/queries_left": mixpanel.budget("query").left,
    }


def _withheld(value: Any) -> str | None:
    return None if value is None else WITHHELD


def _plain(value: Any) -> str | int | float | bool | None:
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
