"""What the Dagster UI shows of tables: columns, freshness, a preview, queries spent."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import dagster as dg
import pyarrow as pa

from mixpanel_etl.client import Mixpanel
from mixpanel_etl.dagster.schedules import fresh
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


def table_spec(
    spec: dg.AssetSpec,
    table: EventsTable | Table,
    descriptions: Mapping[str, str],
    partitions: dg.TimeWindowPartitionsDefinition,
    cron_schedule: str | None = None,
) -> dg.AssetSpec:
    """The spec of an asset that is a table of the lake: its partitions, columns, kinds and freshness.

    Args:
        spec: key, group, owners, tags, description and metadata of the asset.
        table: table of the lake.
        descriptions: description by column.
        partitions: partitions of the table.
        cron_schedule: cron expression of the schedule that materializes it, if it has one.
    """
    declared = {**declared_table(table, descriptions), **spec.metadata}
    spec = spec.replace_attributes(partitions_def=partitions).merge_attributes(
        kinds={"mixpanel", "parquet"}, metadata=declared
    )
    return fresh(spec, cron_schedule, partitions.timezone) if cron_schedule else spec


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


def column_lineage(upstream: dg.AssetKey, sources: Mapping[str, str]) -> dg.TableColumnLineage:
    """The upstream column of each column.

    Args:
        upstream: key of the upstream asset.
        sources: upstream column by column.
    """
    return dg.TableColumnLineage({name: [dg.TableColumnDep(upstream, source)] for name, source in sources.items()})


def published(partition: Partition) -> dict[str, Any]:
    """The metadata of a materialization: rows, size, URI."""
    return {
        "dagster/partition_row_count": partition.rows,
        "dagster/uri": partition.uri,
        "mixpanel_etl/bytes": partition.bytes,
    }


def preview(rows: pa.Table, shown: Collection[str]) -> dict[str, Any]:
    """The first rows, as the UI shows them. Erasure doesn't reach Dagster's storage, so personal data is withheld.

    Args:
        rows: rows as they were published.
        shown: columns without personal data; of the others only null values are shown.
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
    """Queries that this client has spent, and the rest of the project's budget for this hour."""
    return {
        "mixpanel_etl/queries_spent": mixpanel.spent("query"),
        "mixpanel_etl/queries_left": mixpanel.budget("query").left,
    }


def _withheld(value: Any) -> str | None:
    return None if value is None else WITHHELD


def _plain(value: Any) -> str | int | float | bool | None:
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
