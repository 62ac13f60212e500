"""Routes of the Warehouse Connectors API. Source: mixpanel-api.md#connectors."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta
from starlette.routing import Route

from mixpanel_etl.sandbox.apis.api_call import ADMINS, ApiCall, app_route, creator, ok
from mixpanel_etl.sandbox.apis.warehouse_connectors.models import MAX_HISTORY, Run, WarehouseImport, WarehouseImports
from mixpanel_etl.sandbox.engine.budgets import RateLimit
from mixpanel_etl.sandbox.engine.clock import iso_utc
from mixpanel_etl.sandbox.engine.responses import ApiError

MANUAL_SYNCS = RateLimit(
    "manual syncs", 5, timedelta(hours=1), "Rate limit exceeded: 5 syncs triggered by API per hour"
)
_PATH = "/projects/{project_id:int}/warehouse-sources/imports"
_TIME_UNITS = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_DETAILS = (
    *("event_name", "event_column_name", "time_column_name", "user_column_name", "insert_time_column_name"),
    *("property_mappings", "group_key", "group_id_column", "databricks_params"),
)


def warehouse_connector_routes() -> list[Route]:
    one = f"{_PATH}/{{import_id:int}}"
    return [
        app_route("POST", f"{_PATH}/event-stream", create_event_stream, roles=ADMINS),
        app_route("POST", f"{_PATH}/people", create_people, roles=ADMINS),
        app_route("POST", f"{_PATH}/groups", create_groups, roles=ADMINS),
        app_route("POST", f"{_PATH}/lookup-table", create_lookup_table, roles=ADMINS),
        app_route("GET", _PATH, list_imports),
        app_route("GET", one, get_import),
        app_route("PATCH", one, update_import, roles=ADMINS),
        app_route("DELETE", one, delete_import, roles=ADMINS),
        app_route("PUT", f"{one}/manual-sync", manual_sync, roles=ADMINS),
        app_route("GET", f"{one}/history", history),
    ]


_String = Annotated[str, Meta(min_length=1)]
_SyncMode = Literal["time_based", "mirror_mode", "full_sync", "one_time"]
_RunEvery = Literal[0, 3_600_000_000_000, 86_400_000_000_000, 604_800_000_000_000]


class _Import(msgspec.Struct, kw_only=True):
    warehouse_source_id: int
    table_params: dict[str, Any]
    sync_mode: _SyncMode
    run_every: _RunEvery = 0
    insert_time_column_name: str | None = None
    json_properties_column_name: str | None = None
    property_mappings: dict[str, str] | None = None
    databricks_params: dict[str, Any] | None = None


class _EventStream(_Import, kw_only=True):
    import_type: Literal["event_stream"]
    time_column_name: _String
    event_name: str | None = None
    event_column_name: str | None = None
    user_column_name: str | None = None
    company_column_name: str | None = None
    device_column_name: str | None = None


class _People(_Import, kw_only=True):
    import_type: Literal["people"]
    user_column_name: _String


class _Groups(_Import, kw_only=True):
    import_type: Literal["groups"]
    group_key: _String
    group_id_column: _String


class _JoinProperty(msgspec.Struct, rename="camel"):
    value: _String
    resource_type: Literal["event", "user"]
    custom_property_id: int | None = None


class _LookupTable(_Import, kw_only=True):
    import_type: Literal["lookup_table"]
    mixpanel_property: _JoinProperty
    property_key_column_name: _String
    sync_mode: Literal["full_sync", "one_time"]


class _Changes(msgspec.Struct):
    paused: bool
    run_every: _RunEvery
    databricks_params: dict[str, Any] | msgspec.UnsetType | None = msgspec.UNSET


class _Deletion(msgspec.Struct):
    delete_data: bool = False


def create_event_stream(call: ApiCall) -> object:
    """An import needs the name of its events, or the column that has it."""
    new = call.json(_EventStream)
    if bool(new.event_name) == bool(new.event_column_name):
        raise ApiError(400, "Exactly one of event_name and event_column_name is required")
    return _create(call, new)


def create_people(call: ApiCall) -> object:
    return _create(call, call.json(_People))


def create_groups(call: ApiCall) -> object:
    return _create(call, call.json(_Groups))


def create_lookup_table(call: ApiCall) -> object:
    return _create(call, call.json(_LookupTable))


def list_imports(call: ApiCall) -> object:
    imports = call.state.api_state(WarehouseImports).of_project(call.project.project_id, call.now)
    return ok([_shown(item) for item in imports])


def get_import(call: ApiCall) -> object:
    return ok(_detail(_found(call)))


def update_import(call: ApiCall) -> object:
    """`paused` and `run_every` are both required; `databricks_params` is replaced."""
    changes, item = call.json(_Changes), _found(call)
    item.config["run_every"] = changes.run_every
    if changes.databricks_params is not msgspec.UNSET:
        item.config["databricks_params"] = changes.databricks_params
    if changes.paused:
        item.pause(call.now)
    else:
        item.resume(call.now, timedelta(seconds=changes.run_every / _TIME_UNITS["ns"]))
    return ok(_detail(item))


def delete_import(call: ApiCall) -> object:
    """`delete_data` is accepted and ignored. Running runs are cancelled."""
    call.json(_Deletion)
    item = _found(call)
    item.pause(call.now)
    item.is_deleted = True
    return {"status": "ok"}


def manual_sync(call: ApiCall) -> object:
    """Starts a run at once, even if another is running. No other operation shows the `run_id`."""
    item = _found(call)
    if item.paused:
        raise ApiError(400, "The import is paused")
    call.state.budgets.spend(MANUAL_SYNCS, call.project)
    item.start(call.now)
    if call.project.sync_replies == "specification":
        return {"status": "ok"}
    return ok({"run_id": call.state.api_state(WarehouseImports).new_run_id()})


def history(call: ApiCall) -> object:
    """The 30 most recent runs, the newest first."""
    item = _found(call)
    newest = sorted(item.runs, key=lambda run: run.start, reverse=True)[:MAX_HISTORY]
    return ok({"runs": [_shown_run(item, run, call.now) for run in newest]})


def _create(call: ApiCall, new: _Import) -> object:
    if new.sync_mode == "time_based" and not new.insert_time_column_name:
        raise ApiError(400, "insert_time_column_name is required for sync_mode time_based")
    config = msgspec.to_builtins(new)
    return ok(_detail(call.state.api_state(WarehouseImports).add(call.project, config, creator(call), call.now)))


def _found(call: ApiCall) -> WarehouseImport:
    import_id = call.path["import_id"]
    for item in call.state.api_state(WarehouseImports).of_project(call.project.project_id, call.now):
        if item.import_id == import_id:
            return item
    raise ApiError(404, f"Warehouse import {import_id} does not exist")


def _detail(item: WarehouseImport) -> dict[str, object]:
    return {**_shown(item), **{name: item.config.get(name) for name in _DETAILS}}


def _shown(item: WarehouseImport) -> dict[str, object]:
    return {
        "id": item.import_id,
        "import_type": item.config["import_type"],
        "sync_mode": item.config["sync_mode"],
        "created": iso_utc(item.created),
        **item.creator,
        "warehouse_source_id": item.config["warehouse_source_id"],
        "table_params": item.config["table_params"],
        "paused": item.paused,
        "run_every": item.config["run_every"],
        "last_dispatch": None if item.last_dispatch is None else _time(item, item.last_dispatch),
        "is_deleted": item.is_deleted,
    }


def _shown_run(item: WarehouseImport, run: Run, now: datetime) -> dict[str, object]:
    running = run.is_running(now)
    return {
        "status": "RUNNING" if running else run.status,
        "start_time": _time(item, run.start),
        "end_time": None if running else _time(item, run.end),
        "num_events_imported": None if running else run.events,
    }


def _time(item: WarehouseImport, timestamp: datetime) -> int:
    return int(timestamp.timestamp() * _TIME_UNITS[item.project.warehouse_times])
