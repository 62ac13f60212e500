"""The pushes of a YAML list: each mistake is reported with its file and line."""

# Dagster reads the annotations of components, so they must be types, not strings.
import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import dagster as dg
from pydantic import TypeAdapter, ValidationError, WithJsonSchema

from mixpanel_etl.dagster.fields import read_sql
from mixpanel_etl.dagster.internals import AssetSpecKwargs, resolve_asset_spec
from mixpanel_etl.dagster.mistakes import Mistake, reject, rendered
from mixpanel_etl.dagster.push.assets import PushAsset
from mixpanel_etl.lake import ConfigurationError
from mixpanel_etl.push.event_mapping import EventMapping
from mixpanel_etl.push.identity_links import IdentityMapping
from mixpanel_etl.push.lookup_push import LookupMapping
from mixpanel_etl.push.profile_mapping import ProfileMapping
from mixpanel_etl.push.project_copy import ProjectMapping
from mixpanel_etl.push.push_error import PushError
from mixpanel_etl.push.query_push import QueryPush
from mixpanel_etl.warehouse import WarehouseError

#: What rows can become, and the attributes of each. Groups are profiles with a `group_key`.
KINDS: Mapping[str, type[Any]] = {
    "events": EventMapping,
    "identities": IdentityMapping,
    "users": ProfileMapping,
    "groups": ProfileMapping,
    "lookup_table": LookupMapping,
    "project": ProjectMapping,
}
_NAME = r"^[A-Za-z0-9_]+$"
_OPTIONS: Mapping[str, tuple[type, Any]] = {"only_new": (bool, False), "max_rejected_rows": (int, 0)}
_EXPECTED = {bool: "true or false", int: "an integer"}
_COMMON = ("name", "kind", "query", "asset", *_OPTIONS)


def resolve_pushes(context: dg.ResolutionContext, entries: Sequence[Any]) -> list[PushAsset]:
    """The pushes of a list in YAML; all mistakes at once, each with its file and line."""
    pushes: list[PushAsset] = []
    mistakes: list[Mistake] = []
    for number, entry in enumerate(entries):
        at = context.at_path(number)
        try:
            pushes.append(_push(at, entry))
        except _Mistaken as error:
            mistakes.append(Mistake(error.path, str(error), at))
    if mistakes:
        reject(mistakes)
    return pushes


class _Mistaken(Exception):
    def __init__(self, message: str, *path: str | int) -> None:
        super().__init__(message)
        self.path = path


def _push(context: dg.ResolutionContext, entry: Any) -> PushAsset:
    if not isinstance(entry, Mapping):
        raise _Mistaken("a push must be a mapping with name, asset, kind, query and the kind's attributes")
    given = dict(rendered(context, {name: value for name, value in entry.items() if name != "asset"}))
    name, kind = given.get("name"), given.get("kind")
    if not isinstance(name, str) or not re.match(_NAME, name):
        raise _Mistaken(f"name is {name!r}; it must consist of letters, digits and underscores, e.g. orders", "name")
    if kind not in KINDS:
        raise _Mistaken(f"kind is {kind!r}; allowed: {', '.join(KINDS)}", "kind")
    for option, (expected, default) in _OPTIONS.items():
        if type(given.setdefault(option, default)) is not expected:
            raise _Mistaken(f"{option} is {given[option]!r}; it must be {_EXPECTED[expected]}", option)
    mapping = _mapping(str(kind), {key: value for key, value in given.items() if key not in _COMMON})
    if kind == "project" and "query" in given:
        raise _Mistaken("query is not allowed for kind project: its events come from a lake", "query")
    sql = "" if kind == "project" else _query(context, given.get("query"))
    try:
        push = QueryPush(name, sql, mapping, given["only_new"])
    except (PushError, WarehouseError) as error:
        raise _Mistaken(str(error), "query") from None
    return PushAsset(_spec(context, entry.get("asset")), push, given["max_rejected_rows"])


def _mapping(kind: str, attributes: Mapping[str, Any]) -> Any:
    """The mapping of a kind.

    Raises:
        _Mistaken: attributes are unknown, missing, of another type, or contradict each other.
    """
    known = {field.name: field for field in dataclasses.fields(KINDS[kind])}
    for name in attributes:
        if name not in known:
            raise _Mistaken(f"unknown attribute {name} for kind {kind}; allowed: {', '.join(known)}", str(name))
    required = [
        name
        for name, field in known.items()
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    if kind == "groups":
        required.append("group_key")
    for name in required:
        if name not in attributes:
            raise _Mistaken(f"{name} is missing; kind {kind} requires {', '.join(required)}")
    if kind == "users" and "group_key" in attributes:
        raise _Mistaken("group_key is allowed for kind groups only", "group_key")
    try:
        return TypeAdapter(KINDS[kind]).validate_python(dict(attributes), strict=False)
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        path = [part for part in detail["loc"] if part in attributes]
        where = ".".join(map(str, detail["loc"]))
        raise _Mistaken(f"{where} is {detail['input']!r}: {detail['msg']}", *path) from None
    except PushError as error:
        named = str(error).partition(" ")[0].rstrip(":")
        raise _Mistaken(str(error), *([named] if named in attributes else [])) from None


def _query(context: dg.ResolutionContext, name: Any) -> str:
    if not isinstance(name, str):
        raise _Mistaken("query is missing; give the path of a SQL file, e.g. sql/push/orders.sql")
    try:
        return read_sql(name, context.resolve_source_relative_path("."))
    except ConfigurationError as error:
        raise _Mistaken(str(error), "query") from None


def _spec(context: dg.ResolutionContext, asset: Any) -> dg.AssetSpec:
    if not isinstance(asset, Mapping) or "key" not in asset:
        raise _Mistaken("asset is missing; give at least its key, e.g. `asset: {key: mixpanel/orders}`")
    try:
        model = AssetSpecKwargs.model().model_validate(dict(asset))
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        raise _Mistaken(f"asset: {detail['loc'][0]}: {detail['msg']}", "asset", *detail["loc"][:1]) from None
    spec: dg.AssetSpec = resolve_asset_spec(context.at_path("asset"), model)
    return spec


def _schema() -> dict[str, Any]:
    """What `dg check yaml` and editors know of one push: the kinds, and the attributes of each."""
    common = {
        "name": {"type": "string", "pattern": _NAME, "description": "Name of the push and of its tables in the lake."},
        "kind": {"enum": list(KINDS), "description": "What a row becomes."},
        "query": {"type": "string", "description": "Path of a SQL file, beside this file or in a folder above."},
        "asset": {"type": "object", "description": "Key, deps, group, owners, tags and description of the asset."},
        "only_new": {"type": "boolean", "description": "Send only events that Mixpanel has not acknowledged yet."},
        "max_rejected_rows": {
            "type": "integer",
            "description": "Number of rejected rows above which the check fails.",
        },
    }
    branches = []
    for kind, mapping in KINDS.items():
        own = [field.name for field in dataclasses.fields(mapping)]
        then: dict[str, Any] = {"propertyNames": {"enum": [*common, *own]}}
        if kind != "project":
            then["required"] = ["query"]
        branches.append({"if": {"properties": {"kind": {"const": kind}}, "required": ["kind"]}, "then": then})
    return {"type": "object", "properties": common, "required": ["name", "kind", "asset"], "allOf": branches}


Entry = Annotated[dict[Any, Any], WithJsonSchema(_schema())]
