"""The check that compares what a sync imported with what the source holds: the API says nothing else of lost rows."""

# Dagster reads the annotations of checks, so they must be types, not strings.
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from mixpanel_etl.dagster.connectors.assets import SyncedImport, WarehouseSync
from mixpanel_etl.dagster.recording import withheld_messages
from mixpanel_etl.warehouse import Warehouse, WarehouseError

CHECK = "rows_match_source"
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


def rows_match_source(sync: WarehouseSync, item: SyncedImport) -> dg.AssetChecksDefinition:
    """Compares the rows of the last sync that was recorded with `source_count`."""

    @dg.asset_check(
        name=CHECK,
        asset=item.spec.key,
        description="The sync imported as many rows as the source has. Mixpanel drops rows that it finds invalid, "
        "and tells nobody.",
    )
    @withheld_messages()
    def check(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        event = context.instance.get_latest_materialization_event(item.spec.key)
        recorded = event.asset_materialization if event else None
        if recorded is None:
            return dg.AssetCheckResult(passed=True, description="no sync was recorded so far")
        told = {name: value.value for name, value in recorded.metadata.items()}
        try:
            wanted = source_rows(sync.warehouse.warehouse(), item.source_count or "", told)
        except WarehouseError as error:
            return dg.AssetCheckResult(
                passed=False,
                severity=dg.AssetCheckSeverity.WARN,
                description=f"the source could not be counted: {error}",
            )
        return _compared(int(told.get("mixpanel_etl/rows_imported", 0)), wanted)

    return check


def source_rows(warehouse: Warehouse, sql: str, told: dict[str, Any]) -> int:
    """The one number that a query returns.

    Args:
        warehouse: of the source.
        sql: a query of one row with one number. `$start` and `$end` are when the sync before, and this one, began:
            what an append import (time_based) reads is what was inserted in between.
        told: the metadata of a recorded sync.

    Raises:
        WarehouseError: the warehouse refuses it, or it returns something else.
    """
    times = {"start": "mixpanel_etl/previous_sync_started", "end": "mixpanel_etl/started"}
    window = {name: _moment(told.get(key)) for name, key in times.items()}
    with warehouse.query(sql, window) as batches:
        rows = batches.read_all()
    if rows.shape != (1, 1) or not isinstance(number := rows.column(0)[0].as_py(), int):
        raise WarehouseError(
            f"source_count returned {rows.num_rows} rows of {rows.num_columns} columns; "
            "it must return one number, as SELECT count(*) does"
        )
    return number


def _moment(seconds: float | None) -> datetime:
    return _NEVER if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _compared(imported: int, wanted: int) -> dg.AssetCheckResult:
    metadata = {"rows_imported": imported, "rows_in_source": wanted, "difference": imported - wanted}
    if imported == wanted:
        return dg.AssetCheckResult(passed=True, description=f"{imported:,} rows, as in the source", metadata=metadata)
    why = (
        "Mixpanel drops rows without a valid time, event or id, those of the future, and, in append imports, those "
        "that were committed with an insert time before the last sync"
        if imported < wanted
        else "the source has shrunk since, or another sync imported rows, too"
    )
    return dg.AssetCheckResult(
        passed=False,
        description=f"{imported:,} rows were imported, and the source has {wanted:,}: {why}",
        metadata=metadata,
    )
