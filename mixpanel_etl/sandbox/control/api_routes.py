"""`/sandbox/...`: profiles, lookup tables, and the outcomes of jobs, runs and pipelines.

All of it is invented.
"""

from __future__ import annotations

from datetime import date

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mixpanel_etl.sandbox.apis.gdpr.models import GdprJobs, Outcome
from mixpanel_etl.sandbox.apis.ingestion.lookup_tables import LookupTables
from mixpanel_etl.sandbox.apis.pipelines.models import FinalState, Pipelines
from mixpanel_etl.sandbox.apis.warehouse_connectors.models import RunOutcome, WarehouseImports
from mixpanel_etl.sandbox.control.control_route import control_body, control_project, control_route
from mixpanel_etl.sandbox.engine.responses import json_response
from mixpanel_etl.sandbox.engine.state import State


def app_control_routes() -> list[Route]:
    return [
        control_route("GET", "/profiles", profiles),
        control_route("GET", "/lookup-tables/{table_id}", lookup_rows),
        control_route("POST", "/gdpr-outcomes", set_next_gdpr_outcome),
        control_route("POST", "/warehouse-outcomes", set_next_runs),
        control_route("POST", "/pipeline-outcomes", set_pipeline_state),
    ]


async def profiles(request: Request) -> Response:
    """Of users; with `?group_key=` of groups: properties by id."""
    store, project_id = State.of(request).profiles, control_project(request).project_id
    group_key = request.query_params.get("group_key")
    found = store.users(project_id) if group_key is None else store.groups(project_id, group_key)
    return json_response({name: dict(profile.properties) for name, profile in found.items()})


async def lookup_rows(request: Request) -> Response:
    """The rows of a lookup table, typed."""
    key = control_project(request).project_id, request.path_params["table_id"]
    rows = State.of(request).api_state(LookupTables).rows
    if key not in rows:
        raise ValueError(f"table_id {key[1]!r} is not a lookup table of project {key[0]}")
    return json_response(rows[key])


class _Gdpr(msgspec.Struct, forbid_unknown_fields=True):
    outcome: Outcome


async def set_next_gdpr_outcome(request: Request) -> Response:
    """Body: `{"outcome"}`, the final status of the next job: SUCCESS, FAILURE or UNKNOWN."""
    State.of(request).api_state(GdprJobs).set_next_outcome((await control_body(request, _Gdpr)).outcome)
    return json_response({"status": "ok"}, 201)


class _Runs(msgspec.Struct, forbid_unknown_fields=True):
    import_id: int
    outcomes: list[RunOutcome]


async def set_next_runs(request: Request) -> Response:
    """Body: `{"import_id", "outcomes": [{"status", "events", "seconds"}]}` of the next runs of an import."""
    wanted = await control_body(request, _Runs)
    project_id = control_project(request).project_id
    State.of(request).api_state(WarehouseImports).set_next_runs(project_id, wanted.import_id, wanted.outcomes)
    return json_response({"status": "ok"}, 201)


class _Day(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    day: date
    state: FinalState


async def set_pipeline_state(request: Request) -> Response:
    """Body: `{"name", "day", "state"}`, the state of the export of a day: retried, failed or timed_out."""
    wanted = await control_body(request, _Day)
    project_id = control_project(request).project_id
    State.of(request).api_state(Pipelines).set_state(project_id, wanted.name, wanted.day, wanted.state)
    return json_response({"status": "ok"}, 201)
