"""`POST /import` and `/track`. Source: mixpanel-api.md#import, #track."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from mixpanel_etl.sandbox.apis.ingestion.enrichment import store_events
from mixpanel_etl.sandbox.apis.ingestion.payload import Payload, read_payload
from mixpanel_etl.sandbox.apis.ingestion.validation import is_storable, is_too_deep, problem_of
from mixpanel_etl.sandbox.engine.authentication import Kind, authenticate
from mixpanel_etl.sandbox.engine.event_line import to_milliseconds
from mixpanel_etl.sandbox.engine.faults import Fault
from mixpanel_etl.sandbox.engine.identity import identity_problem, is_ignored
from mixpanel_etl.sandbox.engine.json_values import is_number
from mixpanel_etl.sandbox.engine.projects import Project
from mixpanel_etl.sandbox.engine.query_parameters import read_flag
from mixpanel_etl.sandbox.engine.responses import INVALID, ApiError, json_response, status_reply
from mixpanel_etl.sandbox.engine.state import State

MAX_TRACK_AGE = timedelta(days=5)
_ACCEPTS: tuple[Kind, ...] = ("service_account", "project_secret", "project_token", "oauth")
_IMPORT_ROLES = ("owner", "admin")


async def import_events(request: Request) -> Response:
    state = State.of(request)
    now = state.clock.now()
    caller = authenticate(request, state.projects, _ACCEPTS, now, unknown="Invalid credentials")
    if caller.kind == "service_account" and caller.role not in _IMPORT_ROLES:
        raise ApiError(403, f"importing events needs the role owner or admin, not {caller.role}")
    project = caller.project
    payload = await read_payload(request, project.max_import_bytes)
    state.budgets.ingest(project, payload.size, len(payload.events))
    # The official SDK posts a form, without validation and its reply.
    if payload.parameters.get("strict", "0" if payload.is_form else "1") == "1":
        return await _import_strictly(state, project, payload, now, request.state.fault)
    good = [event for event in payload.events if is_storable(event, now)]
    await run_in_threadpool(store_events, state, project, good, now, imported=True)
    if payload.is_form:
        error = None if good else "no data point in the request is valid"
        return status_reply(payload.parameters, error)
    return json_response({"code": 200, "num_records_imported": len(good), "status": "OK"})


async def track(request: Request) -> Response:
    state = State.of(request)
    now = state.clock.now()
    try:
        # The project of an event is in its token, so the events are read first.
        payload = await read_payload(request, state.projects.first.max_import_bytes)
    except ApiError as rejection:
        if rejection.status != 400:
            raise
        return status_reply(request.query_params, rejection.text)
    by_token: dict[str, list[dict[str, Any]]] = defaultdict(list)
    errors = []
    for event in payload.events:
        error = _track_problem(event)
        if error:
            errors.append(error)
        else:
            by_token[event["properties"]["token"]].append(_with_address(event, request, payload))
    for project in state.projects:
        events = by_token.get(project.token, [])
        if events:
            state.budgets.ingest(project, payload.size, len(events))
            recent = [event for event in events if _is_recent(event, now)]
            await run_in_threadpool(store_events, state, project, recent, now, imported=False)
    # One valid event is enough for a 1, and an unknown token is valid.
    return status_reply(payload.parameters, None if by_token else next(iter(errors), "data, missing or empty"))


async def _import_strictly(
    state: State, project: Project, payload: Payload, now: datetime, fault: Fault | None
) -> Response:
    foreign = [event["event"] for event in payload.events if _is_foreign(project, event)]
    if foreign:
        # One such event rejects the request; its failed_records are strings (mixpanel-api.md#identity-merge).
        messages = [f"{name} is not supported in projects with Simplified ID Merge" for name in foreign]
        raise ApiError(400, INVALID, extra={"num_records_imported": 0, "failed_records": messages})
    if fault and fault.kind == "partially_accepted":
        accepted = [event for event in payload.events if problem_of(event, now) is None][: fault.rows]
        await run_in_threadpool(store_events, state, project, accepted, now, imported=True)
        return json_response({"code": 200, "num_records_imported": len(accepted), "status": "OK"})
    good, failed = [], []
    for index, event in enumerate(payload.events):
        problem = None if _is_ignored(project, event) else problem_of(event, now)
        if problem is None:
            good.append(event)
        else:
            failed.append({"index": index, "insert_id": _insert_id(event), **problem._asdict()})
    await run_in_threadpool(store_events, state, project, good, now, imported=True)
    if failed:
        extra = {"num_records_imported": len(good), "failed_records": failed}
        raise ApiError(400, INVALID, extra=extra)
    return json_response({"code": 200, "num_records_imported": len(good), "status": "OK"})


def _is_ignored(project: Project, event: Any) -> bool:
    if not isinstance(event, dict) or not isinstance(event.get("properties"), dict):
        return False
    return isinstance(event.get("event"), str) and is_ignored(project, event["event"])


def _is_foreign(project: Project, event: Any) -> bool:
    return project.id_merge == "simplified" and _is_ignored(project, event)


def _insert_id(event: Any) -> str:
    properties = event.get("properties") if isinstance(event, dict) else None
    value = properties.get("$insert_id") if isinstance(properties, dict) else None
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def _track_problem(event: Any) -> str | None:
    if not isinstance(event, dict) or not isinstance(event.get("event"), str) or not event["event"]:
        return "event, missing or empty"
    properties = event.get("properties")
    if not isinstance(properties, dict) or is_too_deep(properties):
        return "properties, missing or empty"
    if not isinstance(properties.get("token"), str) or not properties["token"]:
        return "token, missing or empty"
    missing = identity_problem(event["event"], properties)
    if missing or event["event"] == "$merge":
        return f"{missing}, missing or empty" if missing else "$merge is accepted by /import only"
    time = properties.get("time")
    if time is not None and not is_number(time):
        return "'properties.time' is invalid: must be specified as seconds since epoch"
    return None


def _with_address(event: dict[str, Any], request: Request, payload: Payload) -> dict[str, Any]:
    """With `ip=1`, an event without ids gets one made from the client's address."""
    properties = event["properties"]
    anonymous = not {"distinct_id", "$user_id", "$device_id"} & properties.keys()
    if anonymous and read_flag(payload.parameters, "ip") and request.client:
        address = hashlib.sha256(request.client.host.encode()).hexdigest()[:32]
        return {**event, "properties": {**properties, "distinct_id": address}}
    return event


def _is_recent(event: dict[str, Any], now: datetime) -> bool:
    time = event["properties"].get("time")
    return time is None or to_milliseconds(time) >= (now - MAX_TRACK_AGE).timestamp() * 1000
