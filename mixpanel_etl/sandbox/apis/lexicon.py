"""Lexicon schemas: the data dictionary of a project. Source: mixpanel-api.md#lexicon.

An upload replaces a schema, but keys of `metadata["com.mixpanel"]` that it does not mention stay, and null removes one.
`dropped` events and properties are discarded at ingestion.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from typing import Any, Literal

import msgspec
from starlette.convertors import StringConvertor, register_url_convertor
from starlette.routing import Route

from mixpanel_etl.sandbox.apis.api_call import ADMINS, ApiCall, Operation, app_route, ok
from mixpanel_etl.sandbox.engine.budgets import RateLimit
from mixpanel_etl.sandbox.engine.query_parameters import check_choice
from mixpanel_etl.sandbox.engine.responses import ApiError
from mixpanel_etl.sandbox.engine.state import State

REQUESTS = RateLimit("lexicon requests", 5, timedelta(minutes=1), "Rate limit exceeded: 5 requests per minute")
ITEMS = RateLimit(
    "lexicon items", 4000, timedelta(minutes=1), "Rate limit exceeded: 4000 events and properties updated per minute"
)
MAX_DELETIONS = 3000
_TYPES = ("event", "profile")
_MIXPANEL = "com.mixpanel"
_PATH = "/projects/{project_id:int}/schemas"
_PROPERTY_TYPES = Literal["array", "boolean", "integer", "null", "number", "object", "string"]

Schema = dict[str, Any]


class _Any(StringConvertor):
    """Any characters, including slashes and line breaks, as in names of entities."""

    regex = "(?s:.*)"


register_url_convertor("any", _Any())


def lexicon_routes() -> list[Route]:
    of_type = f"{_PATH}/{{entity_type}}"
    one = f"{of_type}/{{name:any}}"
    return [
        app_route("GET", _PATH, _budgeted(list_all)),
        app_route("POST", _PATH, _budgeted(create_many), roles=ADMINS),
        app_route("DELETE", _PATH, _budgeted(delete_all), roles=ADMINS),
        app_route("GET", of_type, _budgeted(list_of_type)),
        app_route("DELETE", of_type, _budgeted(delete_of_type), roles=ADMINS),
        app_route("GET", one, _budgeted(get_one)),
        app_route("POST", one, _budgeted(create_one), roles=ADMINS),
        app_route("DELETE", one, _budgeted(delete_one), roles=ADMINS),
    ]


class Lexicon:
    """The schemas of each project, by (entityType, name)."""

    def __init__(self, _state: State) -> None:
        self.schemas: dict[int, dict[tuple[str, str], Schema]] = defaultdict(dict)

    def is_dropped(self, project_id: int, event: str) -> bool:
        """Whether events of this name are discarded at ingestion."""
        return _is_dropped(self.schemas[project_id].get(("event", event), {}))

    def dropped_properties(self, project_id: int, event: str) -> set[str]:
        """The properties of events of this name that are discarded at ingestion."""
        schema = self.schemas[project_id].get(("event", event), {})
        return {name for name, described in schema.get("properties", {}).items() if _is_dropped(described)}


class _Own(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    source: str | None = msgspec.field(default=None, name="$source")
    display_name: str | None = None
    tags: list[str] | None = None
    hidden: bool | None = None
    dropped: bool | None = None
    contacts: list[str] | None = None
    team_contacts: list[str] | None = None


class _Metadata(msgspec.Struct, rename={"mixpanel": _MIXPANEL}):
    mixpanel: _Own | None = None


class _Property(msgspec.Struct):
    type: _PROPERTY_TYPES
    description: str | None = None
    metadata: _Metadata | None = None


class _Schema(msgspec.Struct):
    description: str | None = None
    properties: dict[str, _Property] = {}
    metadata: _Metadata | None = None


class _Entry(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    entity_type: Literal["event", "profile"]
    name: str
    schema_json: _Schema


class _Upload(msgspec.Struct, forbid_unknown_fields=True):
    entries: list[_Entry]
    truncate: bool = False


def list_all(call: ApiCall) -> object:
    return ok([_entry(kind, name, schema) for (kind, name), schema in _schemas(call).items()])


def create_many(call: ApiCall) -> object:
    """With `truncate`, all schemas are deleted first."""
    upload = call.json(_Upload)
    sent = call.json(dict[str, Any])["entries"]
    schemas = _schemas(call)
    deleted = len(schemas) if upload.truncate else 0
    _check_deletions(deleted)
    _spend_items(call, [entry.schema_json for entry in upload.entries])
    if upload.truncate:
        schemas.clear()
    for entry in sent:
        _put(schemas, (entry["entityType"], entry["name"]), entry["schemaJson"])
    return ok({"added": len(sent), "deleted": deleted})


def delete_all(call: ApiCall) -> object:
    return _delete(call, list(_schemas(call)))


def list_of_type(call: ApiCall) -> object:
    """The schemas of a type; with `entity_name`, one schema as `results`."""
    kind, name = _kind(call), call.parameters.get("entity_name")
    if name is not None:
        return ok(_found(call, kind, name))
    return ok([_entry(kind, item, schema) for (type_, item), schema in _schemas(call).items() if type_ == kind])


def delete_of_type(call: ApiCall) -> object:
    kind, name = _kind(call), call.parameters.get("entity_name")
    return _delete(call, [key for key in _schemas(call) if key[0] == kind and name in (None, key[1])])


def get_one(call: ApiCall) -> object:
    """The schema, bare as documented."""
    return _found(call, _kind(call), call.path["name"])


def create_one(call: ApiCall) -> object:
    key = _kind(call), call.path["name"]
    _spend_items(call, [call.json(_Schema)])
    _put(_schemas(call), key, call.json(dict[str, Any]))
    return {"status": "ok"}


def delete_one(call: ApiCall) -> object:
    key = _kind(call), call.path["name"]
    return _delete(call, [key] if key in _schemas(call) else [])


def _budgeted(operation: Operation) -> Operation:
    def answer(call: ApiCall) -> object:
        call.state.budgets.spend(REQUESTS, call.project, scope=call.project.organization_id)
        return operation(call)

    return answer


def _schemas(call: ApiCall) -> dict[tuple[str, str], Schema]:
    return call.state.api_state(Lexicon).schemas[call.project.project_id]


def _kind(call: ApiCall) -> str:
    kind: str = call.path["entity_type"]
    check_choice("entityType", kind, _TYPES)
    return kind


def _found(call: ApiCall, kind: str, name: str) -> Schema:
    schema = _schemas(call).get((kind, name))
    if schema is None:
        raise ApiError(404, f"{kind} {name!r} has no schema")
    return schema


def _spend_items(call: ApiCall, schemas: list[_Schema]) -> None:
    items = sum(1 + len(schema.properties) for schema in schemas)
    call.state.budgets.spend(ITEMS, call.project, scope=call.project.organization_id, amount=items)


def _delete(call: ApiCall, keys: list[tuple[str, str]]) -> object:
    _check_deletions(len(keys))
    for key in keys:
        del _schemas(call)[key]
    return ok({"delete_count": len(keys)})


def _check_deletions(number: int) -> None:
    if number > MAX_DELETIONS:
        raise ApiError(400, f"A request can delete at most {MAX_DELETIONS} schemas, not {number}")


def _put(schemas: dict[tuple[str, str], Schema], key: tuple[str, str], sent: Schema) -> None:
    before = schemas.get(key, {})
    schema = _merged(before, sent)
    if "properties" in sent:
        known = before.get("properties", {})
        schema["properties"] = {name: _merged(known.get(name, {}), new) for name, new in sent["properties"].items()}
    schemas[key] = schema


def _merged(before: dict[str, Any], sent: dict[str, Any]) -> dict[str, Any]:
    """The sent schema with Mixpanel's own metadata that it does not mention; null removes a key."""
    own = {**_own(before), **_own(sent)}
    own = {name: value for name, value in own.items() if value is not None}
    metadata = {name: value for name, value in (sent.get("metadata") or {}).items() if name != _MIXPANEL}
    if own:
        metadata[_MIXPANEL] = own
    rest = {name: value for name, value in sent.items() if name != "metadata"}
    return {**rest, "metadata": metadata} if metadata else rest


def _own(described: dict[str, Any]) -> dict[str, Any]:
    own: dict[str, Any] = (described.get("metadata") or {}).get(_MIXPANEL) or {}
    return own


def _is_dropped(described: dict[str, Any]) -> bool:
    return _own(described).get("dropped") is True


def _entry(kind: str, name: str, schema: Schema) -> dict[str, object]:
    return {"entityType": kind, "name": name, "schemaJson": schema}
