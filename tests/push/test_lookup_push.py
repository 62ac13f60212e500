"""Pushes of lookup tables: what Mixpanel has afterwards equals what the query returned, minus the rejected rows."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from mixpanel_etl.client import Mixpanel, MixpanelError, RecordsRejected
from mixpanel_etl.client.ingestion.lookup_tables import as_csv
from mixpanel_etl.push.lookup_push import LookupMapping, LookupPush, preview_lookup, push_lookup
from mixpanel_etl.push.push_error import PushError
from mixpanel_etl.push.query_push import QueryPush
from mixpanel_etl.sandbox import Fault, Project, Sandbox
from mixpanel_etl.settings import Settings
from mixpanel_etl.warehouse import Warehouse

TABLE = "8b0a3c9e-0d2c-4a47-9a35-0c2f5d1f7a11"
MAPPING = LookupMapping(TABLE, "sku")
SCHEMA = pa.schema([("sku", pa.string()), ("name", pa.string()), ("price", pa.decimal128(10, 2))])
PRODUCTS: list[dict[str, Any]] = [
    {"sku": f"p{n}", "name": f'Chair "{n}", red\n', "price": Decimal(n) / 4} for n in range(20)
]


@pytest.fixture
def mixpanel_project() -> Project:
    return Project(lookup_tables=[(TABLE, "products")])


@pytest.fixture
def push(mixpanel: Sandbox) -> LookupPush:
    return LookupPush("products", LookupMapping(TABLE, "sku"), Settings.load().lake)


def rows(table: list[dict[str, Any]], schema: pa.Schema = SCHEMA) -> pa.RecordBatchReader:
    whole = pa.Table.from_pylist(table, schema)
    return pa.RecordBatchReader.from_batches(schema, whole.to_batches(max_chunksize=7))


def stored(mixpanel: Sandbox) -> dict[str, dict[str, Any]]:
    return {row["sku"]: row for row in mixpanel.lookup_rows(TABLE)}


def as_stored(table: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["sku"]: {name: value for name, value in row.items() if value is not None} for row in table}


def replacements(mixpanel: Sandbox) -> int:
    return sum("/lookup-tables/" in request.path for request in mixpanel.requests)


def rejected(push: LookupPush) -> list[tuple[str | None, str]]:
    return push.rejected_rows.scan().select("id", "message").sort("id").collect().rows()


def test_a_table_is_replaced_once_and_left_alone_while_nothing_changes(
    mixpanel: Sandbox, client: Mixpanel, push: LookupPush
) -> None:
    told = push_lookup(client, rows(PRODUCTS), push)
    assert stored(mixpanel) == as_stored(PRODUCTS)
    assert (told.rows, told.changed, told.done, told.updates) == (20, 20, 20, 1)
    mixpanel.clear_requests()
    told = push_lookup(client, rows(PRODUCTS[::-1]), push)  # a query has no order
    assert (told.rows, told.changed, told.done, told.updates) == (20, 0, 0, 0)
    assert replacements(mixpanel) == 0


def test_changed_new_and_vanished_rows_are_in_the_next_table(
    mixpanel: Sandbox, client: Mixpanel, push: LookupPush
) -> None:
    push_lookup(client, rows(PRODUCTS), push)
    later = [*PRODUCTS[2:], {"sku": "new", "name": None, "price": None}]
    later[0] = {**later[0], "name": "Table"}
    told = push_lookup(client, rows(later), push)
    assert stored(mixpanel) == as_stored(later)
    assert (told.changed, told.vanished, told.done, told.updates) == (2, 2, 19, 1)
    assert push_lookup(client, rows(later), push).updates == 0


def test_other_columns_are_sent_again(client: Mixpanel, mixpanel: Sandbox, push: LookupPush) -> None:
    push_lookup(client, rows(PRODUCTS), push)
    chosen = LookupPush("products", LookupMapping(TABLE, "sku", ["price"]), push.lake)
    assert push_lookup(client, rows(PRODUCTS), chosen).updates == 1
    assert stored(mixpanel)["p1"] == {"sku": "p1", "price": 0.25}


def test_rows_without_a_key_of_their_own_are_rejected(mixpanel: Sandbox, client: Mixpanel, push: LookupPush) -> None:
    bad = [{**PRODUCTS[0], "sku": key} for key in (None, "  ", "p5")]
    told = push_lookup(client, rows([*PRODUCTS, *bad]), push)
    assert told.rejected == 4  # of two rows with one key, none is chosen
    assert stored(mixpanel) == as_stored([row for row in PRODUCTS if row["sku"] != "p5"])
    assert [key for key, _ in rejected(push)] == [None, None, "p5", "p5"]
    push_lookup(client, rows(PRODUCTS), push)
    assert rejected(push) == []
    assert stored(mixpanel) == as_stored(PRODUCTS)


def test_rows_that_mixpanel_rejects_are_named_and_the_table_is_as_it_was(
    mixpanel: Sandbox, client: Mixpanel, push: LookupPush, monkeypatch: pytest.MonkeyPatch
) -> None:
    push_lookup(client, rows(PRODUCTS), push)

    def broken(*arguments: Any) -> bytes:
        # Nothing that we let through is rejected by the sandbox, so break a row on its way.
        return as_csv(*arguments).replace(b"\r\np3,", b"\r\n ,")

    monkeypatch.setattr("mixpanel_etl.client.ingestion.api.as_csv", broken)
    with pytest.raises(RecordsRejected):
        push_lookup(client, rows([*PRODUCTS, {"sku": "new", "name": "n", "price": None}]), push)
    assert stored(mixpanel) == as_stored(PRODUCTS)
    assert rejected(push) == [("p3", "primary key is required and cannot be blank")]


def test_most_of_a_table_is_not_taken_away_by_mistake(mixpanel: Sandbox, client: Mixpanel, push: LookupPush) -> None:
    push_lookup(client, rows(PRODUCTS), push)
    with pytest.raises(PushError, match="11 of the 20 rows"):
        push_lookup(client, rows(PRODUCTS[:9]), push)
    assert len(stored(mixpanel)) == 20
    push_lookup(client, rows(PRODUCTS[:9]), push, allow_shrink=True)
    assert len(stored(mixpanel)) == 9


@pytest.mark.parametrize(
    "fault",
    [
        Fault("/lookup-tables/*", "rate_limited", count=2, retry_after="seconds", seconds=2),
        Fault("/lookup-tables/*", "server_error", count=2, status=502),
        Fault("/lookup-tables/*", "reset", count=1),
    ],
    ids=["429", "502", "reset"],
)
def test_what_passes_is_tried_again(mixpanel: Sandbox, client: Mixpanel, push: LookupPush, fault: Fault) -> None:
    mixpanel.add_fault(fault)
    assert push_lookup(client, rows(PRODUCTS), push).updates == 1
    assert replacements(mixpanel) > 1
    assert stored(mixpanel) == as_stored(PRODUCTS)


@pytest.mark.parametrize(
    "fault",
    [
        Fault("/lookup-tables/*", "unable_to_authenticate"),
        Fault("/lookup-tables/*", "truncated", after=1),  # replaced, and the answer lost
    ],
    ids=["rejected", "answer lost"],
)
def test_a_push_that_fails_counts_for_nothing(
    mixpanel: Sandbox, client: Mixpanel, push: LookupPush, fault: Fault
) -> None:
    mixpanel.add_fault(fault)
    with pytest.raises(MixpanelError):
        push_lookup(client, rows(PRODUCTS), push)
    mixpanel.clear_faults()
    assert push_lookup(client, rows(PRODUCTS), push).updates == 1


KILLED = """
import os, signal
from mixpanel_etl.client import Mixpanel
from mixpanel_etl.push.lookup_push import LookupPush, push_lookup
from mixpanel_etl.settings import Settings
from tests.push.test_lookup_push import PRODUCTS, TABLE, LookupMapping, rows

with Mixpanel(Settings.load()) as client:
    send = client.ingestion.replace_lookup_table
    def killed(*arguments):
        send(*arguments)
        os.kill(os.getpid(), signal.SIGKILL)
    client.ingestion.replace_lookup_table = killed
    push_lookup(client, rows(PRODUCTS), LookupPush("products", LookupMapping(TABLE, "sku"), Settings.load().lake))
"""


def test_kill_9_and_a_rerun(mixpanel: Sandbox, client: Mixpanel, push: LookupPush, pytestconfig: pytest.Config) -> None:
    environment = {**os.environ, "PYTHONPATH": str(pytestconfig.rootpath)}
    killed = subprocess.run([sys.executable, "-c", KILLED], check=False, timeout=60, env=environment)
    assert killed.returncode == -signal.SIGKILL
    assert push_lookup(client, rows(PRODUCTS), push).updates == 1
    assert stored(mixpanel) == as_stored(PRODUCTS)
    assert push_lookup(client, rows(PRODUCTS), push).updates == 0


def test_a_dry_run_shows_the_first_rows_and_spends_no_replacement(
    mixpanel: Sandbox, client: Mixpanel, push: LookupPush
) -> None:
    told = preview_lookup(rows([*PRODUCTS, PRODUCTS[0]]), push)
    assert told.first[0] == {"sku": "p1", "name": PRODUCTS[1]["name"], "price": 0.25}
    assert (told.updates, told.rejected, len(told.first)) == (1, 2, 5)
    assert not mixpanel.requests
    assert not push.rejected_rows.keys()


def test_values_arrive_with_their_types(mixpanel: Sandbox, client: Mixpanel) -> None:
    row = {
        "sku": 7,
        "day": date(2026, 1, 2),
        "at": datetime(2026, 1, 2, 3, tzinfo=UTC),
        "new": True,
        "tags": ["a", "b"],
    }
    push = LookupPush("products", LookupMapping(TABLE, "sku"), Settings.load().lake)
    table = pa.Table.from_pylist([row])
    push_lookup(client, table.to_reader(), push)
    assert stored(mixpanel) == {"7": {**row, "sku": "7", "day": "2026-01-02"}}


@pytest.mark.parametrize(
    ("mapping", "said"),
    [
        (lambda: LookupMapping("products", "sku"), "give the UUID"),
        (lambda: LookupMapping(TABLE, "id").of(SCHEMA), "no column 'id'"),
        (
            lambda: LookupMapping(TABLE, "a").of(pa.schema([("a", pa.string()), ("at", pa.timestamp("us"))])),
            "no time zone",
        ),
        (
            lambda: LookupMapping(TABLE, "a").of(pa.schema([("a", pa.string()), ("o", pa.struct([("x", pa.int8())]))])),
            "no lookup table holds",
        ),
        (
            lambda: QueryPush("products", "SELECT sku FROM products WHERE at > $start AND at < $end", MAPPING),
            r"leave out \$start",
        ),
    ],
)
def test_a_mistake_is_told_before_anything_is_sent(mapping: Callable[[], Any], said: str) -> None:
    with pytest.raises(PushError, match=said):
        mapping()


def test_a_table_comes_from_a_postgresql(mixpanel: Sandbox, client: Mixpanel, postgres_url: str) -> None:
    sql = "SELECT 'p' || n AS sku, n / 4.0 AS price, n % 2 = 0 AS even FROM generate_series(1, 3000) AS n"
    push = QueryPush("products", sql, MAPPING)
    warehouse, lake = Warehouse(postgres_url), Settings.load().lake
    push.send(client, warehouse, lake)
    assert stored(mixpanel) == {f"p{n}": {"sku": f"p{n}", "price": n / 4, "even": n % 2 == 0} for n in range(1, 3001)}
    assert push.send(client, warehouse, lake).changed == 0  # type: ignore[union-attr]
