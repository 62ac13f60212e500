"""`POST /engage` and `/groups`. Source: mixpanel-api.md#profile-updates.

The status is always 200; errors are in the body, with `strict=1` for each record.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from mixpanel_etl.sandbox.apis.ingestion.payload import Payload, read_payload
from mixpanel_etl.sandbox.apis.ingestion.profile_updates import group_problem, updated, user_problem
from mixpanel_etl.sandbox.apis.ingestion.validation import Problem
from mixpanel_etl.sandbox.engine.json_values import as_string
from mixpanel_etl.sandbox.engine.projects import Project
from mixpanel_etl.sandbox.engine.responses import INVALID, ApiError, json_response, status_reply
from mixpanel_etl.sandbox.engine.state import State

MAX_BODY_BYTES = 10_485_760

Apply = Callable[[State, Project, dict[str, Any]], None]


async def engage(request: Request) -> Response:
    return await _ingest(request, lambda _project, update: user_problem(update), _apply_to_user)


async def groups(request: Request) -> Response:
    return await _ingest(request, lambda project, update: group_problem(update, project.group_keys), _apply_to_group)


async def _ingest(request: Request, check: Callable[[Project, Any], Problem | None], apply: Apply) -> Response:
    state = State.of(request)
    payload: Payload | None = None
    problems: list[tuple[int, Problem]] = []
    rule = request.state.fault
    try:
        payload = await _read(request)
        updates = payload.events[: rule.rows] if rule and rule.kind == "partially_accepted" else payload.events
        with state.lock:
            problems = _apply_all(state, updates, check, apply)
        error = _error(payload, problems)
    except ApiError as rejection:
        if rejection.status != 400:
            raise
        error = rejection.text
    parameters = payload.parameters if payload else dict(request.query_params)
    if parameters.get("strict") == "1" and problems:
        return _strict_reply(len(payload.events) if payload else 0, problems)
    if rule and rule.kind == "partially_accepted":
        return json_response({"status": 1, "error": None, "num_good_events": len(updates)})
    return status_reply(parameters, error)


async def _read(request: Request) -> Payload:
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise ApiError(400, "Content-Encoding is not supported here: send the body uncompressed")
    return await read_payload(request, MAX_BODY_BYTES)


def _apply_all(
    state: State, updates: list[Any], check: Callable[[Project, Any], Problem | None], apply: Apply
) -> list[tuple[int, Problem]]:
    """Apply valid updates in order. Returns the problems of the others. An unknown token changes nothing."""
    by_token = {project.token: project for project in state.projects}
    problems = []
    for index, update in enumerate(updates):
        token = update.get("$token") if isinstance(update, dict) else None
        project = by_token.get(token) if isinstance(token, str) else None
        fault = check(project or state.projects.first, update)
        if fault:
            problems.append((index, fault))
        elif project:
            apply(state, project, update)
    return problems


def _apply_to_user(state: State, project: Project, update: dict[str, Any]) -> None:
    sent = as_string(update["$distinct_id"])
    resolved = state.identities.canonical(project.project_id, sent)
    distinct_id = sent if "$delete" in update and update.get("$ignore_alias") else resolved
    now = state.clock.now()
    state.profiles.change_user(project.project_id, distinct_id, lambda profile: updated(profile, update, now))


def _apply_to_group(state: State, project: Project, update: dict[str, Any]) -> None:
    now, group_key, group_id = state.clock.now(), as_string(update["$group_key"]), as_string(update["$group_id"])
    state.profiles.change_group(project.project_id, group_key, group_id, lambda profile: updated(profile, update, now))


def _error(payload: Payload, problems: list[tuple[int, Problem]]) -> str | None:
    """One valid update is enough for status 1."""
    if not payload.events:
        return "data, missing or empty"
    return problems[0][1].message if len(problems) == len(payload.events) else None


def _strict_reply(sent: int, problems: list[tuple[int, Problem]]) -> Response:
    records = [{"index": index, **fault._asdict()} for index, fault in problems]
    good = sent - len(problems)
    return json_response({"status": 0, "error": INVALID, "num_good_events": good, "failed_records": records})
