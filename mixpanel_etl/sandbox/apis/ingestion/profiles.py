"""`POST /engage` and `/groups`: profiles come in. Source: mixpanel-api.md#profile-updates.

The answer is 200 whatever was sent: whether it was any good stands in the body, per record when `strict=1` asks for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from mixpanel_etl.sandbox.apis.ingestion.payload import Payload, read_payload
from mixpanel_etl.sandbox.apis.ingestion.profile_updates import Fault, group_fault, updated, user_fault
from mixpanel_etl.sandbox.engine.projects import Project
from mixpanel_etl.sandbox.engine.responses import INVALID, ApiError, json_response, status_reply
from mixpanel_etl.sandbox.engine.state import State

MAX_BODY_BYTES = 10_485_760

Apply = Callable[[State, Project, dict[str, Any]], None]


async def engage(request: Request) -> Response:
    return await _ingest(request, lambda _project, update: user_fault(update), _apply_to_user)


async def groups(request: Request) -> Response:
    return await _ingest(request, lambda project, update: group_fault(update, project.group_keys), _apply_to_group)


async def _ingest(request: Request, check: Callable[[Project, Any], Fault | None], apply: Apply) -> Response:
    state = State.of(request)
    payload: Payload | None = None
    faults: list[tuple[int, Fault]] = []
    rule = request.state.fault
    try:
        payload = await _read(request)
        updates = payload.events[: rule.rows] if rule and rule.kind == "partially_accepted" else payload.events
        with state.lock:
            faults = _apply_all(state, updates, check, apply)
        error = _error(payload, faults)
    except ApiError as refusal:
        if refusal.status != 400:
            raise
        error = refusal.text
    parameters = payload.parameters if payload else dict(request.query_params)
    if parameters.get("strict") == "1" and faults:
        return _strict_reply(len(payload.events) if payload else 0, faults)
    if rule and rule.kind == "partially_accepted":
        return json_response({"status": 1, "error": None, "num_good_events": len(updates)})
    return status_reply(parameters, error)


async def _read(request: Request) -> Payload:
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise ApiError(400, "Content-Encoding is not supported here: send the body uncompressed")
    return await read_payload(request, MAX_BODY_BYTES)


def _apply_all(
    state: State, updates: list[Any], check: Callable[[Project, Any], Fault | None], apply: Apply
) -> list[tuple[int, Fault]]:
    """Apply the valid ones in order, and say what is wrong with the others. An unknown token changes nothing."""
    by_token = {project.token: project for project in state.projects}
    faults = []
    for index, update in enumerate(updates):
        token = update.get("$token") if isinstance(update, dict) else None
        project = by_token.get(token) if isinstance(token, str) else None
        fault = check(project or state.projects.first, update)
        if fault:
            faults.append((index, fault))
        elif project:
            apply(state, project, update)
    return faults


def _apply_to_user(state: State, project: Project, update: dict[str, Any]) -> None:
    sent = _text(update["$distinct_id"])
    resolved = state.identities.canonical(project.project_id, sent)
    distinct_id = sent if "$delete" in update and update.get("$ignore_alias") else resolved
    now = state.clock.now()
    state.profiles.change_user(project.project_id, distinct_id, lambda profile: updated(profile, update, now))


def _apply_to_group(state: State, project: Project, update: dict[str, Any]) -> None:
    now, group_key, group_id = state.clock.now(), _text(update["$group_key"]), _text(update["$group_id"])
    state.profiles.change_group(project.project_id, group_key, group_id, lambda profile: updated(profile, update, now))


def _error(payload: Payload, faults: list[tuple[int, Fault]]) -> str | None:
    """One good update is enough for status 1."""
    if not payload.events:
        return "data, missing or empty"
    return faults[0][1].message if len(faults) == len(payload.events) else None


def _strict_reply(sent: int, faults: list[tuple[int, Fault]]) -> Response:
    records = [{"index": index, **fault._asdict()} for index, fault in faults]
    good = sent - len(faults)
    return json_response({"status": 0, "error": INVALID, "num_good_events": good, "failed_records": records})


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
