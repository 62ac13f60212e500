"""The proof of the proof: what is not as a file says is found, and named by its place."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from .checks import findings
from .recording import Exchange
from .strict import Finding, check, like, strict

TAG = b'{"id": 1, "name": "release"}'
JSON = {"Content-Type": "application/json"}
CREATED = Exchange("POST", "/api/app/projects/1/annotations/tags", {}, 200, b'{"name": "release"}', JSON, TAG, JSON)
ROOT = {"schemas": {"Tag": {"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]}}}
REF = {"$ref": "#/schemas/Tag"}
NAMED = {"allOf": [REF, {"properties": {"name": {"type": "string", "nullable": True}}}]}


def test_nothing_is_found_where_all_is_as_described() -> None:
    assert findings("annotations.create_tag", CREATED) == set()


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"path": "/api/app/projects/one/annotations/tags"}, "path projectId"),
        ({"query": {"colour": ["red"]}}, "query colour"),
        ({"sent": b""}, "body"),
        ({"sent": b'{"nmae": "release"}'}, "body nmae"),
        ({"sent": b'{"name": 1}'}, "body name"),
        ({"sent_headers": {"Content-Type": "text/csv"}}, "body"),
        ({"status": 202}, "reply 202"),
        ({"got": b'{"id": "1", "name": "release"}'}, "reply 200 id"),
        ({"got": b'{"id": 1, "title": "release"}'}, "reply 200 title"),
        ({"got_headers": {"Content-Type": "text/html"}}, "reply 200"),
    ],
)
def test_what_is_not_as_described_is_found(change: dict[str, Any], where: str) -> None:
    assert where in {finding.where for finding in findings("annotations.create_tag", replace(CREATED, **change))}


@pytest.mark.parametrize(
    ("schema", "instance", "where"),
    [
        (REF, {}, ["x id"]),
        (REF, {"id": 1, "nmae": "a"}, ["x nmae"]),
        (NAMED, {"id": 1, "name": None}, []),
        (NAMED, {"id": 1, "nmae": None}, ["x nmae"]),
        ({"type": "array", "items": REF}, [{"id": 1}, {"id": "1"}], ["x #.id"]),
        ({"anyOf": [{"type": "string"}, REF]}, {"id": "1"}, ["x id"]),
        ({"oneOf": [{"type": "number"}, {"type": "integer"}]}, 1, ["x"]),
        ({"type": "object"}, {"anything": 1}, []),
    ],
)
def test_a_schema_is_closed_through_references_and_alternatives(
    schema: dict[str, Any], instance: Any, where: list[str]
) -> None:
    assert [finding.where for finding in check(instance, strict(schema, ROOT), "x")] == where


def test_an_example_stands_for_a_schema_that_is_missing() -> None:
    schema = like({"123": [{"name": "a", "frequency": "hourly"}]})
    assert check({"7": [{"name": "b", "frequency": "daily"}], "8": []}, schema, "x") == set()
    assert check({"7": [{"name": "b"}]}, schema, "x") == {Finding("x 7.#.frequency", "is missing")}
