"""Warehouse connectors: imports of tables, and their runs. Source: mixpanel-api.md#connectors."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import IntEnum
from typing import Any, Literal, get_args

from mixpanel_etl.client.errors import InvalidRequest
from mixpanel_etl.client.operations import parameters
from mixpanel_etl.client.operations.api import JSON, Api, Operations
from mixpanel_etl.client.operations.replies import Reply, results, typed
from mixpanel_etl.timestamps import from_epoch

operation = Operations("app", "connectors", prefix="/projects/{project_id}/warehouse-sources/imports")

SyncMode = Literal["time_based", "mirror_mode", "full_sync", "one_time"]
ResourceType = Literal["event", "user"]


class RunEvery(IntEnum):
    """Frequency of an import, in nanoseconds. With `API` it runs only when it is triggered."""

    API = 0
    HOURLY = 3_600_000_000_000
    DAILY = 86_400_000_000_000
    WEEKLY = 604_800_000_000_000


class WarehouseImport(Reply, frozen=True, kw_only=True):
    """An import. The list gives less of it than `WarehouseConnectors.get_import`.

    Args:
        import_type: event_stream, people, groups, lookup_table, or event_sync, which can't be created.
        sync_mode: time_based ("append" in the UI), mirror_mode, full_sync or one_time.
        run_every: nanoseconds, see `RunEvery`.
        last_dispatch: time of the last run; Mixpanel does not document the unit.
    """

    id: int
    import_type: str | None = None
    sync_mode: str | None = None
    created: str | None = None
    creator_id: int | None = None
    creator_name: str | None = None
    creator_email: str | None = None
    warehouse_source_id: int | None = None
    table_params: dict[str, Any] | None = None
    paused: bool | None = None
    run_every: int | None = None
    last_dispatch: int | None = None
    is_deleted: bool | None = None
    event_name: str | None = None
    event_column_name: str | None = None
    time_column_name: str | None = None
    user_column_name: str | None = None
    insert_time_column_name: str | None = None
    property_mappings: dict[str, str] | None = None
    group_key: str | None = None
    group_id_column: str | None = None
    databricks_params: dict[str, Any] | None = None


class ImportRun(Reply, frozen=True, kw_only=True):
    """A run of an import: RUNNING, SUCCEEDED, FAILED or CANCELLED. It does not name its trigger."""

    status: str
    start_time: int | None = None
    end_time: int | None = None
    num_events_imported: int | None = None

    @property
    def started_at(self) -> datetime | None:
        """Aware, UTC."""
        return from_epoch(self.start_time)

    @property
    def ended_at(self) -> datetime | None:
        """Aware, UTC."""
        return from_epoch(self.end_time)


class WarehouseConnectors(Api):
    """Imports from a warehouse: five triggered runs an hour.

    A source (`warehouse_source_id`) is created in Mixpanel's UI. Every method raises `InvalidRequest` when a parameter
    can't work, and one of the kinds in `client.errors` if Mixpanel rejects the request.
    """

    @operation("GET")
    def list_imports(self) -> list[WarehouseImport]:
        """All imports of the project."""
        return self._result(list[WarehouseImport])

    @operation("GET", "/{import_id}")
    def get_import(self, import_id: int) -> WarehouseImport:
        """One import, with the columns it reads."""
        return self._result(WarehouseImport, path=_path(import_id))

    @operation("PATCH", "/{import_id}", sends=JSON)
    def update_import(
        self, import_id: int, *, paused: bool, run_every: RunEvery, databricks_params: Mapping[str, Any] | None = None
    ) -> WarehouseImport:
        """Pause, resume or reschedule an import. Mixpanel wants both each time; `databricks_params` replace all."""
        body: dict[str, Any] = {"paused": paused, "run_every": _frequency(run_every)}
        if databricks_params is not None:
            body["databricks_params"] = dict(databricks_params)
        return self._result(WarehouseImport, path=_path(import_id), json=body)

    @operation("DELETE", "/{import_id}", sends=JSON)
    def delete_import(self, import_id: int, *, delete_data: bool = False) -> None:
        """Delete an import, and with `delete_data` the events it brought, by a deletion request."""
        self._done(path=_path(import_id), json={"delete_data": delete_data})

    @operation("POST", "/event-stream", "no full_sync", sends=JSON)
    def create_event_stream(
        self,
        warehouse_source_id: int,
        table_params: Mapping[str, Any],
        time_column_name: str,
        sync_mode: SyncMode,
        *,
        event_name: str | None = None,
        event_column_name: str | None = None,
        user_column_name: str | None = None,
        device_column_name: str | None = None,
        company_column_name: str | None = None,
        json_properties_column_name: str | None = None,
        insert_time_column_name: str | None = None,
        property_mappings: Mapping[str, str] | None = None,
        run_every: RunEvery | None = None,
        databricks_params: Mapping[str, Any] | None = None,
    ) -> WarehouseImport:
        """Import events, one for each row.

        Args:
            warehouse_source_id: id of the connection.
            table_params: table to import, in a form that depends on the warehouse.
            time_column_name: column with the time of the event.
            sync_mode: any mode but full_sync, which is not for events.
            event_name: name of all events, instead of `event_column_name`.
            event_column_name: column with the name of the event.
            user_column_name: column with the id of the user.
            device_column_name: column with the id of the device.
            company_column_name: column with the company; required in B2B projects.
            json_properties_column_name: column with properties as JSON.
            insert_time_column_name: column with the time at which a row was loaded; required for time_based. Rows that
                are loaded later with an earlier time are never imported.
            property_mappings: names of properties by column.
            run_every: frequency of the import.
            databricks_params: exporting cluster of a Databricks warehouse.
        """
        if (event_name is None) == (event_column_name is None):
            raise InvalidRequest("neither or both of event_name and event_column_name", advice="Give one of them.")
        if sync_mode == "full_sync":
            raise InvalidRequest("sync_mode is 'full_sync', which is not for events", advice="Give another mode.")
        columns = {
            "time_column_name": time_column_name,
            "event_name": event_name,
            "event_column_name": event_column_name,
            "user_column_name": user_column_name,
            "device_column_name": device_column_name,
            "company_column_name": company_column_name,
            "json_properties_column_name": json_properties_column_name,
        }
        source = _source(warehouse_source_id, table_params, sync_mode, insert_time_column_name)
        options = _options(property_mappings, run_every, databricks_params)
        return self._create({"import_type": "event_stream", **source, **columns, **options})

    @operation("POST", "/people", sends=JSON)
    def create_people(
        self,
        warehouse_source_id: int,
        table_params: Mapping[str, Any],
        user_column_name: str,
        sync_mode: SyncMode,
        *,
        json_properties_column_name: str | None = None,
        insert_time_column_name: str | None = None,
        property_mappings: Mapping[str, str] | None = None,
        run_every: RunEvery | None = None,
        databricks_params: Mapping[str, Any] | None = None,
    ) -> WarehouseImport:
        """Import user profiles, one for each row; arguments as in `create_event_stream`."""
        columns = {
            "user_column_name": parameters.string("user_column_name", user_column_name),
            "json_properties_column_name": json_properties_column_name,
        }
        source = _source(warehouse_source_id, table_params, sync_mode, insert_time_column_name)
        options = _options(property_mappings, run_every, databricks_params)
        return self._create({"import_type": "people", **source, **columns, **options})

    @operation("POST", "/groups", sends=JSON)
    def create_groups(
        self,
        warehouse_source_id: int,
        table_params: Mapping[str, Any],
        group_key: str,
        group_id_column: str,
        sync_mode: SyncMode,
        *,
        json_properties_column_name: str | None = None,
        insert_time_column_name: str | None = None,
        property_mappings: Mapping[str, str] | None = None,
        run_every: RunEvery | None = None,
        databricks_params: Mapping[str, Any] | None = None,
    ) -> WarehouseImport:
        """Import group profiles, one for each row; arguments as in `create_event_stream`."""
        columns = {
            "group_key": parameters.string("group_key", group_key),
            "group_id_column": parameters.string("group_id_column", group_id_column),
            "json_properties_column_name": json_properties_column_name,
        }
        source = _source(warehouse_source_id, table_params, sync_mode, insert_time_column_name)
        options = _options(property_mappings, run_every, databricks_params)
        return self._create({"import_type": "groups", **source, **columns, **options})

    @operation("POST", "/lookup-table", "full_sync or one_time", sends=JSON)
    def create_lookup_table(
        self,
        warehouse_source_id: int,
        table_params: Mapping[str, Any],
        join_property: str,
        property_key_column_name: str,
        sync_mode: Literal["full_sync", "one_time"],
        *,
        resource_type: ResourceType = "event",
        custom_property_id: int | None = None,
        run_every: RunEvery | None = None,
        databricks_params: Mapping[str, Any] | None = None,
    ) -> WarehouseImport:
        """Import a lookup table.

        Args:
            warehouse_source_id: id of the connection.
            table_params: table to import, in a form that depends on the warehouse.
            join_property: property in Mixpanel whose values are looked up.
            property_key_column_name: column with these values.
            sync_mode: full_sync or one_time.
            resource_type: `event` or `user`, which have the property.
            custom_property_id: id of a custom property.
            run_every: frequency of the import.
            databricks_params: exporting cluster of a Databricks warehouse.
        """
        parameters.choice("sync_mode", sync_mode, ("full_sync", "one_time"))
        joined: dict[str, Any] = {
            "value": parameters.string("join_property", join_property),
            "resourceType": parameters.choice("resource_type", resource_type, get_args(ResourceType)),
        }
        if custom_property_id is not None:
            joined["customPropertyId"] = custom_property_id
        body = {
            "import_type": "lookup_table",
            **_source(warehouse_source_id, table_params, sync_mode, None),
            "mixpanel_property": joined,
            "property_key_column_name": property_key_column_name,
            **_options(None, run_every, databricks_params),
        }
        return self._create(body)

    # Not idempotent: the effect of a second one during a run is not documented.
    @operation("PUT", "/{import_id}/manual-sync", sends=JSON, idempotent=False, budgets=("warehouse_sync",))
    def manual_sync(self, import_id: int) -> str | None:
        """Start a run; returns its id if Mixpanel gives one. The id does not appear in the history.

        Never sent twice: after an error with `may_have_arrived`, look for a new run in `history`.
        """
        # One document answers with an id, the specification with `{"status": "ok"}`: every success is an answer.
        reply = results(self._done(path=_path(import_id), json={}))
        run_id = reply.get("run_id") if isinstance(reply, dict) else None
        return None if run_id is None else str(run_id)

    @operation("GET", "/{import_id}/history", "the 30 most recent runs")
    def history(self, import_id: int) -> list[ImportRun]:
        """The 30 most recent runs."""
        reply = results(self._json(path=_path(import_id)))
        runs = reply.get("runs") if isinstance(reply, dict) else reply
        return typed(runs, list[ImportRun])

    def _create(self, body: Mapping[str, Any]) -> WarehouseImport:
        return self._result(WarehouseImport, json={name: value for name, value in body.items() if value is not None})


def _path(import_id: int) -> dict[str, int]:
    return {"import_id": parameters.integer("import_id", import_id)}


def _source(
    warehouse_source_id: int, table_params: Mapping[str, Any], sync_mode: str, insert_time: str | None
) -> dict[str, Any]:
    """Fields of all imports."""
    parameters.integer("warehouse_source_id", warehouse_source_id)
    parameters.choice("sync_mode", sync_mode, get_args(SyncMode))
    if not table_params:
        raise InvalidRequest("table_params is empty", advice="Name the table to import.")
    if sync_mode == "time_based" and not insert_time:
        raise InvalidRequest("sync_mode is 'time_based' without an insert_time_column_name", advice="Give it.")
    return {
        "warehouse_source_id": warehouse_source_id,
        "table_params": dict(table_params),
        "sync_mode": sync_mode,
        "insert_time_column_name": insert_time,
    }


def _options(
    mappings: Mapping[str, str] | None,
    run_every: RunEvery | None,
    databricks_params: Mapping[str, Any] | None,
) -> dict[str, Any]:
    return {
        "property_mappings": None if mappings is None else dict(mappings),
        "run_every": None if run_every is None else _frequency(run_every),
        "databricks_params": None if databricks_params is None else dict(databricks_params),
    }


def _frequency(run_every: RunEvery) -> int:
    parameters.choice("run_every", str(int(run_every)), [str(int(member)) for member in RunEvery])
    return int(run_every)
