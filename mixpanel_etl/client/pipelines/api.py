"""Data pipelines, an API that Mixpanel has deprecated. Source: mixpanel-api.md#pipelines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import date, timedelta
from typing import Any, Literal, get_args

import msgspec
from pydantic import SecretStr

from mixpanel_etl.client.errors import InvalidRequest
from mixpanel_etl.client.operations import parameters
from mixpanel_etl.client.operations.api import FORM, READERS, Api, Operations, calls
from mixpanel_etl.client.operations.replies import Reply, typed
from mixpanel_etl.client.pipelines.types import (
    AwsPipeline,
    Pipeline,
    PipelineChanges,
    PipelineFrequency,
    SchematizedPipeline,
    SchemaType,
)

operation = Operations("pipelines", "pipelines", prefix="/nessie/pipeline", accepts=READERS)

TaskState = Literal["pending", "running", "retried", "failed", "canceled", "timed_out"]

MAX_AGE = timedelta(days=184)  # six months
Form = dict[str, str | Sequence[str]]


class PipelineJob(Reply, frozen=True, kw_only=True):
    """A pipeline. `last_dispatched` is in local time; `sync_enabled` comes as a string."""

    name: str
    dispatcher: str | None = msgspec.field(name="Dispatcher", default=None)
    last_dispatched: str | None = None
    frequency: str | None = None
    sync_enabled: str | bool | None = None


class CreatedPipelines(Reply, frozen=True, kw_only=True):
    """The created pipelines: two for a trial."""

    pipeline_names: list[str]
    bigquery_dataset_name: str | None = None


class PipelineTask(Reply, frozen=True, kw_only=True):
    """A step of a pipeline. One that never finished has a `last_finish` in the year 0."""

    name: str | None = None
    state: str | None = None
    project_id: int | None = None
    last_finish: str | None = None
    run_at: str | None = None
    from_date: str | None = None
    to_date: str | None = None


class DaySync(Reply, frozen=True, kw_only=True):
    """The syncs of one day."""

    date: str
    sync_times: list[str] = msgspec.field(default_factory=list)
    status: str | None = None


class Pipelines(Api):
    """Manages pipelines; needs an admin or owner.

    Every method raises `InvalidRequest` when a parameter can't work, and one of the kinds in `client.errors` if
    Mixpanel rejects the request.
    """

    @operation("GET", "/jobs")
    def jobs(self) -> dict[str, list[PipelineJob]]:
        """All pipelines, by project number."""
        return typed(self._json(), dict[str, list[PipelineJob]])

    @operation("POST", "/create", "from_date six months ago", "regions of the vendors", sends=FORM)
    def create(self, pipeline: Pipeline) -> CreatedPipelines:
        """Create a pipeline of one of the eight types, such as `BigQueryPipeline`."""
        form: Form = {"type": pipeline.type, **self._project()}
        form |= _window(pipeline, self.transport.today())
        form |= _events(pipeline.events, pipeline.where)
        if isinstance(pipeline, SchematizedPipeline):
            form["sync"] = "true"
            parameters.choice("schema_type", pipeline.schema_type, get_args(SchemaType))
            parameters.choice("data_source", pipeline.data_source, ("events", "people"))
            _check_events_only(pipeline)
        if isinstance(pipeline, AwsPipeline):
            _check_glue(pipeline)
        own = pipeline.own_fields()
        for name, choices in pipeline.choices.items():
            if own[name] is not None:
                parameters.choice(name, own[name], choices)
        values, secrets = _plain_values(own)
        for name, value in values.items():
            parameters.string(name, value)
        reply = self._json(form={**form, **values}, secrets=secrets)
        return typed(reply, CreatedPipelines)

    @operation("POST", "/edit", sends=FORM, idempotent=True)
    def edit(self, name: str, changes: PipelineChanges) -> None:
        """Change the events of a pipeline, or the credentials of its destination."""
        form = _events(changes.events, changes.where)
        rest = {item.name: getattr(changes, item.name) for item in fields(changes)}
        groups = rest.pop("bq_share_with_group")
        values, secrets = _plain_values({key: rest[key] for key in rest if key not in ("events", "where")})
        shared: Form = {} if groups is None else {"bq_share_with_group": list(groups)}
        form = {**form, **values, **shared}
        if not form:
            raise InvalidRequest("nothing to change", advice="Give at least one field.")
        self._done(form={**self._named(name), **form}, secrets=secrets)

    @operation("POST", "/pause", sends=FORM, idempotent=True)
    def pause(self, name: str) -> None:
        """Stop a pipeline's jobs until `resume`."""
        self._done(form=self._named(name))

    @operation("POST", "/resume", sends=FORM, idempotent=True)
    def resume(self, name: str) -> None:
        """Resume a paused pipeline."""
        self._done(form=self._named(name))

    @operation("POST", "/cancel", sends=FORM, idempotent=True)
    def cancel(self, name: str) -> None:
        """Delete a pipeline and its history. It can't be undone."""
        self._done(form=self._named(name))

    @operation("GET", "/status")
    def status(self, name: str, status: Sequence[TaskState] | None = None) -> dict[str, list[PipelineTask]]:
        """A pipeline's tasks by state.

        Args:
            name: name of the pipeline.
            status: states of the returned tasks; all by default.
        """
        query: Form = {"name": parameters.string("name", name)}
        if status is not None:
            query["status"] = [parameters.choice("status", state, get_args(TaskState)) for state in status]
        return typed(self._json(query=query), dict[str, list[PipelineTask]])

    @calls(status)
    def status_summary(self, name: str) -> dict[str, Any]:
        """Number of tasks of a pipeline by state."""
        query = {"name": parameters.string("name", name), "summary": "true"}
        return typed(self._json(query=query), dict[str, Any])

    @operation("GET", "/timeline")
    def timeline(self, name: str) -> list[DaySync]:
        """Syncs of each day."""
        reply = self._json(query={"name": parameters.string("name", name)})
        days = reply.get("day_syncs") if isinstance(reply, dict) else reply
        return typed(days, list[DaySync])

    def _named(self, name: str) -> Form:
        return {"name": parameters.string("name", name), **self._project()}

    def _project(self) -> dict[str, str]:
        """The project, which these endpoints expect in the body."""
        project = self.transport.settings.project_id
        return {"project_id": str(project)} if project else {}


def _window(pipeline: Pipeline, today: date) -> dict[str, str]:
    first, last = pipeline.from_date, pipeline.to_date
    if first is None and not pipeline.trial:
        raise InvalidRequest("from_date is missing", advice="Give it; only a trial works without it.")
    if first is not None and first < today - MAX_AGE:
        raise InvalidRequest(f"from_date {first} is more than six months ago", advice="Begin later; see `export`.")
    if pipeline.frequency is not None and last is not None:
        raise InvalidRequest("frequency and to_date", advice="A pipeline that ends has no frequency: drop one.")
    window: dict[str, str] = {"trial": "true"} if pipeline.trial else {}
    if pipeline.frequency is not None:
        window["frequency"] = parameters.choice("frequency", pipeline.frequency, get_args(PipelineFrequency))
    if first is not None and last is not None:
        return {**window, **parameters.window(first, last)}
    if first is not None:
        window["from_date"] = str(parameters.day("from_date", first))
    if last is not None:
        window["to_date"] = str(parameters.day("to_date", last))
    return window


def _events(events: Sequence[str] | None, where: str | None) -> Form:
    """`events` is a field for each name, not JSON."""
    form: Form = {}
    if events is not None:
        form["events"] = parameters.strings("events", events)
    if where is not None:
        form["where"] = parameters.expression("where", where)
    return form


def _check_events_only(pipeline: SchematizedPipeline) -> None:
    if pipeline.data_source == "people" and (pipeline.where is not None or pipeline.events is not None):
        raise InvalidRequest("events or where with data_source 'people'", advice="They are for events: drop them.")


def _check_glue(pipeline: AwsPipeline) -> None:
    if pipeline.use_glue and not (pipeline.glue_database and pipeline.glue_role):
        raise InvalidRequest("use_glue without glue_database and glue_role", advice="Give both.")


def _plain_values(values: Mapping[str, Any]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Values of a form, and the secrets among them."""
    plain_values, secrets = {}, []
    for name, value in values.items():
        if isinstance(value, SecretStr):
            secrets.append(value.get_secret_value())
            plain_values[name] = value.get_secret_value()
        elif isinstance(value, bool):
            plain_values[name] = str(value).lower()
        elif value is not None:
            plain_values[name] = str(value)
    return plain_values, tuple(secrets)
