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
from mixpanel_etl.client.operations.api import Group
from mixpanel_etl.client.operations.replies import Reply, plain, typed
from mixpanel_etl.client.pipelines.types import Aws, Changes, Frequency, Pipeline, Schematized, SchemaType

State = Literal["pending", "running", "retried", "failed", "canceled", "timed_out"]

OLDEST = timedelta(days=184)  # six months
Form = dict[str, str | Sequence[str]]


class Job(Reply, frozen=True, kw_only=True):
    """A pipeline. `last_dispatched` is in local time; `sync_enabled` comes as a text."""

    name: str
    dispatcher: str | None = msgspec.field(name="Dispatcher", default=None)
    last_dispatched: str | None = None
    frequency: str | None = None
    sync_enabled: str | bool | None = None


class CreatedPipelines(Reply, frozen=True, kw_only=True):
    """What was made: a trial makes two."""

    pipeline_names: list[str]
    bigquery_dataset_name: str | None = None


class Task(Reply, frozen=True, kw_only=True):
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


class Pipelines(Group):
    """Manages pipelines; needs an admin or owner.

    Every method raises `InvalidRequest` when a parameter can't work, and one of the kinds in `client.errors` when
    Mixpanel refuses.
    """

    group = "pipelines"

    def jobs(self) -> dict[str, list[Job]]:
        """All pipelines, by project number."""
        return plain(self._call("jobs"), dict[str, list[Job]], endpoint=self._endpoint("jobs"))

    def create(self, pipeline: Pipeline) -> CreatedPipelines:
        """Create a pipeline: one of the types in `client.pipeline_types`."""
        endpoint = self._endpoint("create")
        form: Form = {"type": pipeline.type, **self._project()}
        form |= _window(pipeline, self._transport.today(), endpoint)
        form |= _events(pipeline.events, pipeline.where, endpoint)
        if isinstance(pipeline, Schematized):
            form["sync"] = "true"
            parameters.choice("schema_type", pipeline.schema_type, get_args(SchemaType), endpoint)
            parameters.choice("data_source", pipeline.data_source, ("events", "people"), endpoint)
            _check_events_only(pipeline, endpoint)
        if isinstance(pipeline, Aws):
            _check_glue(pipeline, endpoint)
        own = pipeline.own_fields()
        for name, choices in pipeline.choices.items():
            if own[name] is not None:
                parameters.choice(name, own[name], choices, endpoint)
        values, secrets = _plain_values(own)
        for name, value in values.items():
            parameters.text(name, value, endpoint)
        reply = self._call("create", form={**form, **values}, secrets=secrets)
        return typed(CreatedPipelines, reply, endpoint=endpoint)

    def edit(self, name: str, changes: Changes) -> None:
        """Change which events a pipeline exports, or what it needs to reach its destination."""
        endpoint = self._endpoint("edit")
        form = _events(changes.events, changes.where, endpoint)
        rest = {item.name: getattr(changes, item.name) for item in fields(changes)}
        groups = rest.pop("bq_share_with_group")
        values, secrets = _plain_values({key: rest[key] for key in rest if key not in ("events", "where")})
        shared: Form = {} if groups is None else {"bq_share_with_group": list(groups)}
        form = {**form, **values, **shared}
        if not form:
            raise InvalidRequest("nothing to change", endpoint=endpoint, advice="Give at least one field.")
        self._do("edit", form={**self._named("edit", name), **form}, secrets=secrets)

    def pause(self, name: str) -> None:
        """Stop a pipeline's jobs until `resume`."""
        self._do("pause", form=self._named("pause", name))

    def resume(self, name: str) -> None:
        """Go on with a paused pipeline."""
        self._do("resume", form=self._named("resume", name))

    def cancel(self, name: str) -> None:
        """Delete a pipeline and its history. It can't be undone."""
        self._do("cancel", form=self._named("cancel", name))

    def status(self, name: str, status: Sequence[State] | None = None) -> dict[str, list[Task]]:
        """A pipeline's tasks by state.

        Args:
            name: the pipeline's.
            status: only tasks in these states.
        """
        endpoint = self._endpoint("status")
        query: Form = {"name": parameters.text("name", name, endpoint)}
        if status is not None:
            query["status"] = [parameters.choice("status", state, get_args(State), endpoint) for state in status]
        reply = self._call("status", query=query)
        return plain(reply, dict[str, list[Task]], endpoint=endpoint)

    def status_summary(self, name: str) -> dict[str, Any]:
        """How many tasks a pipeline has, by state."""
        endpoint = self._endpoint("status")
        query = {"name": parameters.text("name", name, endpoint), "summary": "true"}
        return plain(self._call("status", query=query), dict[str, Any], endpoint=endpoint)

    def timeline(self, name: str) -> list[DaySync]:
        """When each day was synced."""
        endpoint = self._endpoint("timeline")
        reply = self._call("timeline", query={"name": parameters.text("name", name, endpoint)})
        days = reply.get("day_syncs") if isinstance(reply, dict) else reply
        return plain(days, list[DaySync], endpoint=endpoint)

    def _named(self, operation: str, name: str) -> Form:
        return {"name": parameters.text("name", name, self._endpoint(operation)), **self._project()}

    def _project(self) -> dict[str, str]:
        """The project in the body, where these endpoints look for it."""
        project = self._transport.settings.project_id
        return {"project_id": str(project)} if project else {}


def _window(pipeline: Pipeline, today: date, endpoint: str) -> dict[str, str]:
    first, last = pipeline.from_date, pipeline.to_date
    if first is None and not pipeline.trial:
        raise InvalidRequest("no from_date", endpoint=endpoint, advice="Give it; only a trial needs none.")
    if first is not None and first < today - OLDEST:
        raise InvalidRequest(
            f"from_date {first} is more than six months ago", endpoint=endpoint, advice="Begin later; see `export`."
        )
    if pipeline.frequency is not None and last is not None:
        raise InvalidRequest(
            "frequency and to_date", endpoint=endpoint, advice="A pipeline that ends has no frequency: drop one."
        )
    window: dict[str, str] = {"trial": "true"} if pipeline.trial else {}
    if pipeline.frequency is not None:
        window["frequency"] = parameters.choice("frequency", pipeline.frequency, get_args(Frequency), endpoint)
    if first is not None and last is not None:
        return {**window, **parameters.window(first, last, endpoint)}
    if first is not None:
        window["from_date"] = str(parameters.day("from_date", first, endpoint))
    if last is not None:
        window["to_date"] = str(parameters.day("to_date", last, endpoint))
    return window


def _events(events: Sequence[str] | None, where: str | None, endpoint: str) -> Form:
    """`events` is a field for each name, no JSON."""
    form: Form = {}
    if events is not None:
        form["events"] = parameters.texts("events", events, endpoint)
    if where is not None:
        form["where"] = parameters.expression("where", where, endpoint)
    return form


def _check_events_only(pipeline: Schematized, endpoint: str) -> None:
    if pipeline.data_source == "people" and (pipeline.where is not None or pipeline.events is not None):
        raise InvalidRequest(
            "events or where with data_source 'people'", endpoint=endpoint, advice="They are for events: drop them."
        )


def _check_glue(pipeline: Aws, endpoint: str) -> None:
    if pipeline.use_glue and not (pipeline.glue_database and pipeline.glue_role):
        raise InvalidRequest("use_glue without glue_database and glue_role", endpoint=endpoint, advice="Give both.")


def _plain_values(values: Mapping[str, Any]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Values as a form has them, and those among them that no message may show."""
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
