"""Feature flags: evaluation and management. Source: mixpanel-api.md#flag-evaluation, #flag-management."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mixpanel_etl.client.errors import InvalidRequest
from mixpanel_etl.client.feature_flags import assignment as flag_assignment
from mixpanel_etl.client.feature_flags.definitions import Flag, NewFlag, SelectedVariant
from mixpanel_etl.client.http.encoding import json_string
from mixpanel_etl.client.operations import parameters
from mixpanel_etl.client.operations.api import JSON, READERS, Api, Operations
from mixpanel_etl.client.operations.replies import typed
from mixpanel_etl.settings import Hidden

evaluation = Operations("flags", "flag-evaluation", accepts=READERS)
management = Operations(
    "app", "flag-management", prefix="/projects/{project_id}/workspaces/{workspace_id}/feature-flags"
)

MAX_VARIANTS = 10  # besides the control
MAX_VALUE = 32_768
MAX_STRING = 255
SALT = 32


class FeatureFlags(Api):
    """Evaluates flags, remotely or locally, and manages flags of the settings' workspace.

    Every method raises `InvalidRequest` when a parameter can't work, and one of the kinds in `client.errors` if
    Mixpanel rejects the request, even with a 200 (`ReplyError`).
    """

    @evaluation("GET", "/flags")
    def evaluate(
        self,
        distinct_id: str,
        *,
        device_id: str | None = None,
        custom_properties: Mapping[str, Any] | None = None,
        groups: Mapping[str, str] | None = None,
    ) -> dict[str, SelectedVariant]:
        """The variants of a user by flag: of enabled flags with a rollout for the user.

        Args:
            distinct_id: id of the user.
            device_id: id of the device; the distinct_id by default.
            custom_properties: properties for the rules of rollouts.
            groups: group ids by group key.
        """
        context: dict[str, Any] = {"distinct_id": parameters.string("distinct_id", distinct_id)}
        if device_id is not None:
            context["device_id"] = parameters.string("device_id", device_id)
        if custom_properties is not None:
            context["custom_properties"] = dict(custom_properties)
        context |= groups or {}
        reply = self._json(query={"context": json_string(context), **self._token()})
        flags = reply.get("flags") if isinstance(reply, dict) else reply
        return typed(flags, dict[str, SelectedVariant])

    @evaluation("GET", "/flags/definitions")
    def definitions(self) -> list[Flag]:
        """The definitions of enabled flags, for `evaluate_locally`."""
        reply = self._json(query=self._token())
        flags = reply.get("flags") if isinstance(reply, dict) else reply
        return typed(flags, list[Flag])

    @staticmethod
    def evaluate_locally(
        flags: Iterable[Flag],
        distinct_id: str,
        *,
        device_id: str | None = None,
        custom_properties: Mapping[str, Any] | None = None,
        groups: Mapping[str, str] | None = None,
    ) -> dict[str, SelectedVariant]:
        """The result of `evaluate` without a request: same hash, same variants, but no cohorts and no stickiness.

        Args:
            flags: see `definitions`.
            distinct_id: same as in `evaluate`.
            device_id: same as in `evaluate`.
            custom_properties: same as in `evaluate`.
            groups: same as in `evaluate`.
        """
        context = {
            **(groups or {}),
            "distinct_id": distinct_id,
            "device_id": device_id or distinct_id,
            "custom_properties": custom_properties,
        }
        assigned = {flag.key: flag_assignment.assign(flag, context) for flag in flags if flag.status == "enabled"}
        return {key: variant for key, variant in assigned.items() if variant is not None}

    @management("GET")
    def list_flags(self, *, include_archived: bool = False) -> list[Flag]:
        """All flags of the workspace."""
        return self._result(list[Flag], query={"include_archived": str(include_archived).lower()})

    @management("POST", "", "10 variants and a control, 32 KB a value", sends=JSON)
    def create_flag(self, flag: NewFlag) -> Flag:
        """Create a flag; disabled by default."""
        _check(flag)
        return self._result(Flag, json=flag)

    @management("GET", "/{flag_id}")
    def get_flag(self, flag_id: str) -> Flag:
        """One flag."""
        return self._result(Flag, path=_path(flag_id))

    @management("PUT", "/{flag_id}", "10 variants and a control, 32 KB a value", sends=JSON)
    def replace_flag(self, flag_id: str, flag: NewFlag) -> Flag:
        """Replace the whole definition of a flag."""
        _check(flag)
        return self._result(Flag, path=_path(flag_id), json=flag)

    @management("DELETE", "/{flag_id}")
    def delete_flag(self, flag_id: str) -> None:
        """Archive a flag."""
        self._done(path=_path(flag_id))

    def _token(self) -> dict[str, str]:
        """The project token, if set: the specification requires it, Mixpanel's own description does not."""
        token = self.transport.settings.project_token
        return {"token": Hidden(token.get_secret_value())} if token is not None else {}


def _path(flag_id: str) -> dict[str, str]:
    return {"flag_id": parameters.string("flag_id", flag_id)}


def _check(flag: NewFlag) -> None:
    for name, value in (("name", flag.name), ("key", flag.key), ("context", flag.context)):
        parameters.string(name, value, maximum=MAX_STRING)
    problem = next(_problems(flag), None)
    if problem is not None:
        raise InvalidRequest(problem, advice="Correct the flag.")


def _problems(flag: NewFlag) -> Iterator[str]:
    variants = flag.ruleset.variants
    if sum(not variant.is_control for variant in variants) > MAX_VARIANTS:
        yield f"{len(variants)} variants, at most {MAX_VARIANTS} and a control are allowed"
    for variant in variants:
        if isinstance(variant.value, str) and len(variant.value) > MAX_VALUE:
            yield f"the value of variant {variant.key!r} is longer than {MAX_VALUE} characters"
        if not 0 <= variant.split <= 1:
            yield f"the split of variant {variant.key!r} is {variant.split}, not from 0 to 1"
    for position, rollout in enumerate(flag.ruleset.rollout):
        if not 0 <= rollout.rollout_percentage <= 1:
            yield f"rollout_percentage of rollout[{position}] is {rollout.rollout_percentage}, not from 0 to 1"
    if flag.hash_salt and len(flag.hash_salt) != SALT:
        yield f"hash_salt has {len(flag.hash_salt)} characters, not {SALT}"
