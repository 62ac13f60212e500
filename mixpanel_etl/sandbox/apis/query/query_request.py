"""A request to the Query API: its project and parameters. Source: mixpanel-api.md#query.

Every query is authenticated, checked for plan and budget, and answered as JSON. Its parameters are in the query string
and, for a POST, also in a form.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from urllib.parse import parse_qsl

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from mixpanel_etl.expressions import EvaluationError, Expression
from mixpanel_etl.sandbox.engine.authentication import Kind, authenticate
from mixpanel_etl.sandbox.engine.buckets import Buckets, buckets_of, units_before
from mixpanel_etl.sandbox.engine.budgets import Family
from mixpanel_etl.sandbox.engine.clock import milliseconds
from mixpanel_etl.sandbox.engine.projects import Project
from mixpanel_etl.sandbox.engine.query_parameters import (
    Parameters,
    read_choice,
    read_dates,
    read_expression,
    read_integer,
)
from mixpanel_etl.sandbox.engine.responses import ApiError, Handler, json_response
from mixpanel_etl.sandbox.engine.state import State

TYPES = ("general", "unique", "average")
UNITS = ("minute", "hour", "day", "week", "month")
_ACCEPTS: tuple[Kind, ...] = ("service_account", "project_secret")


@dataclass(frozen=True)
class QueryRequest:
    """One query. Its methods read parameters, and raise ApiError 400 naming the invalid one."""

    state: State
    project: Project
    parameters: Parameters
    now: datetime

    @property
    def today(self) -> date:
        return self.project.today(self.now)

    def expression(self, name: str) -> Expression | None:
        return read_expression(self.parameters, name)

    def choice(self, name: str, choices: tuple[str, ...], default: str) -> str:
        return read_choice({name: default, **self.parameters}, name, choices)

    def count(self, name: str, default: int, maximum: int | None = None) -> int:
        """A positive integer."""
        value = read_integer(self.parameters, name, minimum=1, maximum=maximum)
        return default if value is None else value

    def dates(self) -> tuple[date, date]:
        """from_date and to_date. Raises ApiError 403 if they exceed the history of the plan."""
        first, last = read_dates(self.parameters)
        self.check_history(first)
        return first, last

    def dates_or_interval(self, unit: str) -> tuple[date, date]:
        """from_date and to_date, or the last `interval` units including the current one."""
        interval = read_integer(self.parameters, "interval", minimum=1)
        if interval is None:
            return self.dates()
        if "from_date" in self.parameters or "to_date" in self.parameters:
            raise ApiError(400, "specify either interval or from_date and to_date")
        first = units_before(self.today, unit, interval)
        self.check_history(first)
        return first, self.today

    def check_history(self, first: date) -> None:
        history = self.project.max_history_days
        if history is not None and (self.today - first).days > history:
            raise ApiError(403, f"Date range exceeds {history} days into the past")

    def type_and_unit(self, unit: str | None = None, kind: str | None = None) -> tuple[str, str]:
        """`type` and `unit`, each required without a default."""
        chosen = read_choice(self.parameters if kind is None else {"type": kind, **self.parameters}, "type", TYPES)
        wanted = read_choice(self.parameters if unit is None else {"unit": unit, **self.parameters}, "unit", UNITS)
        if chosen == "unique" and wanted in ("minute", "hour"):
            raise ApiError(400, f"type unique is not available for unit {wanted}")
        return chosen, wanted

    def json_only(self) -> None:
        if self.parameters.get("format", "json") != "json":
            raise ApiError(400, "format must be json: the sandbox has no other")

    def stored_ms(self, timestamp: datetime) -> int:
        """A timestamp on the scale of stored times: in projects from before 2023, project time as if it were UTC."""
        if self.project.created_before_2023:
            timestamp = timestamp.astimezone(self.project.zone).replace(tzinfo=UTC)
        return milliseconds(timestamp)

    def buckets(self, first: date, last: date, unit: str) -> Buckets:
        """The units of days of project time, on the scale of stored times."""
        return buckets_of(first, last, unit, self.project.stored_zone)


Operation = Callable[[QueryRequest], object]


def querying(operation: Operation, *families: Family) -> Handler:
    """The handler of an operation, whose result is the body. `families`: its budgets beside `query`."""

    async def answer(request: Request) -> Response:
        state = State.of(request)
        now = state.clock.now()
        caller = authenticate(request, state.projects, _ACCEPTS, now, unknown="Unable to authenticate request")
        project = caller.project
        if project.plan == "free":
            raise ApiError(402, "Your plan does not allow API calls. Upgrade to use the Query API.")
        parameters = {**request.query_params, **await _form(request)}
        release = state.budgets.enter(project, "query", *families)
        try:
            body = await run_in_threadpool(operation, QueryRequest(state, project, parameters, now))
        except EvaluationError as error:
            raise ApiError(400, f"error evaluating expression: {error}") from error
        finally:
            release()
        return json_response(body)

    return answer


async def _form(request: Request) -> dict[str, str]:
    if request.method != "POST":
        return {}
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    body = await request.body()
    if body and content_type != "application/x-www-form-urlencoded":
        raise ApiError(400, f"the body must be application/x-www-form-urlencoded, not {content_type or 'untyped'}")
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
