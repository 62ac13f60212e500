"""Syncs of Mixpanel's warehouse connectors as Dagster assets. `warehouse_sync_definitions` is the way in."""

from __future__ import annotations

import dagster as dg

from mixpanel_etl.dagster.connectors.assets import Follow as Follow
from mixpanel_etl.dagster.connectors.assets import SyncedImport as SyncedImport
from mixpanel_etl.dagster.connectors.assets import WarehouseSync as WarehouseSync
from mixpanel_etl.dagster.connectors.assets import sync_asset
from mixpanel_etl.dagster.connectors.checks import rows_match_source
from mixpanel_etl.dagster.connectors.schedules import mirror_schedule
from mixpanel_etl.dagster.connectors.sensors import sync_sensor, sync_succeeded


def warehouse_sync_definitions(sync: WarehouseSync) -> dg.Definitions:
    """An asset for each import, and its checks; with `follow: sensor` the sensor; for Mirror imports the schedule."""
    by_sensor = sync.follow == "sensor"
    schedule = mirror_schedule(sync)
    checks = [rows_match_source(sync, item) for item in sync.imports if item.source_count]
    if by_sensor:
        checks += [sync_succeeded(sync, item) for item in sync.imports]
    return dg.Definitions(
        assets=[sync_asset(sync, item) for item in sync.imports],
        asset_checks=checks,
        sensors=[sync_sensor(sync)] if by_sensor else [],
        schedules=[schedule] if schedule else [],
    )
