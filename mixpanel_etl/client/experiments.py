"""Experiments. Source: mixpanel-api.md#experiments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from mixpanel_etl.client.errors import InvalidRequest
from mixpanel_etl.client.operations import parameters
from mixpanel_etl.client.operations.api import JSON, Api, Operations
from mixpanel_etl.client.operations.replies import Reply

operation = Operations("app", "experiments", prefix="/workspaces/{workspace_id}/experiments")

MAX_NAME = 255
MAX_DESCRIPTION = 400


class Experiment(Reply, frozen=True, kw_only=True):
    """An experiment. `status` is draft, active, concluded, success or fail; times are ISO 8601."""

    id: str
    name: str | None = None
    description: str | None = None
    hypothesis: str | None = None
    status: str | None = None
    variants: list[Any] | None = None
    metrics: list[Any] | None = None
    settings: dict[str, Any] | None = None
    tags: list[str] | None = None
    created: str | None = None
    modified: str | None = None
    deleted: str | None = None
    start_date: str | None = None
    end_date: str | None = None
    feature_flag: dict[str, Any] | None = None
    exposures_cache: dict[str, Any] | None = None
    results_cache: dict[str, Any] | None = None


class ExperimentChanges(msgspec.Struct, frozen=True, kw_only=True):
    """Fields of an experiment to set. Other fields keep their value, or are empty in a new experiment.

    `description` has up to 400 characters. Mixpanel does not document the shapes of variants, metrics and settings.
    """

    description: str | msgspec.UnsetType = msgspec.UNSET
    hypothesis: str | msgspec.UnsetType = msgspec.UNSET
    settings: Mapping[str, Any] | msgspec.UnsetType = msgspec.UNSET
    variants: Sequence[Any] | msgspec.UnsetType = msgspec.UNSET
    metrics: Sequence[Any] | msgspec.UnsetType = msgspec.UNSET
    global_access_type: str | msgspec.UnsetType = msgspec.UNSET


class Experiments(Api):
    """Experiments of the workspace that the settings name (`workspace_id`).

    Every method raises `InvalidRequest` when a parameter can't work, and one of the kinds in `client.errors` if
    Mixpanel rejects the request, even with a 200 (`ReplyError`).
    """

    @operation("GET")
    def list_experiments(self) -> list[Experiment]:
        """All experiments."""
        return self._result(list[Experiment])

    @operation("POST", "", "255 characters a name, 400 a description", sends=JSON)
    def create_experiment(self, name: str, changes: ExperimentChanges = ExperimentChanges()) -> Experiment:  # noqa: B008 - it is frozen
        """Create a draft.

        Args:
            name: name, up to 255 characters.
            changes: other fields.
        """
        body = {"name": parameters.string("name", name, maximum=MAX_NAME), **_checked(changes)}
        return self._result(Experiment, json=body)

    @operation("GET", "/{experiment_id}")
    def get_experiment(self, experiment_id: str) -> Experiment:
        """One experiment."""
        return self._result(Experiment, path=_path(experiment_id))

    @operation("PATCH", "/{experiment_id}", "255 characters a name, 400 a description", sends=JSON)
    def update_experiment(
        self,
        experiment_id: str,
        changes: ExperimentChanges = ExperimentChanges(),  # noqa: B008
        *,
        name: str | None = None,
        tags: Sequence[str] | None = None,
    ) -> Experiment:
        """Change an experiment."""
        body = _checked(changes)
        if name is not None:
            body["name"] = parameters.string("name", name, maximum=MAX_NAME)
        if tags is not None:
            body["tags"] = list(tags)
        if not body:
            raise InvalidRequest("nothing to change", advice="Give at least one field.")
        return self._result(Experiment, path=_path(experiment_id), json=body)

    @operation("DELETE", "/{experiment_id}")
    def delete_experiment(self, experiment_id: str) -> None:
        """Delete an experiment."""
        self._done(path=_path(experiment_id))

    @operation("POST", "/{experiment_id}/archive", sends=JSON, idempotent=True)
    def archive_experiment(self, experiment_id: str) -> None:
        """Archive an experiment."""
        self._done(path=_path(experiment_id), json={})

    @operation("DELETE", "/{experiment_id}/archive")
    def unarchive_experiment(self, experiment_id: str) -> Experiment:
        """Restore an archived experiment."""
        return self._result(Experiment, path=_path(experiment_id))

    @operation("PATCH", "/{experiment_id}/decide", sends=JSON)
    def decide_experiment(
        self, experiment_id: str, *, success: bool, variant: str | None = None, message: str | None = None
    ) -> Experiment:
        """Record the outcome of an experiment."""
        body = {"success": success, "variant": variant, "message": message}
        return self._result(
            Experiment,
            path=_path(experiment_id),
            json={name: value for name, value in body.items() if value is not None},
        )

    @operation("PUT", "/{experiment_id}/force_conclude", sends=JSON)
    def force_conclude_experiment(self, experiment_id: str, end_date: datetime | None = None) -> Experiment:
        """End an experiment, now or at a time (aware)."""
        body = {} if end_date is None else {"end_date": parameters.aware("end_date", end_date)}
        return self._result(Experiment, path=_path(experiment_id), json=body)

    @operation("PUT", "/{experiment_id}/launch", sends=JSON)
    def launch_experiment(self, experiment_id: str) -> Experiment:
        """Start an experiment."""
        return self._result(Experiment, path=_path(experiment_id), json={})


def _path(experiment_id: str) -> dict[str, str]:
    return {"experiment_id": parameters.string("experiment_id", experiment_id)}


def _checked(changes: ExperimentChanges) -> dict[str, Any]:
    if changes.description is not msgspec.UNSET and len(changes.description) > MAX_DESCRIPTION:
        raise InvalidRequest(
            f"description has {len(changes.description)} characters, the limit is {MAX_DESCRIPTION}",
            advice="Shorten it.",
        )
    return {name: value for name, value in msgspec.structs.asdict(changes).items() if value is not msgspec.UNSET}
