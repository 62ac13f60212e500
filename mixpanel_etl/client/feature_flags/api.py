"""Feature flags: evaluation and management. Source: mixpanel-api.md#flag-evaluation, #flag-management."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mixpanel_etl.client.errors import InvalidRequest
from mixpanel_etl.client.feature_flags import assignment as flag_assignment
from mixpanel_etl.client.feature_flags.definitions import Flag, NewFlag, Selected
from mixpanel_etl.client.http.encoding import as_text
from mixpanel_etl.client.operations import parameters
from mixpanel_etl.client.operations.api import Group
from mixpanel_etl.client.operations.replies import plain, results, typed
from mixpanel_etl.settings import Hidden

MOST_VARIANTS = 10  # besides the control
MOST_VALUE = 32_768
MOST_TEXT = 255
SALT = 32


class FeatureFlags(Group):
    """Asks for the variants somebody gets, works them out, and manages flags of the settings' workspace.

    Every method raises `InvalidRequest` when a parameter can't work, and one of the kinds in `client.errors` when
    Mixpanel refuses, even where it does so with a 200 (`ReplyError`).
    """

    group = "feature_flags"

    def evaluate(
        self,
        distinct_id: str,
        *,
        device_id: str | None = None,
        custom_properties: Mapping[str, Any] | None = None,
        groups: Mapping[str, str] | None = None,
    ) -> dict[str, Selected]:
        """The variants that Mixpanel gives somebody, by flag: of enabled flags, and those only that they are in.

        Args:
            distinct_id: who.
            device_id: their device; the distinct_id stands in for it.
            custom_properties: what rules look at.
            groups: ids by group key.
        """
        endpoint = self._endpoint("evaluate")
        context: dict[str, Any] = {"distinct_id": parameters.text("distinct_id", distinct_id, endpoint)}
        if device_id is not None:
            context["device_id"] = parameters.text("device_id", device_id, endpoint)
        if custom_properties is not None:
            context["custom_properties"] = dict(custom_properties)
        context |= groups or {}
        reply = self._call("evaluate", query={"context": as_text(context), **self._token()})
        flags = reply.get("flags") if isinstance(reply, dict) else reply
        return plain(flags, dict[str, Selected], endpoint=endpoint)

    def definitions(self) -> list[Flag]:
        """The definitions of enabled flags, for `evaluate_locally`."""
        reply = self._call("definitions", query=self._token())
        flags = reply.get("flags") if isinstance(reply, dict) else reply
        return plain(flags, list[Flag], endpoint=self._endpoint("definitions"))

    @staticmethod
    def evaluate_locally(
        flags: Iterable[Flag],
        distinct_id: str,
        *,
        device_id: str | None = None,
        custom_properties: Mapping[str, Any] | None = None,
        groups: Mapping[str, str] | None = None,
    ) -> dict[str, Selected]:
        """What `evaluate` would say, without asking: same hash, same variants, but no cohorts and no stickiness.

        Args:
            flags: see `definitions`.
            distinct_id: as of `evaluate`.
            device_id: as of `evaluate`.
            custom_properties: as of `evaluate`.
            groups: as of `evaluate`.
        """
        context = {
            **(groups or {}),
            "distinct_id": distinct_id,
            "device_id": device_id or distinct_id,
            "custom_properties": custom_properties,
        }
        assigned = {flag.key: flag_assignment.assign(flag, context) for flag in flags if flag.status == "enabled"}
        return {key: variant for key, variant in assigned.items() if variant is not None}

    def list_flags(self, *, include_archived: bool = False) -> list[Flag]:
        """All flags of the workspace."""
        reply = self._call("list_flags", query={"include_archived": str(include_archived).lower()})
        return plain(results(reply), list[Flag], endpoint=self._endpoint("list_flags"))

    def create_flag(self, flag: NewFlag) -> Flag:
        """Create a flag; disabled, unless it says otherwise."""
        _check(flag, self._endpoint("create_flag"))
        return self._one("create_flag", json=flag)

    def get_flag(self, flag_id: str) -> Flag:
        """One flag."""
        return self._one("get_flag", path=self._id("get_flag", flag_id))

    def replace_flag(self, flag_id: str, flag: NewFlag) -> Flag:
        """Put another definition in place of a flag's: what it leaves out is gone."""
        _check(flag, self._endpoint("replace_flag"))
        return self._one("replace_flag", path=self._id("replace_flag", flag_id), json=flag)

    def delete_flag(self, flag_id: str) -> None:
        """Archive a flag."""
        self._do("delete_flag", path=self._id("delete_flag", flag_id))

    def _one(self, name: str, **parts: Any) -> Flag:
        return typed(Flag, results(self._call(name, **parts)), endpoint=self._endpoint(name))

    def _id(self, name: str, flag_id: str) -> dict[str, str]:
        return {"flag_id": parameters.text("flag_id", flag_id, self._endpoint(name))}

    def _token(self) -> dict[str, str]:
        """The project token, where there is one: the specification requires it, Mixpanel's own description does not."""
        token = self._transport.settings.project_token
        return {"token": Hidden(token.get_secret_value())} if token is not None else {}


def _check(flag: NewFlag, endpoint: str) -> None:
    for name, value in (("name", flag.name), ("key", flag.key), ("context", flag.context)):
        parameters.text(name, value, endpoint, most=MOST_TEXT)
    problem = next(_problems(flag), None)
    if problem is not None:
        raise InvalidRequest(problem, endpoint=endpoint, advice="Correct the flag.")


def _problems(flag: NewFlag) -> Iterator[str]:
    variants = flag.ruleset.variants
    if sum(not variant.is_control for variant in variants) > MOST_VARIANTS:
        yield f"{len(variants)} variants, at most {MOST_VARIANTS} and a control are allowed"
    for variant in variants:
        if isinstance(variant.value, str) and len(variant.value) > MOST_VALUE:
            yield f"the value of variant {variant.key!r} is longer than {MOST_VALUE} characters"
        if not 0 <= variant.split <= 1:
            yield f"the split of variant {variant.key!r} is {variant.split}, not from 0 to 1"
    for position, rollout in enumerate(flag.ruleset.rollout):
        if not 0 <= rollout.rollout_percentage <= 1:
            yield f"rollout_percentage of rollout[{position}] is {rollout.rollout_percentage}, not from 0 to 1"
    if flag.hash_salt and len(flag.hash_salt) != SALT:
        yield f"hash_salt has {len(flag.hash_salt)} characters, not {SALT}"
