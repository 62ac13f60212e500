"""`/sandbox/...`: clock, events, faults, budgets and saved reports. All of it is invented.

Replies are JSON; a 400 is `{"error": text}`. Requests to the control API are not logged, and have neither budgets
nor faults.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from itertools import islice
from tempfile import TemporaryFile
from typing import Any

import msgspec
from starlette.concurrency import iterate_in_threadpool, run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from mixpanel_etl.sandbox.apis.query.models import SavedReports
from mixpanel_etl.sandbox.control.api_routes import app_control_routes
from mixpanel_etl.sandbox.control.control_route import control_body, control_project, control_route
from mixpanel_etl.sandbox.control.environment import environment
from mixpanel_etl.sandbox.engine.budgets import LIMITS
from mixpanel_etl.sandbox.engine.event_store import Days, DeduplicatedEvent
from mixpanel_etl.sandbox.engine.faults import Fault
from mixpanel_etl.sandbox.engine.line_reader import lines_of, spool
from mixpanel_etl.sandbox.engine.query_parameters import read_dates
from mixpanel_etl.sandbox.engine.responses import Handler, json_response
from mixpanel_etl.sandbox.engine.saved_reports import Cohort, Funnel, Insight
from mixpanel_etl.sandbox.engine.state import State
from mixpanel_etl.sandbox.shop.generate import generate_lines

_LINES_IN_CHUNK = 1000


def control_routes() -> list[Route]:
    return [
        control_route("GET", "", overview),
        control_route("GET", "/environment", variables),
        control_route("GET", "/requests", list_requests),
        control_route("DELETE", "/requests", clear_requests),
        control_route("PUT", "/clock", set_clock),
        control_route("GET", "/faults", list_faults),
        control_route("POST", "/faults", add_fault),
        control_route("DELETE", "/faults", clear_faults),
        control_route("DELETE", "/budgets", reset_budgets),
        control_route("POST", "/load", load),
        control_route("POST", "/generate", generate),
        control_route("POST", "/merge", merge_identities),
        control_route("POST", "/funnels", _saving(Funnel)),
        control_route("POST", "/cohorts", _saving(Cohort)),
        control_route("POST", "/insights", _saving(Insight)),
        control_route("GET", "/deduplicated", deduplicated),
        *app_control_routes(),
    ]


async def overview(request: Request) -> Response:
    """The projects with their numbers of events and usage of budgets, and the time."""
    state = State.of(request)
    projects = [
        {
            "project_id": project.project_id,
            "name": project.name,
            "timezone": project.timezone,
            "created_before_2023": project.created_before_2023,
            "plan": project.plan,
            "events": state.store.count(project.project_id),
            "budgets": {family: state.budgets.usage(project.project_id, family)._asdict() for family in LIMITS},
        }
        for project in state.projects
    ]
    return json_response({"now": state.clock.now(), "frozen": state.clock.frozen, "projects": projects})


async def variables(request: Request) -> Response:
    """The environment variables that configure the package for a project: `?project_id=`."""
    base_url = str(request.base_url).rstrip("/")
    return json_response(environment(base_url, control_project(request)))


async def list_requests(request: Request) -> Response:
    return json_response([dataclasses.asdict(seen) for seen in list(State.of(request).requests)])


async def clear_requests(request: Request) -> Response:
    State.of(request).requests.clear()
    return json_response({"status": "ok"})


class _Clock(msgspec.Struct, forbid_unknown_fields=True):
    now: datetime | None = None
    frozen: bool = False
    advance_seconds: float = 0


async def set_clock(request: Request) -> Response:
    """Body: `{"now": ISO date and time with offset, "frozen": bool}`, `{"advance_seconds": n}`, `{}` to reset."""
    clock, wanted = State.of(request).clock, await control_body(request, _Clock)
    if wanted.now is not None:
        clock.set(wanted.now, frozen=wanted.frozen)
    elif wanted.advance_seconds:
        clock.advance(timedelta(seconds=wanted.advance_seconds))
    else:
        clock.reset()
    return json_response({"now": clock.now(), "frozen": clock.frozen})


async def list_faults(request: Request) -> Response:
    rules = State.of(request).faults.all()
    return json_response([{**_fault_json(fault), "hits": hits} for fault, hits in rules])


async def add_fault(request: Request) -> Response:
    """Body: the fields of `Fault`; `lines` are strings."""
    values = await control_body(request, dict[str, Any])
    try:
        lines = [line.encode() for line in values.pop("lines", [])]
        fault = Fault(**values, lines=lines)
    except (TypeError, AttributeError) as error:
        raise ValueError(str(error)) from error
    State.of(request).faults.add(fault)
    return json_response(_fault_json(fault), 201)


async def clear_faults(request: Request) -> Response:
    State.of(request).faults.clear()
    return json_response({"status": "ok"})


async def reset_budgets(request: Request) -> Response:
    State.of(request).budgets.reset()
    return json_response({"status": "ok"})


async def load(request: Request) -> Response:
    """Body: exported lines, gzip or not."""
    state, project = State.of(request), control_project(request)
    compressed = request.headers.get("content-encoding", "").lower() == "gzip"
    with TemporaryFile() as file:
        await spool(request, file)
        lines = lines_of(file, compressed=compressed)
        added = await run_in_threadpool(state.store.add, project.project_id, lines)
    return json_response({"events": added}, 201)


class _Generate(msgspec.Struct, forbid_unknown_fields=True):
    events: int
    from_date: date
    to_date: date
    seed: int = 0
    duplicates: float = 0.01


async def generate(request: Request) -> Response:
    """Body: `{"events", "from_date", "to_date", "seed", "duplicates"}`, the last two optional."""
    state, project, wanted = State.of(request), control_project(request), await control_body(request, _Generate)
    lines = generate_lines(
        wanted.events,
        wanted.from_date,
        wanted.to_date,
        seed=wanted.seed,
        duplicates=wanted.duplicates,
        timezone=project.export_timezone,
    )
    return json_response({"events": await run_in_threadpool(state.store.add, project.project_id, lines)}, 201)


class _Merge(msgspec.Struct, forbid_unknown_fields=True):
    from_id: str
    to_id: str


async def merge_identities(request: Request) -> Response:
    """Body: `{"from_id", "to_id"}`."""
    state, project, wanted = State.of(request), control_project(request), await control_body(request, _Merge)

    def merge() -> int:
        with state.lock:
            return state.identities.join(project, wanted.from_id, wanted.to_id)

    rewritten = await run_in_threadpool(merge)
    return json_response({"rewritten": rewritten})


def _saving(kind: type[Funnel | Cohort | Insight]) -> Handler:
    """Saves a report. Body: its fields."""

    async def save(request: Request) -> Response:
        state, project, report = State.of(request), control_project(request), await control_body(request, kind)
        state.api_state(SavedReports).add(project.project_id, report)
        return json_response(report, 201)

    return save


async def deduplicated(request: Request) -> Response:
    """`?from_date=&to_date=`: one JSON object a line, whose `properties` is a string of JSON."""
    state, project = State.of(request), control_project(request)
    days = Days(*read_dates(request.query_params))
    lines = _line_chunks(state.store.deduplicated(project.project_id, days))
    return StreamingResponse(iterate_in_threadpool(lines), media_type="application/x-ndjson")


def _line_chunks(rows: Iterator[DeduplicatedEvent]) -> Iterator[bytes]:
    while chunk := list(islice(rows, _LINES_IN_CHUNK)):
        yield b"".join(msgspec.json.encode(row._asdict()) + b"\n" for row in chunk)


def _fault_json(fault: Fault) -> dict[str, Any]:
    values = dataclasses.asdict(fault)
    return {**values, "lines": [line.decode("utf-8", "replace") for line in fault.lines]}
