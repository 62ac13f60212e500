"""Schemas of the files as JSON Schema 2020-12 that also reject unnamed keys, and what breaks them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

Schema = dict[str, Any]

COMBINED = ("allOf", "anyOf", "oneOf")


@dataclass(frozen=True, order=True)
class Finding:
    """One thing that is not as the file says. In `where` an element of a list is `#`: `reply 200 results.#.id`."""

    where: str
    message: str


def strict(schema: Schema, root: Schema, *, closed: bool = True, seen: tuple[str, ...] = ()) -> Schema:
    """A schema of an OpenAPI file without references, and closed: a misspelled field would pass for an optional one.

    An object that names its properties takes no others, unless the file says something about others.
    """
    if "$ref" in schema:
        name = schema["$ref"]
        siblings = {key: value for key, value in schema.items() if key != "$ref"}
        # Nothing to say at the second turn of a schema that contains itself.
        whole = {} if name in seen else {**referred(name, root), **siblings}
        return strict(whole, root, closed=closed, seen=(*seen, name))
    result = {key: value for key, value in schema.items() if key in Draft202012Validator.VALIDATORS}
    for key in COMBINED:
        if key in schema:
            # What the parts allow together is known to the whole only.
            apart = key != "allOf" and "properties" not in schema
            result[key] = [strict(part, root, closed=apart and closed, seen=seen) for part in schema[key]]
    if "properties" in schema:
        result["properties"] = {key: strict(part, root, seen=seen) for key, part in schema["properties"].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            result[key] = strict(schema[key], root, seen=seen)
    if closed and "additionalProperties" not in schema and _has_properties(result):
        result["unevaluatedProperties"] = False
    return {"anyOf": [result, {"type": "null"}]} if schema.get("nullable") else result


def like(example: Any) -> Schema:
    """The schema of an example: its fields, all of them and no others, and their types; a number as a name is an id."""
    if isinstance(example, list):
        return {"type": "array", "items": {"anyOf": [like(element) for element in example]}}
    if not isinstance(example, dict):
        return {"type": {str: "string", bool: "boolean", int: "integer", float: "number"}[type(example)]}
    ids = {key: value for key, value in example.items() if key.isdigit()}
    if ids:
        return {"type": "object", "additionalProperties": {"anyOf": [like(value) for value in ids.values()]}}
    properties = {key: like(value) for key, value in example.items()}
    return {"type": "object", "properties": properties, "required": list(example), "additionalProperties": False}


def referred(name: str, root: Schema) -> Schema:
    found: Any = root
    for part in name.removeprefix("#/").split("/"):
        found = found[part]
    assert isinstance(found, dict)
    return found


def _has_properties(schema: Schema) -> bool:
    return "properties" in schema or any(_has_properties(part) for part in schema.get("allOf", ()))


def check(instance: Any, schema: Schema, where: str) -> set[Finding]:
    """What of `instance` breaks a schema that `strict` made."""
    errors = Draft202012Validator(schema).iter_errors(instance)
    return {Finding(f"{where} {path}".rstrip(), text) for path, text in _flat(errors)}


def _flat(errors: Iterable[ValidationError]) -> Iterator[tuple[str, str]]:
    for error in errors:
        path = ["#" if isinstance(part, int) else str(part) for part in error.absolute_path]
        if error.validator in ("anyOf", "oneOf") and error.context:
            yield from _flat(_nearest(error.context))
        elif error.validator == "required":
            names: Any = error.validator_value
            instance: Any = error.instance
            missing = [name for name in names if name not in instance]
            yield from ((".".join([*path, name]), "is missing") for name in missing)
        elif error.validator in ("additionalProperties", "unevaluatedProperties"):
            extra = re.findall(r"'([^']*)'", error.message)
            yield from ((".".join([*path, name]), "is not in the file") for name in extra)
        elif error.validator == "oneOf":
            yield ".".join(path), "fits several alternatives of which it must fit one"
        else:
            yield ".".join(path), error.message


def _nearest(context: Iterable[ValidationError]) -> list[ValidationError]:
    """The errors of the one alternative that was most likely meant: the least of them, and those the deepest."""
    branches: dict[Any, list[ValidationError]] = {}
    for error in context:
        branches.setdefault(error.relative_schema_path[0], []).append(error)
    return min(branches.values(), key=_distance)


def _distance(errors: list[ValidationError]) -> tuple[bool, bool, int]:
    other_type = any(error.validator == "type" and not error.relative_path for error in errors)
    other_kind = any(error.validator in ("const", "enum") and len(error.relative_path) == 1 for error in errors)
    return other_type, other_kind, len(errors)


def decoded(values: list[str], schema: Schema) -> Any:
    """What came as text in a URL or a form, as the type that its schema says; as it is when that can't be."""
    kinds = set(_types(schema))
    if "array" in kinds:
        return [decoded([value], schema.get("items", {})) for value in values]
    if len(values) > 1:
        return values
    (text,) = values
    if kinds & {"integer", "number", "boolean", "object"} and "string" not in kinds:
        with suppress(ValueError):
            return json.loads(text)
    return text


def _types(schema: Schema) -> Iterator[str]:
    kind = schema.get("type", ())
    yield from [kind] if isinstance(kind, str) else kind
    for key in COMBINED:
        for part in schema.get(key, ()):
            yield from _types(part)


def field(schema: Schema, name: str) -> Schema:
    """The schema of one property, wherever among the alternatives it is named first; of any kind when nowhere."""
    return next(_fields(schema, name), {})


def _fields(schema: Schema, name: str) -> Iterator[Schema]:
    properties: Mapping[str, Schema] = schema.get("properties", {})
    if name in properties:
        yield properties[name]
    for key in COMBINED:
        for part in schema.get(key, ()):
            yield from _fields(part, name)
