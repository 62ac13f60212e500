"""Lookup tables: listed, and replaced completely or not at all."""

import gzip
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from mixpanel_etl.sandbox import Project, Sandbox

from ...app_api import NOON, api_call

PRODUCTS = "55b4fb2b-e8de-466c-930f-8b36640b9b5e"
CSV = "id,name,price\r\nsku-1,Widget,29.99\r\nsku-2,Gadget,5\r\n"


@pytest.fixture(autouse=True)
def _with_table(sandbox: Sandbox) -> None:
    sandbox.reset([Project(lookup_tables=[(PRODUCTS, "Products")], enforce_budgets=False)])


def put(sandbox: Sandbox, body: str | bytes, table: str = PRODUCTS, **options: Any) -> requests.Response:
    headers = {"Content-Type": "text/csv", **options.pop("headers", {})}
    options.setdefault("params", {"project_id": 12345})
    data = body.encode() if isinstance(body, str) else body
    return api_call(sandbox, "PUT", f"/lookup-tables/{table}", data=data, headers=headers, **options)


def test_the_list_has_id_and_name(sandbox: Sandbox) -> None:
    reply = api_call(sandbox, "GET", "/lookup-tables", params={"project_id": 12345})
    assert (reply.status_code, reply.json()) == (
        200,
        {"code": 200, "status": "OK", "results": [{"id": PRODUCTS, "name": "Products"}]},
    )


def test_a_replacement_replaces_all_rows(sandbox: Sandbox) -> None:
    reply = put(sandbox, CSV)
    assert (reply.status_code, reply.json()) == (200, {"code": 200, "status": "OK"})
    put(sandbox, "id,colour\nsku-3,red\n")
    assert sandbox.lookup_rows(PRODUCTS) == [{"id": "sku-3", "colour": "red"}]


def test_values_are_typed_by_their_form(sandbox: Sandbox) -> None:
    put(
        sandbox,
        'id,number,timestamp,flag,none,list,text,object\n01,1.5,2024-03-01T12:00:00Z,TRUE,,"[""a"",""b""]","a,""b""","{}"',
    )
    assert sandbox.lookup_rows(PRODUCTS) == [
        {
            "id": "01",
            "number": 1.5,
            "timestamp": datetime(2024, 3, 1, 12, tzinfo=UTC),
            "flag": True,
            "list": ["a", "b"],
            "text": 'a,"b"',
            "object": "{}",
        }
    ]


def test_gzip_and_the_project_secret_are_accepted(sandbox: Sandbox) -> None:
    reply = put(
        sandbox,
        gzip.compress(CSV.encode()),
        headers={"Content-Encoding": "gzip"},
        auth=(sandbox.projects[0].secret, ""),
    )
    assert reply.status_code == 200
    assert len(sandbox.lookup_rows(PRODUCTS)) == 2


@pytest.mark.parametrize(
    ("rows", "failure"),
    [
        (["a,1", ",2"], {"index": 2, "message": "primary key is required and cannot be blank"}),
        (["a,1,1"], {"index": 1, "message": "invalid row: wrong number of fields"}),
        (["a,1", "a,2"], {"index": 2, "message": "invalid row: row indexes 1 and 2 have the same primary key"}),
    ],
)
def test_a_bad_row_is_named_and_nothing_is_replaced(sandbox: Sandbox, rows: list[str], failure: object) -> None:
    put(sandbox, CSV)
    reply = put(sandbox, "\n".join(["id,n", *rows]))
    assert (reply.status_code, reply.json()) == (
        400,
        {
            "code": 400,
            "error": "Some data points in the request failed validation.",
            "status": "Bad Request",
            "failed_records": [failure],
        },
    )
    assert len(sandbox.lookup_rows(PRODUCTS)) == 2


def test_at_most_ten_bad_rows_are_named(sandbox: Sandbox) -> None:
    reply = put(sandbox, "id,n\n" + ",1\n" * 30)
    assert len(reply.json()["failed_records"]) == 10


@pytest.mark.parametrize("body", ["", "id,id\n1,2\n", "id,\n1,2\n", 'id,n\n"open,1\n', b"id\n\xff\n"])
def test_an_invalid_table_is_400(sandbox: Sandbox, body: str | bytes) -> None:
    assert put(sandbox, body).status_code == 400


def test_an_unknown_table_is_404_with_200_in_the_body(sandbox: Sandbox) -> None:
    reply = put(sandbox, CSV, table="f077cb07-008a-4955-8a4a-b4c163db3a87")
    assert reply.status_code == 404
    assert reply.json() == {
        "code": 200,
        "error": "Lookup table with id 'f077cb07-008a-4955-8a4a-b4c163db3a87' was not found.",
        "status": "Not Found",
    }


@pytest.mark.parametrize("compressed", [False, True])
def test_a_body_over_the_limit_is_413(sandbox: Sandbox, compressed: bool) -> None:
    sandbox.reset([Project(lookup_tables=[(PRODUCTS, "Products")], max_lookup_table_bytes=100)])
    body = ("id\n" + "x" * 200).encode()
    headers = {"Content-Encoding": "gzip"} if compressed else {}
    reply = put(sandbox, gzip.compress(body) if compressed else body, headers=headers)
    assert reply.status_code == 413
    assert reply.json()["error"] == "request exceeds max limit of 100 bytes"


def test_a_hundred_replacements_in_24_hours(sandbox: Sandbox) -> None:
    sandbox.reset([Project(lookup_tables=[(PRODUCTS, "Products")])])
    sandbox.clock.set(NOON, frozen=True)
    assert {put(sandbox, CSV).status_code for _ in range(100)} == {200}
    rejected = put(sandbox, CSV)
    assert (rejected.status_code, rejected.json()["status"]) == (429, "Too Many Requests")
    sandbox.clock.advance(timedelta(hours=24))
    assert put(sandbox, CSV).status_code == 200


def test_wrong_credentials_are_401(sandbox: Sandbox) -> None:
    for reply in (
        put(sandbox, CSV, auth=("sandbox.sa", "wrong")),
        api_call(sandbox, "GET", "/lookup-tables", params={"project_id": 12345}, auth=(sandbox.projects[0].secret, "")),
    ):
        assert (reply.status_code, reply.json()) == (
            401,
            {"code": 401, "error": "Invalid credentials", "status": "Unauthorized"},
        )
