"""Pushes of lookup tables: replaced as a whole, when something changed, and never by half of their rows."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from mixpanel_etl.client import Mixpanel, MixpanelError
from mixpanel_etl.push.dead_letters import dead_letters
from mixpanel_etl.push.errors import PushError
from mixpanel_etl.push.lookup import LookupMapping, LookupPush, preview_lookup, push_lookup
from mixpanel_etl.sandbox import Fault, Project, Sandbox
from mixpanel_etl.sandbox.projects import LookupTable
from mixpanel_etl.settings import Settings

TABLE = "8b0a3c9e-0d2c-4a47-9a35-0c2f5d1f7a11"
PRODUCTS: list[dict[str, Any]] = [
    {"id": "p1", "title": 'A "book", signed', "price": Decimal("9.50"), "since": date(2026, 1, 31)},
    {"id": "p2", "title": "line\nbreak", "price": Decimal("3.00"), "since": None},
]


@pytest.fixture
def mixpanel_project() -> Project:
    return Project(enforce_budgets=False, lookup_tables=[LookupTable(TABLE, "products")])


@pytest.fixture
def push(mixpanel: Sandbox) -> LookupPush:
    return LookupPush("products", LookupMapping(TABLE, "id"), Settings.load().lake)


def reader(rows: list[dict[str, Any]]) -> pa.RecordBatchReader:
    table = pa.Table.from_pylist(rows)
    return pa.RecordBatchReader.from_batches(table.schema, table.to_batches())


def replaced(mixpanel: Sandbox) -> int:
    return sum(request.method == "PUT" for request in mixpanel.requests)


def test_a_table_is_replaced_once_and_then_only_when_it_changed(
    mixpanel: Sandbox, client: Mixpanel, push: LookupPush
) -> None:
    told = push_lookup(client, reader(PRODUCTS), push)
    assert (told.rows, told.sent, told.skipped) == (2, 2, 0)
    assert [row["title"] for row in mixpanel.lookup_rows(TABLE)] == ['A "book", signed', "line\nbreak"]
    assert [float(row["price"]) for row in mixpanel.lookup_rows(TABLE)] == [9.5, 3]
    assert push_lookup(client, reader(PRODUCTS), push).skipped == 2
    assert replaced(mixpanel) == 1
    assert push_lookup(client, reader(PRODUCTS[:1]), push).sent == 1
    assert len(mixpanel.lookup_rows(TABLE)) == 1
    assert replaced(mixpanel) == 2


def test_chosen_columns_and_another_table_count_as_a_change(
    mixpanel: Sandbox, client: Mixpanel, push: LookupPush
) -> None:
    push_lookup(client, reader(PRODUCTS), push)
    chosen = replace(push, mapping=LookupMapping(TABLE, "id", ["title"]))
    assert push_lookup(client, reader(PRODUCTS), chosen).sent == 2
    assert set(mixpanel.lookup_rows(TABLE)[0]) == {"id", "title"}


@pytest.mark.parametrize(
    ("row", "said"),
    [({"id": "p1", "title": "again"}, "another row has"), ({"id": None, "title": "none"}, "has no key")],
)
def test_rows_that_break_the_rules_of_the_key_leave_the_table_as_it_is(
    mixpanel: Sandbox, client: Mixpanel, push: LookupPush, row: dict[str, Any], said: str
) -> None:
    push_lookup(client, reader(PRODUCTS), push)
    assert said in next(iter(preview_lookup(reader([*PRODUCTS, row]), push).messages))
    with pytest.raises(PushError, match=said):
        push_lookup(client, reader([*PRODUCTS, row]), push)
    assert replaced(mixpanel) == 1
    letters = dead_letters(push.lake, push.name).scan().collect()
    assert json.loads(letters["row"][-1])["title"] == row["title"]
    push_lookup(client, reader(PRODUCTS), push)
    assert dead_letters(push.lake, push.name).scan().collect().is_empty()


def test_a_table_that_was_not_replaced_is_sent_again(mixpanel: Sandbox, client: Mixpanel, push: LookupPush) -> None:
    mixpanel.add_fault(Fault("/lookup-tables/*", "payment_required"))
    with pytest.raises(MixpanelError):
        push_lookup(client, reader(PRODUCTS), push)
    mixpanel.clear_faults()
    assert push_lookup(client, reader(PRODUCTS), push).sent == 2


def test_a_dry_run_says_whether_the_table_changed(mixpanel: Sandbox, client: Mixpanel, push: LookupPush) -> None:
    assert preview_lookup(reader(PRODUCTS), push).sent == 2
    push_lookup(client, reader(PRODUCTS), push)
    told = preview_lookup(reader(PRODUCTS), push)
    assert (told.sent, told.skipped, told.first[0]["id"]) == (0, 2, "p1")


@pytest.mark.parametrize(
    ("mapping", "said"),
    [({"table": "products", "key": "id"}, "UUID"), ({"table": TABLE, "key": "sku"}, "no column 'sku'")],
)
def test_a_mapping_that_can_not_be_is_told(client: Mixpanel, push: LookupPush, mapping: Any, said: str) -> None:
    with pytest.raises(PushError, match=said):
        push_lookup(client, reader(PRODUCTS), replace(push, mapping=LookupMapping(**mapping)))


def test_a_value_that_no_table_holds_is_told(client: Mixpanel, push: LookupPush) -> None:
    with pytest.raises(PushError, match="without a zone"):
        push_lookup(client, reader([{"id": "p", "at": datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None)}]), push)
