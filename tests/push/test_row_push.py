"""Pushes of events and links: what Mixpanel has afterwards equals what the query returned, minus the rejected rows."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from mixpanel_etl.client import (
    Clock,
    CredentialError,
    FailedRecord,
    Imported,
    Mixpanel,
    MixpanelError,
    RecordsRejected,
    ReplyError,
    Timeouts,
)
from mixpanel_etl.gdpr.suppression_list import Suppression
from mixpanel_etl.lake import EventsTable
from mixpanel_etl.pull import pull_events
from mixpanel_etl.push.event_mapping import EventMapping
from mixpanel_etl.push.identity_links import IdentityMapping
from mixpanel_etl.push.profile_mapping import ProfileMapping
from mixpanel_etl.push.query_push import QueryPush
from mixpanel_etl.push.row_push import RowPush, preview_rows, push_rows
from mixpanel_etl.sandbox import Fault, Project, Sandbox
from mixpanel_etl.settings import Settings
from mixpanel_etl.warehouse import Warehouse

DAY = datetime(2026, 2, 1, tzinfo=UTC)
MAPPING = EventMapping(event="Order", time="at", key=["id"], distinct_id="user")
SCHEMA = pa.schema(
    [("id", pa.string()), ("at", pa.timestamp("ms", "UTC")), ("user", pa.string()), ("amount", pa.float64())]
)


@pytest.fixture
def mixpanel_project() -> Project:
    return Project(enforce_budgets=False, id_merge="original")


@pytest.fixture
def push(mixpanel: Sandbox) -> RowPush:
    return RowPush("orders", MAPPING, Settings.load().lake, clock=Clock(sleep=lambda _: None))


def orders(count: int, **other: dict[int, Any]) -> list[dict[str, Any]]:
    """Rows, some of them with another value in a column."""
    rows = [
        {"id": f"o-{n}", "at": DAY + timedelta(seconds=n), "user": f"u{n % 50}", "amount": n / 4} for n in range(count)
    ]
    for column, values in other.items():
        for number, value in values.items():
            rows[number][column] = value
    return rows


def reader(rows: list[dict[str, Any]]) -> pa.RecordBatchReader:
    table = pa.Table.from_pylist(rows, SCHEMA)
    return pa.RecordBatchReader.from_batches(SCHEMA, table.to_batches(max_chunksize=777))


def stored(mixpanel: Sandbox) -> dict[str, tuple[datetime, str, Any]]:
    """What Mixpanel shows, by insert_id."""
    kept = mixpanel.deduplicated(DAY.date(), DAY.date() + timedelta(days=2))
    found = {
        str(event.insert_id): (
            datetime.fromtimestamp(event.time_ms / 1000, UTC),
            str(event.distinct_id),
            json.loads(event.properties).get("amount"),
        )
        for event in kept
    }
    assert len(found) == len(kept)
    return found


def expected(rows: list[dict[str, Any]], push: RowPush) -> dict[str, tuple[datetime, str, Any]]:
    """The query minus the rejected rows."""
    ids = {row["id"] for row in rejected(push)}
    return {row["id"]: (row["at"], row["user"], row["amount"]) for row in rows if row["id"] not in ids}


def rejected(push: RowPush) -> list[dict[str, Any]]:
    return push.rejected_rows.scan().sort("id").collect().to_dicts()


def test_every_row_arrives_once_however_often_it_is_pushed(mixpanel: Sandbox, client: Mixpanel, push: RowPush) -> None:
    rows = orders(5_000)
    for _ in range(2):
        mixpanel.clear_requests()
        told = push_rows(client, reader(rows), push, "2026-02-01")
        assert (told.rows, told.sent, told.rejected) == (5_000, 5_000, 0)
        assert sum(request.path == "/import" for request in mixpanel.requests) == told.requests == 3
    assert stored(mixpanel) == expected(rows, push)


@pytest.mark.parametrize("bad", [1, 10, 2_000])
def test_rows_that_mixpanel_rejects_are_kept_and_the_others_of_their_batch_count(
    mixpanel: Sandbox, client: Mixpanel, push: RowPush, bad: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing that we let through is rejected by the sandbox, so let something through.
    monkeypatch.setattr("mixpanel_etl.push.event_mapping.RESERVED_IDS", frozenset())
    rows = orders(3_000, user=dict.fromkeys(range(bad), "undefined"))
    told = push_rows(client, reader(rows), push, "2026-02-01")
    assert (told.sent, told.rejected) == (3_000 - bad, bad)
    found = rejected(push)
    assert {rejected_row["id"] for rejected_row in found} == {f"o-{n}" for n in range(bad)}
    assert json.loads(found[0]["row"])["user"] == "undefined"
    assert found[0]["message"]
    assert found[0]["batch"] == 1
    assert stored(mixpanel) == expected(rows, push)


def test_rows_that_we_reject_are_not_sent(mixpanel: Sandbox, client: Mixpanel, push: RowPush) -> None:
    rows = orders(100, user={3: None, 5: "null"}, at={7: None, 9: datetime.now(UTC) + timedelta(days=2)}, id={11: None})
    told = push_rows(client, reader(rows), push, "2026-02-01")
    assert (told.sent, told.rejected) == (95, 5)
    assert {rejected_row["field"] for rejected_row in rejected(push)} == {"user", "at", "id"}
    assert all(rejected_row["batch"] == 0 for rejected_row in rejected(push))
    assert len(stored(mixpanel)) == 95


def test_rows_that_mixpanel_would_take_for_one_are_told_apart(
    mixpanel: Sandbox, client: Mixpanel, push: RowPush
) -> None:
    rows = orders(4_000)
    rows[3_500] = {**rows[0], "amount": 99.0}
    told = push_rows(client, reader(rows), push, "2026-02-01")
    assert told.rejected == 1
    assert "same key, user and day" in next(iter(told.messages))
    assert stored(mixpanel)["o-0"][2] == 0


def test_a_body_that_is_too_large_is_halved_down_to_the_row_at_fault(
    mixpanel: Sandbox, client: Mixpanel, push: RowPush
) -> None:
    mixpanel.reset([Project(enforce_budgets=False, max_import_bytes=20_000)])
    rows = orders(500)
    told = push_rows(client, reader(rows), push, "2026-02-01")
    assert told.sent == 500
    assert sum(request.status == 413 for request in mixpanel.requests) > 1
    assert stored(mixpanel) == expected(rows, push)
    mixpanel.reset([Project(enforce_budgets=False, max_import_bytes=300)])
    mapping = replace(MAPPING, properties={"amount": "amount", "id": "x" * 200})
    told = push_rows(client, reader(rows[:3]), replace(push, mapping=mapping), "2026-02-01")
    assert told.rejected == 3
    assert "413" in rejected(push)[0]["message"]


@pytest.mark.parametrize(
    "fault",
    [
        Fault("/import", "rate_limited", count=6, retry_after="seconds", seconds=2),
        Fault("/import", "server_error", count=4, status=502),
        Fault("/import", "reset", count=3),
        Fault("/import", "truncated", count=3, after=1),  # stored, and the answer lost
    ],
    ids=["429", "502", "reset", "answer lost"],
)
def test_what_passes_is_tried_again_until_everything_is_there(
    mixpanel: Sandbox, client: Mixpanel, push: RowPush, fault: Fault
) -> None:
    mixpanel.add_fault(fault)
    rows = orders(9_000)
    told = push_rows(client, reader(rows), push, "2026-02-01")
    assert (told.sent, told.rejected) == (9_000, 0)
    assert stored(mixpanel) == expected(rows, push)


def test_an_answer_after_the_client_gave_up_is_no_second_event(mixpanel: Sandbox, push: RowPush) -> None:
    mixpanel.add_fault(Fault("/import", "slow", count=2, seconds=1.5))
    rows = orders(3_000)
    impatient = Mixpanel(Settings.load(), timeouts=Timeouts(connect=5, read=0.5), clock=Clock(sleep=lambda _: None))
    with impatient as client:
        told = push_rows(client, reader(rows), push, "2026-02-01")
    assert (told.sent, told.rejected) == (3_000, 0)
    assert sum(request.path == "/import" for request in mixpanel.requests) > told.requests
    assert stored(mixpanel) == expected(rows, push)


def test_a_push_that_breaks_off_is_simply_run_again(mixpanel: Sandbox, client: Mixpanel, push: RowPush) -> None:
    mixpanel.add_fault(Fault("/import", "unable_to_authenticate", skip=2))
    rows = orders(9_000, user={0: "null"})
    with pytest.raises(CredentialError):
        push_rows(client, reader(rows), replace(push, in_flight=1), "2026-02-01")
    assert len(rejected(push)) == 1
    mixpanel.clear_faults()
    assert push_rows(client, reader(rows), push, "2026-02-01").sent == 8_999
    assert stored(mixpanel) == expected(rows, push)


def test_only_what_is_not_acknowledged_yet_is_sent_by_choice(
    mixpanel: Sandbox, client: Mixpanel, push: RowPush
) -> None:
    push = replace(push, only_new=True, in_flight=1)
    mixpanel.add_fault(Fault("/import", "unable_to_authenticate", skip=2))
    rows = orders(9_000)
    with pytest.raises(MixpanelError):
        push_rows(client, reader(rows), push, "2026-02-01")
    mixpanel.clear_faults()
    told = push_rows(client, reader(rows), push, "2026-02-01")
    assert (told.skipped, told.sent) == (4_000, 5_000)
    told = push_rows(client, reader(orders(9_001)), push, "2026-02-01")
    assert (told.skipped, told.sent, told.requests) == (9_000, 1, 1)
    assert preview_rows(reader(orders(9_002)), push, "2026-02-01").sent == 1
    assert push_rows(client, reader(rows), push, "2026-02-02").skipped == 0
    assert stored(mixpanel) == expected(orders(9_001), push)


def test_rows_of_which_an_answer_says_nothing_are_asked_for_again(
    mixpanel: Sandbox, client: Mixpanel, push: RowPush, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, calls = orders(100), []
    send = client.ingestion.import_lines

    def answered(lines: bytes, count: int) -> Any:
        calls.append(count)
        if len(calls) > 1:
            return send(lines, count)
        rejected = RecordsRejected("some failed", endpoint="POST /import", status=400)
        rejected.failed_records, rejected.imported = [FailedRecord(7, "no such user")], 90
        raise rejected

    monkeypatch.setattr(client.ingestion, "import_lines", answered)
    told = push_rows(client, reader(rows), push, "2026-02-01")
    assert (calls, told.sent, told.rejected) == ([100, 99], 99, 1)
    assert stored(mixpanel) == expected(rows, push)


def test_an_answer_that_counts_fewer_events_is_no_acknowledgement(
    mixpanel: Sandbox, client: Mixpanel, push: RowPush, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client.ingestion, "import_lines", lambda _, count: Imported(num_records_imported=count - 1))
    with pytest.raises(ReplyError, match="99 of 100"):
        push_rows(client, reader(orders(100)), push, "2026-02-01")


KILLED = """
import os, signal
from datetime import UTC, datetime, timedelta
from mixpanel_etl.client import Mixpanel
from mixpanel_etl.push.row_push import RowPush, push_rows
from mixpanel_etl.settings import Settings
from tests.push.test_row_push import MAPPING, orders, reader
with Mixpanel(Settings.load()) as client:
    send, calls = client.ingestion.import_lines, []
    def killed(lines, count):
        calls.append(1)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return send(lines, count)
    client.ingestion.import_lines = killed
    push_rows(client, reader(orders(9_000)), RowPush("orders", MAPPING, Settings.load().lake), "2026-02-01")
"""


def test_kill_9_and_a_rerun(mixpanel: Sandbox, client: Mixpanel, push: RowPush, pytestconfig: pytest.Config) -> None:
    environment = {**os.environ, "PYTHONPATH": str(pytestconfig.rootpath)}
    killed = subprocess.run([sys.executable, "-c", KILLED], check=False, timeout=60, env=environment)
    assert killed.returncode == -signal.SIGKILL
    rows = orders(9_000)
    assert push_rows(client, reader(rows), push, "2026-02-01").sent == 9_000
    assert stored(mixpanel) == expected(rows, push)


def test_a_dry_run_shows_the_first_events_and_sends_nothing(mixpanel: Sandbox, client: Mixpanel, push: RowPush) -> None:
    told = preview_rows(reader(orders(2_500, user={0: None})), push, "2026-02-01")
    assert (told.rows, told.sent, told.rejected, told.requests) == (2_500, 2_499, 1, 2)
    assert [event["properties"]["$insert_id"] for event in told.first] == [f"o-{n}" for n in range(1, 6)]
    assert not mixpanel.requests
    assert not push.rejected_rows.keys()


class TestQueries:
    """From a warehouse, and back into the lake."""

    SQL = """
        SELECT id, placed_at, customer, amount FROM orders WHERE placed_at >= $start AND placed_at < $end
    """
    PUSH = QueryPush("orders", SQL, replace(MAPPING, time="placed_at", distinct_id="customer"))
    WINDOW = (DAY, DAY + timedelta(days=1))

    @pytest.fixture(params=["duckdb", "postgres"])
    def warehouse(self, request: pytest.FixtureRequest, tmp_path: Any) -> Warehouse:
        """Two days of orders."""
        statements = (
            "CREATE TABLE orders (id TEXT, placed_at TIMESTAMPTZ, customer TEXT, amount NUMERIC(10, 2))",
            """
            INSERT INTO orders
            SELECT 'o' || i, TIMESTAMPTZ '2026-02-01 00:00:00+00' + i * INTERVAL '1 minute', 'u' || (i % 30), i / 4.0
            FROM generate_series(0, 2879) AS numbers(i)
            """,
        )
        if request.param == "duckdb":
            import duckdb

            with duckdb.connect(str(tmp_path / "shop.duckdb")) as connection:
                for statement in statements:
                    connection.execute(statement)
            return Warehouse(f"duckdb:///{tmp_path / 'shop.duckdb'}")
        import psycopg

        url = request.getfixturevalue("postgres_url")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("DROP TABLE IF EXISTS orders")
            for statement in statements:
                connection.execute(statement)
        return Warehouse(url)

    def test_the_round_trip_from_the_warehouse_to_the_lake_compares_equal(
        self, mixpanel: Sandbox, client: Mixpanel, warehouse: Warehouse, table: EventsTable
    ) -> None:
        told = self.PUSH.send(client, warehouse, table.lake, "2026-02-01", self.WINDOW)
        assert told.done == self.PUSH.count(warehouse, self.WINDOW) == 1_440
        list(pull_events(client, table, [DAY.date()]))
        held = {
            insert_id: (time, customer, json.loads(properties)["amount"])
            for insert_id, time, customer, properties in table.scan()
            .select("insert_id", "time", "distinct_id", "properties")
            .collect()
            .iter_rows()
        }
        with warehouse.query(
            "SELECT id, placed_at, customer, amount FROM orders WHERE placed_at < $end", {"end": self.WINDOW[1]}
        ) as rows:
            wanted = {
                str(row["id"]): (row["placed_at"], row["customer"], float(row["amount"]))
                for row in rows.read_all().to_pylist()
            }
        assert held == wanted

    def test_a_person_who_was_deleted_does_not_come_back(
        self, mixpanel: Sandbox, client: Mixpanel, warehouse: Warehouse, table: EventsTable
    ) -> None:
        Suppression(table.lake).add(["u7"], datetime.now(UTC) + timedelta(days=30))
        told = self.PUSH.send(client, warehouse, table.lake, "2026-02-01", self.WINDOW)
        assert (told.rows, told.rejected, told.suppressed) == (1_392, 0, 48)
        assert "u7" not in {owner for _, owner, _ in stored(mixpanel).values()}
        people = QueryPush("people", "SELECT DISTINCT customer FROM orders", ProfileMapping("customer"))
        told_people = people.send(client, warehouse, table.lake)
        assert (told_people.rows, told_people.suppressed) == (29, 1)
        assert people.preview(warehouse, table.lake).suppressed == 1
        assert "u7" not in mixpanel.profiles()

    def test_what_was_rejected_is_sent_again_after_a_fix(
        self, mixpanel: Sandbox, client: Mixpanel, warehouse: Warehouse, table: EventsTable
    ) -> None:
        reserved = "CASE WHEN length(id) < 3 THEN 'null' ELSE customer END AS customer,"
        broken = replace(self.PUSH, sql=self.SQL.replace("customer,", reserved))
        assert broken.send(client, warehouse, table.lake, "2026-02-01", self.WINDOW).rejected == 10
        mixpanel.add_fault(Fault("/import", "unable_to_authenticate"))
        with pytest.raises(CredentialError):
            self.PUSH.send(client, warehouse, table.lake, "2026-02-01", self.WINDOW, retry_rejected=True)
        mixpanel.clear_faults()
        mixpanel.clear_requests()
        told = self.PUSH.send(client, warehouse, table.lake, "2026-02-01", self.WINDOW, retry_rejected=True)
        assert (told.rows, told.done, told.rejected) == (10, 10, 0)
        assert len(stored(mixpanel)) == 1_440
        assert self.PUSH.rejected_rows(table.lake).scan().collect().is_empty()


class TestIdentities:
    @pytest.mark.parametrize("link", ["merge", "alias"])
    def test_each_row_is_a_link_and_what_is_none_is_kept(
        self, mixpanel: Sandbox, client: Mixpanel, push: RowPush, link: Any
    ) -> None:
        rows = pa.table({"user": ["a", "b", None, "undefined"], "other": ["a2", "b2", "c2", "d2"]})
        push = replace(push, mapping=IdentityMapping(link, "user", "other"))
        for sent in (2, 0):
            told = push_rows(client, pa.RecordBatchReader.from_batches(rows.schema, rows.to_batches()), push, "latest")
            assert (told.rows, told.sent, told.skipped, told.rejected) == (4, sent, 2 - sent, 2)
        assert {rejected_row["field"] for rejected_row in rejected(push)} == {"user", ""}

    def test_a_merge_joins_the_events_of_both(self, mixpanel: Sandbox, client: Mixpanel, push: RowPush) -> None:
        push_rows(client, reader(orders(100)), push, "2026-02-01")
        rows = pa.table({"user": ["u1"], "other": ["u2"]})
        links = replace(push, name="links", mapping=IdentityMapping("merge", "user", "other"))
        push_rows(client, pa.RecordBatchReader.from_batches(rows.schema, rows.to_batches()), links, "latest")
        owners = {owner for _, owner, _ in stored(mixpanel).values()}
        assert len(owners & {"u1", "u2"}) == 1
