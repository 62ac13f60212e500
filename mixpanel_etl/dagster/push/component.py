"""`type: mixpanel_etl.MixpanelPush`."""

# Dagster reads the annotations of components, so they must be types, not strings.
import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import dagster as dg
from dagster.components.resolved.core_models import AssetSpecKwargs, resolve_asset_spec
from pydantic import TypeAdapter, ValidationError, WithJsonSchema

from mixpanel_etl.dagster.fields import EnvPrefix, Lake, StartDate, first_day, read_sql
from mixpanel_etl.dagster.mistakes import Mistake, refuse, rendered
from mixpanel_etl.dagster.push.assets import PushAsset, Pushes, push_definitions
from mixpanel_etl.dagster.resource import MixpanelResource
from mixpanel_etl.dagster.warehouse import WarehouseResource
from mixpanel_etl.lake import ConfigurationError
from mixpanel_etl.push.errors import PushError
from mixpanel_etl.push.events import EventMapping
from mixpanel_etl.push.identities import IdentityMapping
from mixpanel_etl.push.lookup import LookupMapping
from mixpanel_etl.push.profiles import ProfileMapping
from mixpanel_etl.push.projects import ProjectMapping
from mixpanel_etl.push.query import QueryPush
from mixpanel_etl.settings import DEFAULT_PREFIX
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
_OPTIONS: Mapping[str, tuple[type, Any]] = {"only_new": (bool, False), "most_refused": (int, 0)}
_SPOKEN = {bool: "true or false", int: "a whole number"}
_COMMON = ("name", "kind", "query", "asset", *_OPTIONS)


def _pushes(context: dg.ResolutionContext, entries: Sequence[Any]) -> list[PushAsset]:
    """The pushes of a list in YAML; all mistakes at once, each with its file and line."""
    found: list[PushAsset] = []
    mistakes: list[Mistake] = []
    for number, entry in enumerate(entries):
        at = context.at_path(number)
        try:
            found.append(_push(at, entry))
        except _Mistaken as error:
            mistakes.append(Mistake(error.path, str(error), at))
    if mistakes:
        refuse(mistakes)
    return found


class _Mistaken(Exception):
    def __init__(self, message: str, *path: str | int) -> None:
        super().__init__(message)
        self.path = path


def _push(context: dg.ResolutionContext, entry: Any) -> PushAsset:
    if not isinstance(entry, Mapping):
        raise _Mistaken("a push is a mapping: give name, asset, kind, query and the kind's attributes")
    given = dict(rendered(context, {name: value for name, value in entry.items() if name != "asset"}))
    name, kind = given.get("name"), given.get("kind")
    if not isinstance(name, str) or not re.match(_NAME, name):
        raise _Mistaken(f"name is {name!r}: give one of letters, digits and underscores, as orders", "name")
    if kind not in KINDS:
        raise _Mistaken(f"kind is {kind!r}: give one of {', '.join(KINDS)}", "kind")
    for option, (known, default) in _OPTIONS.items():
        if type(given.setdefault(option, default)) is not known:
            raise _Mistaken(f"{option} is {given[option]!r}: give {_SPOKEN[known]}", option)
    mapping = _mapping(str(kind), {key: value for key, value in given.items() if key not in _COMMON})
    if kind == "project" and "query" in given:
        raise _Mistaken("query is not for kind project, which has its events from a lake", "query")
    sql = "" if kind == "project" else _query(context, given.get("query"))
    try:
        push = QueryPush(name, sql, mapping, given["only_new"])
    except (PushError, WarehouseError) as error:
        raise _Mistaken(str(error), "query") from None
    return PushAsset(_spec(context, entry.get("asset")), push, given["most_refused"])


def _mapping(kind: str, attributes: Mapping[str, Any]) -> Any:
    """The mapping of a kind.

    Raises:
        _Mistaken: attributes are unknown, missing, of another type, or contradict each other.
    """
    known = {field.name: field for field in dataclasses.fields(KINDS[kind])}
    for name in attributes:
        if name not in known:
            raise _Mistaken(f"{name} is no attribute of kind {kind}, which has: {', '.join(known)}", str(name))
    missing = [
        name
        for name, field in known.items()
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    if kind == "groups":
        missing.append("group_key")
    for name in missing:
        if name not in attributes:
            raise _Mistaken(f"{name} is missing: kind {kind} needs {', '.join(missing)}")
    if kind == "users" and "group_key" in attributes:
        raise _Mistaken("group_key is for kind groups", "group_key")
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
        raise _Mistaken("query is missing: give the name of an SQL file, as sql/push/orders.sql")
    try:
        return read_sql(name, context.resolve_source_relative_path("."))
    except ConfigurationError as error:
        raise _Mistaken(str(error), "query") from None


def _spec(context: dg.ResolutionContext, asset: Any) -> dg.AssetSpec:
    if not isinstance(asset, Mapping) or "key" not in asset:
        raise _Mistaken("asset is missing: give at least its key, as `asset: {key: mixpanel/orders}`")
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
        "name": {"type": "string", "pattern": _NAME, "description": "Folder of its dead letters in the lake."},
        "kind": {"enum": list(KINDS), "description": "What a row becomes."},
        "query": {"type": "string", "description": "SQL file, beside this file or in a folder above."},
        "asset": {"type": "object", "description": "Key, deps, group, owners, tags, description."},
        "only_new": {"type": "boolean", "description": "Of events: only those not acknowledged yet."},
        "most_refused": {"type": "integer", "description": "Dead letters above which the check fails."},
    }
    branches = []
    for kind, mapping in KINDS.items():
        own = [field.name for field in dataclasses.fields(mapping)]
        then: dict[str, Any] = {"propertyNames": {"enum": [*common, *own]}}
        if kind != "project":
            then["required"] = ["query"]
        branches.append({"if": {"properties": {"kind": {"const": kind}}, "required": ["kind"]}, "then": then})
    return {"type": "object", "properties": common, "required": ["name", "kind", "asset"], "allOf": branches}


_Entry = Annotated[dict[Any, Any], WithJsonSchema(_schema())]


@dataclass
class MixpanelPush(dg.Component, dg.Resolvable):
    """Rows of a warehouse into Mixpanel: events, links between ids, profiles of users and groups, lookup tables.

    Events of another project's lake, too.

    Credentials, region, time zone and the warehouse's URL come from the environment (`MIXPANEL_*`; see `.env.example`).
    """

    pushes: Annotated[
        Sequence[PushAsset],
        dg.Resolver(
            _pushes,
            model_field_type=list[_Entry],
            description="The pushes: name, asset, kind, query and the kind's attributes (docs/push.md).",
            examples=[
                [
                    {
                        "name": "orders",
                        "asset": {"key": "mixpanel/orders"},
                        "kind": "events",
                        "query": "sql/push/orders.sql",
                        "event": "Order placed",
                        "time": "ordered_at",
                        "key": ["order_id"],
                        "distinct_id": "customer_id",
                    }
                ]
            ],
        ),
    ]
    env_prefix: EnvPrefix = DEFAULT_PREFIX
    lake: Lake = None
    start_date: StartDate = None

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:  # noqa: ARG002
        """Assets and checks of the pushes."""
        return push_definitions(self.described())

    def described(self) -> Pushes:
        """What this instance describes; override it to describe something else."""
        return Pushes(
            pushes=self.pushes,
            mixpanel=MixpanelResource(env_prefix=self.env_prefix),
            warehouse=WarehouseResource(env_prefix=self.env_prefix),
            lake=self.lake,
            start_date=first_day(self.start_date),
        )
