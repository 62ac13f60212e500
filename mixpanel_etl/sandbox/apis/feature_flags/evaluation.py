"""Feature flags for applications: evaluation and definitions. Source: mixpanel-api.md#flag-evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.routing import Route

from mixpanel_etl.sandbox.apis.api_call import ApiCall, app_route
from mixpanel_etl.sandbox.apis.feature_flags.assignment import Assignment, assign
from mixpanel_etl.sandbox.apis.feature_flags.models import Flags
from mixpanel_etl.sandbox.engine.authentication import Caller, Kind, authenticate
from mixpanel_etl.sandbox.engine.query_parameters import read_json, required
from mixpanel_etl.sandbox.engine.responses import ApiError
from mixpanel_etl.sandbox.engine.state import State

# Active flags that an evaluation considers, by plan; the oldest come first.
MAX_ACTIVE = {"free": 50, "growth": 200, "enterprise": 1000}
_ACCEPTS: tuple[Kind, ...] = ("project_secret", "service_account", "project_token")
_DEFINED = ("id", "name", "key", "status", "project_id", "workspace_id", "context", "ruleset")
_VARIANT = ("key", "value", "is_control", "is_sticky", "split")
_EXPERIMENT = ("experiment_id", "is_experiment_active")
_OPTIONAL = (*_EXPERIMENT, "hash_salt")


def evaluation_routes() -> list[Route]:
    return [
        app_route("GET", "/flags", evaluate, identify=_application, prefix=""),
        app_route("GET", "/flags/definitions", definitions, identify=_application, prefix=""),
    ]


def evaluate(call: ApiCall) -> object:
    """The context's variant of each enabled flag."""
    context = _context(call)
    flags = call.state.api_state(Flags)
    selected = {}
    for flag in _enabled(call):
        assignment = _sticking(flags, flag, context, assign(flag, context, call.project.flag_cohorts))
        if assignment:
            selected[flag["key"]] = {
                "variant_key": assignment.variant["key"],
                "variant_value": assignment.variant["value"],
                **_present(flag, _EXPERIMENT),
                "is_qa_tester": assignment.is_qa_tester,
            }
    return {"flags": selected}


def definitions(call: ApiCall) -> object:
    return {"flags": [_definition(flag) for flag in _enabled(call)]}


def _definition(flag: Mapping[str, Any]) -> dict[str, Any]:
    """The members that an evaluation needs."""
    variants = [_of(variant, _VARIANT) for variant in flag["ruleset"]["variants"]]
    ruleset = {**flag["ruleset"], "variants": variants}
    return {**_of(flag, _DEFINED), "ruleset": ruleset, **_present(flag, _OPTIONAL)}


def _enabled(call: ApiCall) -> list[dict[str, Any]]:
    flags = call.state.api_state(Flags).of_project(call.project.project_id)
    enabled = [flag for flag in flags if flag["status"] == "enabled"]
    return sorted(enabled, key=lambda flag: str(flag["enabled_at"]))[: MAX_ACTIVE[call.project.plan]]


def _context(call: ApiCall) -> dict[str, Any]:
    required(call.parameters, "context")
    context = read_json(call.parameters, "context", dict[str, Any], "a JSON object")
    if not isinstance(context.get("distinct_id"), str) or not context["distinct_id"]:
        raise ApiError(400, "context must have a distinct_id")
    if not isinstance(context.get("custom_properties", {}), dict):
        raise ApiError(400, "custom_properties must be an object")
    return context


def _sticking(
    flags: Flags, flag: Mapping[str, Any], context: Mapping[str, Any], assignment: Assignment | None
) -> Assignment | None:
    """The earlier sticky variant, else the new one, which is stored if it is sticky."""
    if assignment and assignment.is_qa_tester:
        return assignment
    key = (flag["id"], str(context.get(flag["context"], context["distinct_id"])))
    variants = {variant["key"]: variant for variant in flag["ruleset"]["variants"]}
    before = variants.get(flags.sticking.get(key, ""))
    if before:
        return Assignment(before, False)
    if assignment and assignment.variant["is_sticky"]:
        flags.sticking[key] = assignment.variant["key"]
    return assignment


def _of(flag: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: flag[name] for name in names}


def _present(flag: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: flag[name] for name in names if flag.get(name) is not None}


def _application(request: Request, state: State, now: datetime) -> Caller:
    caller = authenticate(request, state.projects, _ACCEPTS, now, unknown="Invalid credentials")
    token = request.query_params.get("token")
    if token and token != caller.project.token:
        raise ApiError(403, "Permission denied: the token is not of this project")
    return caller
