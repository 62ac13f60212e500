"""Experiments: draft, launched, concluded, decided; archived and deleted. Source: mixpanel-api.md#experiments."""

from __future__ import annotations

from datetime import datetime
from itertools import count
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.routing import Route

from mixpanel_etl.sandbox.apis.api_call import ANALYSTS, INVALID_ACCOUNT, ApiCall, app_route, creator, ok
from mixpanel_etl.sandbox.apis.feature_flags.models import Flags
from mixpanel_etl.sandbox.engine.authentication import Caller, Kind, authenticate
from mixpanel_etl.sandbox.engine.clock import iso_utc
from mixpanel_etl.sandbox.engine.identifiers import stable_uuid
from mixpanel_etl.sandbox.engine.responses import ApiError, typed_shape
from mixpanel_etl.sandbox.engine.state import State

_PATH = "/workspaces/{workspace_id:int}/experiments"
_FLAG_MEMBERS = ("id", "key", "name", "status", "is_experiment_active")

_ACCEPTS: tuple[Kind, ...] = ("service_account",)

Experiment = dict[str, Any]


def experiment_routes() -> list[Route]:
    one = f"{_PATH}/{{experiment_id}}"
    return [
        app_route("GET", _PATH, list_experiments, identify=_member, shape=typed_shape),
        app_route("POST", _PATH, create, identify=_member, roles=ANALYSTS, status=201, shape=typed_shape),
        app_route("GET", one, get, identify=_member, shape=typed_shape),
        app_route("PATCH", one, update, identify=_member, roles=ANALYSTS, shape=typed_shape),
        app_route("DELETE", one, delete, identify=_member, roles=ANALYSTS, shape=typed_shape),
        app_route("POST", f"{one}/archive", archive, identify=_member, roles=ANALYSTS, shape=typed_shape),
        app_route("DELETE", f"{one}/archive", unarchive, identify=_member, roles=ANALYSTS, shape=typed_shape),
        app_route("PUT", f"{one}/launch", launch, identify=_member, roles=ANALYSTS, shape=typed_shape),
        app_route("PUT", f"{one}/force_conclude", force_conclude, identify=_member, roles=ANALYSTS, shape=typed_shape),
        app_route("PATCH", f"{one}/decide", decide, identify=_member, roles=ANALYSTS, shape=typed_shape),
    ]


class Experiments:
    """The experiments of all projects: (project id, experiment id) -> experiment."""

    def __init__(self, _state: State) -> None:
        self._numbers = count(1)
        self.experiments: dict[tuple[int, str], Experiment] = {}

    def new_id(self) -> str:
        return stable_uuid(f"experiment {next(self._numbers)}")


_Name = Annotated[str, Meta(min_length=1, max_length=255)]
_Description = Annotated[str, Meta(max_length=400)]


class _New(msgspec.Struct):
    name: _Name
    description: _Description | None = None
    hypothesis: str | None = None
    settings: dict[str, Any] = {}
    variants: list[Any] = []
    metrics: list[Any] = []


class _Changed(msgspec.Struct, omit_defaults=True):
    name: _Name | msgspec.UnsetType = msgspec.UNSET
    description: _Description | msgspec.UnsetType = msgspec.UNSET
    hypothesis: str | msgspec.UnsetType = msgspec.UNSET
    status: Literal["draft", "active", "concluded", "success", "fail"] | msgspec.UnsetType = msgspec.UNSET
    settings: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    variants: list[Any] | msgspec.UnsetType = msgspec.UNSET
    metrics: list[Any] | msgspec.UnsetType = msgspec.UNSET
    start_date: str | msgspec.UnsetType = msgspec.UNSET
    end_date: str | msgspec.UnsetType = msgspec.UNSET
    exposures_cache: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    results_cache: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    tags: list[str] | msgspec.UnsetType = msgspec.UNSET


class _Decision(msgspec.Struct):
    success: bool
    variant: str | None = None
    message: str | None = None


class _Conclusion(msgspec.Struct):
    end_date: str | None = None


def list_experiments(call: ApiCall) -> object:
    """All but archived experiments."""
    project_id = call.project.project_id
    found = [item for (owner, _), item in call.state.api_state(Experiments).experiments.items() if owner == project_id]
    return ok([_shown(call, experiment) for experiment in found if not experiment["deleted"]])


def create(call: ApiCall) -> object:
    new, part = call.json(_New), call.state.api_state(Experiments)
    experiment: Experiment = {
        "id": part.new_id(),
        "content_type": "experiment",
        **msgspec.to_builtins(new),
        "status": "draft",
        "created": iso_utc(call.now),
        "modified": iso_utc(call.now),
        **creator(call),
        "deleted": None,
        "tags": [],
        "exposures_cache": {},
        "results_cache": {},
        "start_date": None,
        "end_date": None,
    }
    part.experiments[call.project.project_id, experiment["id"]] = experiment
    return ok(_shown(call, experiment))


def get(call: ApiCall) -> object:
    return ok(_shown(call, _found(call)))


def update(call: ApiCall) -> object:
    """Only sent members change."""
    experiment, changed = _found(call), call.json(_Changed)
    experiment.update(msgspec.to_builtins(changed))
    return _touched(call, experiment)


def delete(call: ApiCall) -> object:
    """Permanently, unlike archiving."""
    experiment = _found(call)
    del call.state.api_state(Experiments).experiments[call.project.project_id, experiment["id"]]
    return ok({"id": experiment["id"]})


def archive(call: ApiCall) -> object:
    experiment = _found(call)
    experiment["deleted"] = iso_utc(call.now)
    return ok({"id": experiment["id"]})


def unarchive(call: ApiCall) -> object:
    experiment = _found(call)
    experiment["deleted"] = None
    return _touched(call, experiment)


def launch(call: ApiCall) -> object:
    experiment = _found(call)
    _check_status(experiment, "draft")
    experiment.update(status="active", start_date=iso_utc(call.now))
    return _touched(call, experiment)


def force_conclude(call: ApiCall) -> object:
    experiment, conclusion = _found(call), call.json(_Conclusion)
    _check_status(experiment, "active")
    experiment.update(status="concluded", end_date=conclusion.end_date or iso_utc(call.now))
    return _touched(call, experiment)


def decide(call: ApiCall) -> object:
    """The decision is stored in `results_cache`; it concludes a running experiment."""
    experiment, decision = _found(call), call.json(_Decision)
    _check_status(experiment, "active", "concluded")
    experiment["status"] = "success" if decision.success else "fail"
    experiment["end_date"] = experiment["end_date"] or iso_utc(call.now)
    experiment["results_cache"] = {**experiment["results_cache"], "decision": msgspec.to_builtins(decision)}
    return _touched(call, experiment)


def _found(call: ApiCall) -> Experiment:
    key = call.project.project_id, call.path["experiment_id"]
    experiment = call.state.api_state(Experiments).experiments.get(key)
    if experiment is None:
        raise ApiError(404, f"Experiment {key[1]} does not exist")
    return experiment


def _check_status(experiment: Experiment, *wanted: str) -> None:
    if experiment["status"] not in wanted:
        raise ApiError(400, f"The experiment is {experiment['status']}: it must be {' or '.join(wanted)}")


def _touched(call: ApiCall, experiment: Experiment) -> object:
    experiment["modified"] = iso_utc(call.now)
    return ok(_shown(call, experiment))


def _shown(call: ApiCall, experiment: Experiment) -> Experiment:
    flags = call.state.api_state(Flags).of_project(call.project.project_id)
    linked = next((flag for flag in flags if flag["experiment_id"] == experiment["id"]), None)
    return {**experiment, "feature_flag": {name: linked[name] for name in _FLAG_MEMBERS} if linked else None}


def _member(request: Request, state: State, now: datetime) -> Caller:
    """A service account that is a member of the project to which the workspace belongs."""
    workspace_id = request.path_params["workspace_id"]
    project = next((project for project in state.projects if project.workspace_id == workspace_id), None)
    project_id = project.project_id if project else 0
    return authenticate(request, state.projects, _ACCEPTS, now, unknown=INVALID_ACCOUNT, project_id=project_id)
