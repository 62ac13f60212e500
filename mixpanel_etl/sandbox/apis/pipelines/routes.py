"""Routes of the deprecated Data Pipelines API.

Source: mixpanel-api.md#pipelines.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import date, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.routing import Route

from mixpanel_etl.sandbox.apis.api_call import ADMINS, ApiCall, app_route
from mixpanel_etl.sandbox.apis.pipelines.creation import PipelineSettings, read_creation, read_edit
from mixpanel_etl.sandbox.apis.pipelines.models import Pipeline, Pipelines, Task
from mixpanel_etl.sandbox.engine.authentication import Caller, Kind, authenticate
from mixpanel_etl.sandbox.engine.query_parameters import check_choice, required
from mixpanel_etl.sandbox.engine.responses import ApiError
from mixpanel_etl.sandbox.engine.state import State

MAX_RECURRING = 2
MAX_DATED = 1
FILTERS = ("pending", "running", "retried", "failed", "canceled", "timed_out")
_ALWAYS_SHOWN = ("canceled", "retried", "succeeded")
_NEVER = "0000-12-31T16:00:00-08:00"
_PATH = "/nessie/pipeline"
_PREFIX = "/api/2.0"
_ACCEPTS: tuple[Kind, ...] = ("service_account", "project_secret")


def pipeline_routes() -> list[Route]:
    operations = [
        ("GET", "jobs", list_jobs),
        ("POST", "create", create),
        ("POST", "edit", edit),
        ("POST", "pause", pause),
        ("POST", "resume", resume),
        ("POST", "cancel", cancel),
        ("GET", "status", status),
        ("GET", "timeline", timeline),
    ]
    return [
        app_route(method, f"{_PATH}/{name}", operation, roles=ADMINS, identify=_caller, prefix=_PREFIX)
        for method, name, operation in operations
    ]


def list_jobs(call: ApiCall) -> object:
    """By project id; a bool as a string and a time with the zone's name, as documented."""
    jobs = [_job(pipeline, call.now) for pipeline in _pipelines(call).values()]
    return {str(call.project.project_id): jobs}


def create(call: ApiCall) -> object:
    """Creates one pipeline; two, for events and people, in a trial of a schematized type."""
    form = _form(call.body)
    settings = read_creation(form, call.project.today(call.now))
    part, pipelines = call.state.api_state(Pipelines), _pipelines(call)
    _check_limits(part, call, settings)
    names = []
    for source in settings.data_sources:
        name = _free_name(pipelines, settings, source)
        pipelines[name] = Pipeline(name, call.project, source, settings, call.now, form)
        names.append(name)
    if settings.to_date is not None:
        part.dated[call.project.project_id].append(call.now)
    reply: dict[str, object] = {"pipeline_names": names}
    if settings.kind == "bigquery":
        dataset = f"{form['gcp_project']}:{form['bq_dataset_name']}"
        reply["bigquery_dataset_name"] = f"https://bigquery.cloud.google.com/dataset/{dataset}"
    return reply


def edit(call: ApiCall) -> object:
    form = _form(call.body)
    pipeline = _found(call, form)
    pipeline.parameters.update(read_edit(form, pipeline.settings.kind))
    return {}


def pause(call: ApiCall) -> object:
    """Cancels running tasks, too. Does nothing if it is paused."""
    pipeline = _found(call, _form(call.body))
    if not pipeline.is_paused:
        pipeline.pauses.append((call.now, None))
    return {}


def resume(call: ApiCall) -> object:
    pipeline = _found(call, _form(call.body))
    if pipeline.is_paused:
        pipeline.pauses[-1] = (pipeline.pauses[-1][0], call.now)
    return {}


def cancel(call: ApiCall) -> object:
    """Deletes the pipeline and its history."""
    del _pipelines(call)[_found(call, _form(call.body)).name]
    return {}


def status(call: ApiCall) -> object:
    """Tasks by state; with `summary=true` their numbers, with `status` only those states."""
    pipeline = _found(call, call.parameters)
    states = call.request.query_params.getlist("status")
    for name in states:
        check_choice("status", name, FILTERS)
    tasks: dict[str, list[Task]] = {name: [] for name in states or _ALWAYS_SHOWN}
    for task in pipeline.tasks(call.now):
        if not states or task.state in states:
            tasks.setdefault(task.state, []).append(task)
    if call.parameters.get("summary") == "true":
        return {name: len(members) for name, members in tasks.items()}
    return {name: [_shown(pipeline, task) for task in members] for name, members in tasks.items()}


def timeline(call: ApiCall) -> object:
    """The times of export of each finished day."""
    pipeline = _found(call, call.parameters)
    days: dict[str, list[str]] = defaultdict(list)
    for task in pipeline.tasks(call.now):
        times = days[f"{task.start:%Y-%m-%d}"]
        if task.finished and task.state == "succeeded":
            times.append(f"{task.finished.astimezone(pipeline.project.zone):%Y-%m-%d %H:%M:%S.%f %z %Z}")
    syncs = [
        {"date": day, "sync_times": times, "status": "synced" if times else "pending"} for day, times in days.items()
    ]
    return {"day_syncs": syncs}


def _check_limits(part: Pipelines, call: ApiCall, settings: PipelineSettings) -> None:
    project_id, pipelines = call.project.project_id, _pipelines(call).values()
    is_dated = settings.to_date is not None
    # The two pipelines of a trial share their settings.
    same_kind = {id(item.settings) for item in pipelines if (item.settings.to_date is not None) == is_dated}
    maximum = MAX_DATED if is_dated else MAX_RECURRING
    if len(same_kind) >= maximum:
        raise ApiError(400, f"A project has at most {maximum} {'date-ranged' if is_dated else 'recurring'} pipelines")
    if is_dated and any(created > call.now - timedelta(hours=24) for created in part.dated[project_id]):
        raise ApiError(400, "A project can create one date-ranged pipeline in 24 hours")
    for item in pipelines:
        if item.settings.destination == settings.destination and item.data_source in settings.data_sources:
            first, last = item.settings.from_date, item.settings.to_date or date.max
            if first <= (settings.to_date or date.max) and settings.from_date <= last:
                raise ApiError(400, f"The range overlaps that of pipeline {item.name}, which has the same destination")


def _free_name(pipelines: dict[str, Pipeline], settings: PipelineSettings, source: str) -> str:
    parts = ["trial"] if settings.is_trial else []
    parts += [source, settings.frequency, settings.kind, *([settings.schema_type] if settings.schema_type else [])]
    name, number = "-".join(parts), 1
    while name in pipelines:
        number += 1
        name = "-".join([*parts, str(number)])
    return name


def _pipelines(call: ApiCall) -> dict[str, Pipeline]:
    return call.state.api_state(Pipelines).pipelines[call.project.project_id]


def _found(call: ApiCall, parameters: dict[str, str]) -> Pipeline:
    name = required(parameters, "name")
    if name not in _pipelines(call):
        raise ApiError(404, f"Pipeline {name} does not exist")
    return _pipelines(call)[name]


def _job(pipeline: Pipeline, now: datetime) -> dict[str, Any]:
    dispatched = [task for task in pipeline.tasks(now) if task.state != "pending"]
    last = max((task.run_at for task in dispatched), default=pipeline.created)
    is_behind = any(
        task.end < pipeline.created and task.state in ("pending", "running") for task in pipeline.tasks(now)
    )
    return {
        "name": pipeline.name,
        "Dispatcher": "backfill" if is_behind else "live",
        "last_dispatched": f"{last.astimezone(pipeline.project.zone):%Y-%m-%d %H:%M:%S} {pipeline.project.timezone}",
        "frequency": pipeline.settings.frequency,
        "sync_enabled": str(pipeline.settings.sync).lower(),
    }


def _shown(pipeline: Pipeline, task: Task) -> dict[str, Any]:
    zone = pipeline.project.zone
    return {
        "project_id": pipeline.project.project_id,
        "name": pipeline.name,
        "state": task.state,
        "last_finish": task.finished.astimezone(zone).isoformat() if task.finished else _NEVER,
        "run_at": task.run_at.astimezone(zone).isoformat(),
        "from_date": task.start.isoformat(),
        "to_date": task.end.isoformat(),
    }


def _form(body: bytes) -> dict[str, str]:
    """The fields; `events` may be repeated, and is joined with newlines."""
    fields: dict[str, str] = {}
    for name, value in parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True):
        fields[name] = f"{fields[name]}\n{value}" if name == "events" and name in fields else value
    return fields


def _caller(request: Request, state: State, now: datetime) -> Caller:
    """`project_id` may be in the form or in the query."""
    text = _form(request.state.body).get("project_id") or request.query_params.get("project_id")
    project_id = int(text) if text and text.isdecimal() else None
    return authenticate(request, state.projects, _ACCEPTS, now, unknown="Unauthorized", project_id=project_id)
