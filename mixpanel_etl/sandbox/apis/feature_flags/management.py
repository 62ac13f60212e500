"""Management of feature flags: list, create, replace, archive. Source: mixpanel-api.md#flag-management."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta
from starlette.routing import Route

from mixpanel_etl.sandbox.apis.api_call import ANALYSTS, ApiCall, app_route, creator, ok
from mixpanel_etl.sandbox.apis.feature_flags.models import Flag, Flags
from mixpanel_etl.sandbox.engine.clock import iso_utc
from mixpanel_etl.sandbox.engine.responses import ApiError, typed_shape

_PATH = "/projects/{project_id:int}/workspaces/{workspace_id:int}/feature-flags"
_MAX_VARIANTS = 11  # ten and the control
_MAX_TEXT_VALUE = 32_768


def management_routes() -> list[Route]:
    one = f"{_PATH}/{{flag_id}}"
    return [
        app_route("GET", _PATH, list_flags, shape=typed_shape),
        app_route("POST", _PATH, create_flag, roles=ANALYSTS, shape=typed_shape),
        app_route("GET", one, get_flag, shape=typed_shape),
        app_route("PUT", one, replace_flag, roles=ANALYSTS, shape=typed_shape),
        app_route("DELETE", one, archive_flag, roles=ANALYSTS, shape=typed_shape),
    ]


_Name = Annotated[str, Meta(min_length=1, max_length=255)]
_Share = Annotated[float, Meta(ge=0, le=1)]
_Salt = Annotated[str, Meta(min_length=32, max_length=32)]
_Object = dict[str, Any]


class _Variant(msgspec.Struct, forbid_unknown_fields=True):
    key: str
    value: Any
    is_control: bool
    split: _Share
    description: str | None = None
    is_sticky: bool = False


class _Override(msgspec.Struct, forbid_unknown_fields=True):
    key: str


class _EventRule(msgspec.Struct, forbid_unknown_fields=True):
    event_name: str
    time_window: Literal["while_flag_enabled"]
    duration: Literal["end_of_session", "indefinitely"] | None = None
    property_filters: _Object | None = None


class _Rollout(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    rollout_percentage: _Share
    variant_splits: dict[str, float]
    name: str | None = None
    cohort_definition: _Object | None = None
    runtime_evaluation_definition: _Object | None = None
    runtime_evaluation_rule: _Object | None = None
    runtime_event_rule: _EventRule | None = None
    cohort_hash: str | None = None
    variant_override: _Override | None = None


class _RuleSet(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    variants: Annotated[list[_Variant], Meta(max_length=_MAX_VARIANTS)]
    rollout: list[_Rollout]
    test: dict[str, dict[str, str]] | None = None


class _Flag(msgspec.Struct, forbid_unknown_fields=True):
    name: _Name
    key: _Name
    tags: list[str]
    context: _Name
    serving_method: Literal["client", "server", "remote_or_local", "remote_only"]
    ruleset: _RuleSet
    description: str | None = None
    experiment_id: str | None = None
    status: Literal["enabled", "disabled", "archived"] = "disabled"
    data_group_id: str | int | None = None
    workspace_id: int | None = None
    is_experiment_active: bool | None = None
    hash_salt: _Salt | None = None
    reset_hash_salt: bool | None = None


def list_flags(call: ApiCall) -> object:
    """Archived flags only with `include_archived=true`."""
    _check_workspace(call)
    with_archived = call.parameters.get("include_archived", "false") == "true"
    flags = call.state.api_state(Flags).of_project(call.project.project_id)
    return ok([flag for flag in flags if with_archived or flag["status"] != "archived"])


def create_flag(call: ApiCall) -> object:
    """200, as documented. A flag is disabled by default."""
    _check_workspace(call)
    flags, wanted = call.state.api_state(Flags), _read(call, None)
    flag_id = flags.new_id()
    flags.flags[flag_id] = {
        **_written(call, wanted, None),
        "id": flag_id,
        "project_id": call.project.project_id,
        "content_type": "feature-flags",
        "created": iso_utc(call.now),
        **creator(call),
        "deleted": None,
    }
    return ok(flags.flags[flag_id])


def get_flag(call: ApiCall) -> object:
    return ok(_found(call))


def replace_flag(call: ApiCall) -> object:
    """A full replacement. `context` cannot change once the flag has been enabled."""
    before = _found(call)
    wanted = _read(call, before)
    if before["enabled_at"] and wanted.context != before["context"]:
        raise ApiError(400, "context cannot be changed once the flag has been enabled")
    before.update(_written(call, wanted, before))
    return ok(before)


def archive_flag(call: ApiCall) -> object:
    """The flag stays, and can be listed with `include_archived`."""
    flag = _found(call)
    flag.update(status="archived", deleted=iso_utc(call.now), modified=iso_utc(call.now))
    return ok({"id": flag["id"]})


def _read(call: ApiCall, before: Flag | None) -> _Flag:
    wanted = call.json(_Flag)
    others = [flag for flag in call.state.api_state(Flags).of_project(call.project.project_id) if flag is not before]
    if any(flag["key"] == wanted.key and flag["status"] != "archived" for flag in others):
        raise ApiError(400, f"key {wanted.key!r} is taken by another flag")
    kinds = {type(variant.value) for variant in wanted.ruleset.variants}
    if len(kinds) > 1 and not kinds <= {int, float}:
        raise ApiError(400, "the values of all variants must be of one type")
    if any(isinstance(item.value, str) and len(item.value) > _MAX_TEXT_VALUE for item in wanted.ruleset.variants):
        raise ApiError(400, f"the value of a variant must not be longer than {_MAX_TEXT_VALUE} characters")
    return wanted


def _written(call: ApiCall, wanted: _Flag, before: Flag | None) -> Flag:
    """The members that create and replace set."""
    for variant in wanted.ruleset.variants:
        variant.is_sticky = variant.is_sticky and not variant.is_control  # a control never sticks
    values: Flag = msgspec.to_builtins(wanted)
    if wanted.reset_hash_salt:
        values["hash_salt"] = hashlib.sha256(f"{wanted.key} {iso_utc(call.now)}".encode()).hexdigest()[:32]
    enabled_at = before["enabled_at"] if before else None
    if wanted.status == "enabled":
        enabled_at = enabled_at or iso_utc(call.now)
    return {
        **values,
        "workspace_id": call.project.workspace_id,
        "enabled_at": enabled_at,
        "modified": iso_utc(call.now),
        "deleted": iso_utc(call.now) if wanted.status == "archived" else None,
    }


def _check_workspace(call: ApiCall) -> None:
    if call.path["workspace_id"] != call.project.workspace_id:
        raise ApiError(403, f"Permission denied: the project has no workspace {call.path['workspace_id']}")


def _found(call: ApiCall) -> Flag:
    _check_workspace(call)
    flag = call.state.api_state(Flags).flags.get(call.path["flag_id"])
    if flag is None or flag["project_id"] != call.project.project_id:
        raise ApiError(404, f"Feature flag {call.path['flag_id']} does not exist")
    return flag
