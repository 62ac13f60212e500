"""Experiments. Source: mixpanel-api.md#experiments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from mixpanel_etl.client.errors import InvalidRequest
from mixpanel_etl.client.operations import parameters
from mixpanel_etl.client.operations.api import Group
from mixpanel_etl.client.operations.replies import Reply, plain, results, typed

MOST_NAME = 255
MOST_DESCRIPTION = 400


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


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """What to set of an experiment; what is left out stays, or is empty in a new one.

    `description` has up to 400 characters. Shapes of variants, metrics and settings are Mixpanel's, and not documented.
    """

    description: str | msgspec.UnsetType = msgspec.UNSET
    hypothesis: str | msgspec.UnsetType = msgspec.UNSET
    settings: Mapping[str, Any] | msgspec.UnsetType = msgspec.UNSET
    variants: Sequence[Any] | msgspec.UnsetType = msgspec.UNSET
    metrics: Sequence[Any] | msgspec.UnsetType = msgspec.UNSET
    global_access_type: str | msgspec.UnsetType = msgspec.UNSET


class Experiments(Group):
    """Experiments of the workspace that the settings name (`workspace_id`).

    Every method raises `InvalidRequest` when a parameter can't work, and one of the kinds in `client.errors` when
    Mixpanel refuses, even where it does so with a 200 (`ReplyError`).
    """

    group = "experiments"

    def list_experiments(self) -> list[Experiment]:
        """All experiments."""
        reply = results(self._call("list_experiments"))
        return plain(reply, list[Experiment], endpoint=self._endpoint("list_experiments"))

    def create_experiment(self, name: str, changes: Changes = Changes()) -> Experiment:  # noqa: B008 - it is frozen
        """Create a draft.

        Args:
            name: up to 255 characters.
            changes: what else to set.
        """
        endpoint = self._endpoint("create_experiment")
        body = {"name": parameters.text("name", name, endpoint, most=MOST_NAME), **_checked(changes, endpoint)}
        return self._one("create_experiment", json=body)

    def get_experiment(self, experiment_id: str) -> Experiment:
        """One experiment."""
        return self._one("get_experiment", experiment_id)

    def update_experiment(
        self,
        experiment_id: str,
        changes: Changes = Changes(),  # noqa: B008
        *,
        name: str | None = None,
        tags: Sequence[str] | None = None,
    ) -> Experiment:
        """Change an experiment."""
        endpoint = self._endpoint("update_experiment")
        body = _checked(changes, endpoint)
        if name is not None:
            body["name"] = parameters.text("name", name, endpoint, most=MOST_NAME)
        if tags is not None:
            body["tags"] = list(tags)
        if not body:
            raise InvalidRequest("nothing to change", endpoint=endpoint, advice="Give at least one field.")
        return self._one("update_experiment", experiment_id, json=body)

    def delete_experiment(self, experiment_id: str) -> None:
        """Delete an experiment."""
        self._do("delete_experiment", path=self._id("delete_experiment", experiment_id))

    def archive_experiment(self, experiment_id: str) -> None:
        """Put an experiment away."""
        self._do("archive_experiment", path=self._id("archive_experiment", experiment_id), json={})

    def unarchive_experiment(self, experiment_id: str) -> Experiment:
        """Take an experiment out again."""
        return self._one("unarchive_experiment", experiment_id)

    def decide_experiment(
        self, experiment_id: str, *, success: bool, variant: str | None = None, message: str | None = None
    ) -> Experiment:
        """Say how an experiment ended."""
        body = {"success": success, "variant": variant, "message": message}
        return self._one(
            "decide_experiment",
            experiment_id,
            json={name: value for name, value in body.items() if value is not None},
        )

    def force_conclude_experiment(self, experiment_id: str, end_date: datetime | None = None) -> Experiment:
        """End an experiment, now or at a moment (aware)."""
        endpoint = self._endpoint("force_conclude_experiment")
        body = {} if end_date is None else {"end_date": parameters.aware("end_date", end_date, endpoint)}
        return self._one("force_conclude_experiment", experiment_id, json=body)

    def launch_experiment(self, experiment_id: str) -> Experiment:
        """Start an experiment."""
        return self._one("launch_experiment", experiment_id, json={})

    def _one(self, name: str, experiment_id: str | None = None, **parts: Any) -> Experiment:
        path = {} if experiment_id is None else self._id(name, experiment_id)
        return typed(Experiment, results(self._call(name, path=path, **parts)), endpoint=self._endpoint(name))

    def _id(self, name: str, experiment_id: str) -> dict[str, str]:
        return {"experiment_id": parameters.text("experiment_id", experiment_id, self._endpoint(name))}


def _checked(changes: Changes, endpoint: str) -> dict[str, Any]:
    if changes.description is not msgspec.UNSET and len(changes.description) > MOST_DESCRIPTION:
        raise InvalidRequest(
            f"description has {len(changes.description)} characters, the limit is {MOST_DESCRIPTION}",
            endpoint=endpoint,
            advice="Shorten it.",
        )
    return {name: value for name, value in msgspec.structs.asdict(changes).items() if value is not msgspec.UNSET}
