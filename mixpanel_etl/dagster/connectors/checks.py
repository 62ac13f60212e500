"""The check that compares the rows of a sync with those of its source: the API reports no invalid rows."""

# Dagster reads the annotations of checks, so they must be types, not strings.
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from mixpanel_etl.dagster.connectors.assets import ConnectorImport
from mixpanel_etl.dagster.recording import withheld_messages
from mixpanel_etl.warehouse import Warehouse, WarehouseError

if TYPE_CHECKING:
    from mixpanel_etl.dagster.connectors.component import MixpanelConnectors

CHECK = "rows_match_source"
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


def rows_match_source(component: "MixpanelConnectors", item: ConnectorImport) -> dg.AssetChecksDefinition:
    """Compares the rows of the last recorded sync with `source_count`."""

    @dg.asset_check(
        name=CHECK,
        asset=item.asset.key,
        description="The sync imported as many rows as the source has. Mixpanel drops invalid rows without an error.",
    )
    @withheld_messages()
    def check(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        event = context.instance.get_latest_materialization_event(item.asset.key)
        recorded = event.asset_materialization if event else None
        if recorded is None:
            return dg.AssetCheckResult(passed=True, description="no sync is recorded yet")
        metadata = {name: value.value for name, value in recorded.metadata.items()}
        try:
            expected = source_rows(component.warehouse_resource.warehouse(), item.source_count or "", metadata)
        except WarehouseError as error:
            return dg.AssetCheckResult(
                passed=False,
                severity=dg.AssetCheckSeverity.WARN,
                description=f"the rows of the source can't be counted: {error}",
            )
        return _compared(int(metadata.get("mixpanel_etl/rows_imported", 0)), expected)

    return check


def source_rows(warehouse: Warehouse, sql: str, metadata: dict[str, Any]) -> int:
    """The one number that a query returns.

    Args:
        warehouse: warehouse of the source.
        sql: query of one row with one integer. `$start` and `$end` are the starts of the previous sync and of this
            one: an append import (time_based) reads what was inserted in between.
        metadata: metadata of a recorded sync.

    Raises:
        WarehouseError: the query fails, or returns something else.
    """
    times = {"start": "mixpanel_etl/previous_sync_started", "end": "mixpanel_etl/started"}
    window = {name: _timestamp(metadata.get(key)) for name, key in times.items()}
    with warehouse.query(sql, window) as batches:
        rows = batches.read_all()
    if rows.shape != (1, 1) or not isinstance(number := rows.column(0)[0].as_py(), int):
        raise WarehouseError(
            f"source_count returned {rows.num_rows} rows of {rows.num_columns} columns; "
            "it must return one integer, e.g. SELECT count(*)"
        )
    return number


def _timestamp(seconds: float | None) -> datetime:
    return _NEVER if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _compared(imported: int, expected: int) -> dg.AssetCheckResult:
    metadata = {"rows_imported": imported, "rows_in_source": expected, "difference": imported - expected}
    if imported == expected:
        return dg.AssetCheckResult(passed=True, description=f"{imported:,} rows, as in the source", metadata=metadata)
    why = (
        "Mixpanel drops rows without a valid time, event or id, those of the future, and, in append imports, those "
        "that were committed with an insert time before the last sync"
        if imported < expected
        else "the source has shrunk since, or another sync imported rows, too"
    )
    return dg.AssetCheckResult(
        passed=False,
        description=f"{imported:,} rows were imported, and the source has {expected:,}: {why}",
        metadata=metadata,
    )
