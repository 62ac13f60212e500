"""Values arrive exactly, or their row is rejected, or the change is counted: the same in every kind of push."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from mixpanel_etl.client import Mixpanel
from mixpanel_etl.push.event_mapping import EventMapping
from mixpanel_etl.push.event_values import CUT, HALVED, NOT_FINITE, TRIMMED
from mixpanel_etl.push.identity_links import IdentityMapping
from mixpanel_etl.push.lookup_push import LookupMapping
from mixpanel_etl.push.profile_mapping import ProfileMapping
from mixpanel_etl.push.project_copy import CopiedEvents
from mixpanel_etl.push.query_push import QueryPush
from mixpanel_etl.sandbox import Project, Sandbox
from mixpanel_etl.settings import Settings
from mixpanel_etl.warehouse import Warehouse

from .test_project_copy import encoded

TABLE = "8b0a3c9e-0d2c-4a47-9a35-0c2f5d1f7a11"
DAY = datetime(2026, 2, 1, tzinfo=UTC).date()
KINDS: dict[str, Any] = {
    "events": EventMapping(event="E", time="at", key=["id"], distinct_id="id"),
    "users": ProfileMapping("id"),
    "lookup_table": LookupMapping(TABLE, "id", ["v"]),
    "identities": IdentityMapping("merge", "id", "other"),
}
SOURCE = "SELECT id, TIMESTAMPTZ '2026-02-01 00:00:00+00' AS at, {} AS v, other FROM ({}) AS q(id, n, other)"
ROWS = "VALUES ('a', 1, 'x'), ('b', 2, 'y'), ('c', 3, 'z')"


@pytest.fixture
def mixpanel_project() -> Project:
    return Project(enforce_budgets=False, id_merge="original", lookup_tables=[(TABLE, "t")])


def push(kind: str, value: str, rows: str = ROWS) -> QueryPush:
    return QueryPush("p", SOURCE.format(value, rows), KINDS[kind])


def held(mixpanel: Sandbox, kind: str) -> dict[str, Any]:
    """What Mixpanel has as `v`, by id."""
    if kind == "events":
        kept = mixpanel.deduplicated(DAY, DAY)
        return {str(event.insert_id): json.loads(event.properties).get("v") for event in kept}
    if kind == "users":
        return {name: profile.properties.get("v") for name, profile in mixpanel.profiles().items()}
    return {row["id"]: row.get("v") for row in mixpanel.lookup_rows(TABLE)}


@pytest.mark.parametrize("kind", ["events", "users", "lookup_table"])
@pytest.mark.parametrize("database", ["duckdb", "postgres"])
def test_a_sum_of_whole_numbers_is_exact(
    mixpanel: Sandbox, client: Mixpanel, kind: str, database: str, request: pytest.FixtureRequest
) -> None:
    url = "duckdb://" if database == "duckdb" else request.getfixturevalue("postgres_url")
    value = "(SELECT sum(x) FROM (VALUES (9007199254740990::bigint), (3::bigint)) AS s(x))"
    push(kind, value).send(client, Warehouse(url), Settings.load().lake)
    assert held(mixpanel, kind) == dict.fromkeys("abc", 9007199254740993)


def test_three_ids_of_a_numeric_key_stay_three_events(mixpanel: Sandbox, client: Mixpanel, postgres_url: str) -> None:
    mapping = EventMapping(event="E", time="at", key=["v"], distinct_id="id")
    sql = SOURCE.format("(9007199254740992 + n)::numeric", ROWS)
    told: Any = QueryPush("p", sql, mapping).send(client, Warehouse(postgres_url), Settings.load().lake)
    assert (told.sent, told.rejected) == (3, 0)
    assert set(held(mixpanel, "events")) == {f"900719925474099{n}" for n in (3, 4, 5)}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("database", ["duckdb", "postgres"])
@pytest.mark.parametrize("value", ["'infinity'::date", "'-infinity'::timestamp", "'infinity'::timestamptz"])
def test_infinity_in_a_date_is_one_rejected_row(  # noqa: PLR0917 - parameters and fixtures
    mixpanel: Sandbox, client: Mixpanel, kind: str, database: str, value: str, request: pytest.FixtureRequest
) -> None:
    url = "duckdb://" if database == "duckdb" else request.getfixturevalue("postgres_url")
    cast = value.partition("::")[2]
    if kind == "lookup_table" and cast == "timestamp":
        cast, value = "timestamptz", "'-infinity'::timestamptz"
    found = push(kind, f"CASE WHEN n = 2 THEN {value} ELSE '2026-01-01'::{cast} END")
    lake = Settings.load().lake
    told: Any = found.send(client, Warehouse(url), lake)
    assert told.rejected == 1
    (rejected_row,) = found.rejected_rows(lake).scan().collect().to_dicts()
    assert json.loads(rejected_row["row"])["id"] == "b"
    assert "infinity" in rejected_row["message"]
    if kind != "identities":
        assert set(held(mixpanel, kind)) == {"a", "c"}


def test_infinity_as_the_time_of_an_event_is_one_rejected_row(mixpanel: Sandbox, client: Mixpanel) -> None:
    at = "CASE id WHEN 'b' THEN 'infinity' ELSE '2026-02-01' END::timestamptz"
    sql = f"SELECT id, {at} AS at FROM (VALUES ('a'), ('b')) q(id)"
    told: Any = QueryPush("p", sql, KINDS["events"]).send(client, Warehouse("duckdb://"), Settings.load().lake)
    assert (told.sent, told.rejected) == (1, 1)


@pytest.mark.parametrize("kind", ["events", "users"])
@pytest.mark.parametrize(
    ("value", "how"), [("'NaN'::double", NOT_FINITE), ("'-inf'::float", NOT_FINITE), ("repeat('é', 128)", CUT)]
)
def test_what_would_be_changed_is_counted_in_dry_run_and_push(
    mixpanel: Sandbox, client: Mixpanel, kind: str, value: str, how: str
) -> None:
    other = "NULL" if how == NOT_FINITE else "'short'"
    found, lake = push(kind, f"CASE WHEN n < 3 THEN {value} ELSE {other} END"), Settings.load().lake
    assert found.preview(Warehouse("duckdb://"), lake).altered == {f"v: {how}": 2}
    told = found.send(client, Warehouse("duckdb://"), lake)
    assert (told.altered, told.rejected, len(held(mixpanel, kind))) == ({f"v: {how}": 2}, 0, 3)


@pytest.mark.parametrize("kind", KINDS)
def test_spaces_around_an_id_are_removed_in_every_kind_and_counted(
    mixpanel: Sandbox, client: Mixpanel, kind: str
) -> None:
    rows = "VALUES (' a', 1, 'x'), ('b' || chr(9) || chr(160), 2, 'y'), ('c', 3, 'z'), ('  ', 4, 'w')"
    told: Any = push(kind, "n", rows).send(client, Warehouse("duckdb://"), Settings.load().lake)
    assert (told.altered, told.rejected) == ({f"id: {TRIMMED}": 2}, 1)
    if kind == "events":
        assert {event.distinct_id for event in mixpanel.deduplicated(DAY, DAY)} == {"a", "b", "c"}
    elif kind != "identities":
        assert set(held(mixpanel, kind)) == {"a", "b", "c"}


def test_half_a_character_in_an_event_costs_no_event_of_a_copy() -> None:
    line, name, message = encoded(properties=r'{"plan": "nice \ud83d", "pair": "\ud83d\ude00", "raw": "\\ud83d"}')
    assert (name, message) == (None, None)
    properties = line["properties"]
    assert (properties["plan"], properties["pair"], properties["raw"]) == ("nice \ufffd", "\U0001f600", r"\ud83d")


def test_an_event_that_is_no_json_is_one_rejected_row_of_a_copy() -> None:
    _, name, message = encoded(properties='{"plan": ')
    assert (name, bool(message)) == ("properties", True)


def test_half_a_character_in_json_of_a_warehouse_is_replaced_and_counted(
    mixpanel: Sandbox, client: Mixpanel, postgres_url: str
) -> None:
    value = """CASE n WHEN 2 THEN '{"plan": "nice \\ud83d"}' ELSE '{"plan": "nice"}' END::json"""
    told: Any = push("events", value).send(client, Warehouse(postgres_url), Settings.load().lake)
    assert (told.sent, told.rejected, told.altered) == (3, 0, {f"v: {HALVED}": 1})
    assert held(mixpanel, "events")["b"] == {"plan": "nice \ufffd"}


def test_a_copy_counts_the_events_with_half_a_character() -> None:
    import pyarrow as pa

    batch = pa.record_batch({"properties": ['{"a": "\\udc00"}', "{}"]})
    (found,) = CopiedEvents().alterations(batch).values()
    assert found.to_list() == [True, False]
