"""What Mixpanel's OpenAPI files say of an operation, found by its name in the client's catalogue."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from mixpanel_etl.client.operations.catalogue import CATALOGUE

from .strict import Schema, referred

SCHEMAS = Path(__file__).parent / "schemas"
FILES = {
    "": ("export",),
    "query": ("query",),
    "ingestion": ("ingestion",),
    "identity": ("identity",),
    "lexicon": ("lexicon-schemas",),
    "gdpr": ("gdpr",),
    "annotations": ("annotations",),
    "feature_flags": ("feature-flags", "feature-flags-management"),
    "experiments": ("experiments",),
    "service_accounts": ("service-accounts",),
    "pipelines": ("data-pipelines",),
    "warehouse_connectors": ("warehouse-connectors",),
}
# The files tell apart by a fragment, which is never sent, what differs by what is in the body.
FRAGMENTS = {"identity.create_identity": "create-identity", "identity.create_alias": "identity-create-alias"}
OF_USERS = {
    "$set": "profile-set",
    "$set_once": "profile-set-once",
    "$add": "profile-numerical-add",
    "$union": "profile-union",
    "$append": "profile-list-append",
    "$remove": "profile-list-remove",
    "$unset": "profile-unset",
    "$delete": "profile-delete",
}
OF_GROUPS = {
    "$set": "group-set",
    "$set_once": "group-set-once",
    "$unset": "group-unset",
    "$remove": "group-remove-from-list",
    "$union": "group-union",
    "$delete": "group-delete",
}
OPERATORS = {"ingestion.engage": OF_USERS, "ingestion.groups": OF_GROUPS}


@dataclass(frozen=True, eq=False)
class Description:
    """One operation of one file, which is `root`; `path` is below what `servers` begin with."""

    file: str
    root: Schema
    path: str
    method: str
    fragment: str
    operation: Schema
    parameters: tuple[Schema, ...]

    def resolved(self, node: Schema) -> Schema:
        return referred(node["$ref"], self.root) if "$ref" in node else node

    def schema_of(self, node: Schema, kind: str) -> Schema | None:
        """The schema of a body or reply of a kind of content."""
        schema = self.resolved(node).get("content", {}).get(kind, {}).get("schema")
        return schema if isinstance(schema, dict) else None

    @property
    def credentials(self) -> set[str]:
        """The kinds that it takes; `""` for none, or those in the body."""
        everywhere: list[Schema] = self.root.get("security", [])
        alternatives: list[Schema] = self.operation.get("security", everywhere)
        return {name for alternative in alternatives for name in alternative or {"": []}}

    @property
    def servers(self) -> set[str]:
        urls = set()
        for server in self.root["servers"]:
            for name, variable in server.get("variables", {}).items():
                urls |= {server["url"].replace("{" + name + "}", value) for value in variable["enum"]}
        return urls


def described(name: str) -> dict[str, Description]:
    """What is said of an operation of the catalogue, by fragment. Empty when no file knows it."""
    operation = CATALOGUE[name]
    group = name.rpartition(".")[0]
    found = [
        description
        for file in FILES[group]
        for description in descriptions(file)
        if description.method == operation.method and _shape(description.path) == _shape(operation.path)
    ]
    wanted = {FRAGMENTS.get(name, ""), *OPERATORS.get(name, {}).values()}
    return {one.fragment: one for one in found if one.fragment in wanted}


def _shape(path: str) -> str:
    return re.sub(r"\{\w+\}", "{}", path)


@cache
def descriptions(file: str) -> tuple[Description, ...]:
    """All operations of one file."""
    root = yaml.safe_load((SCHEMAS / f"{file}.openapi.yaml").read_text("utf-8"))
    found = []
    for where, item in root["paths"].items():
        path, _, fragment = where.partition("#")
        for method in item.keys() & {"get", "post", "put", "patch", "delete"}:
            stated: list[Any] = [*item.get("parameters", ()), *item[method].get("parameters", ())]
            parameters = tuple(referred(one["$ref"], root) if "$ref" in one else one for one in stated)
            found.append(Description(file, root, path, method.upper(), fragment, item[method], parameters))
    return tuple(found)
