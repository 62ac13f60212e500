"""Pushes of users and groups: what Mixpanel has afterwards equals what the query returned, minus the rejected rows."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from mixpanel_etl.client import Clock, CredentialError, Mixpanel, UserUpdate
from mixpanel_etl.push.profile_mapping import ProfileMapping
from mixpanel_etl.push.profile_push import ProfilePush, Pushed, preview_profiles, push_profiles
from mixpanel_etl.push.push_error import PushError
from mixpanel_etl.sandbox import Fault, Project, Sandbox
from mixpanel_etl.settings import Settings

USERS = [{"id": f"u{n}", "plan": "pro" if n % 2 else None, "orders": n, "tags": ["a", f"t{n}"]} for n in range(20)]
SCHEMA = pa.schema(
    [("id", pa.string()), ("plan", pa.string()), ("orders", pa.int64()), ("tags", pa.list_(pa.string()))]
)


@pytest.fixture
def mixpanel_project() -> Project:
    return Project(enforce_budgets=False, group_keys=["company"])


@pytest.fixture
def push(mixpanel: Sandbox) -> ProfilePush:
    return ProfilePush("users", ProfileMapping("id"), Settings.load().lake, clock=Clock(sleep=lambda _: None))


def rows(table: Sequence[dict[str, Any]], schema: pa.Schema = SCHEMA) -> pa.RecordBatchReader:
    whole = pa.Table.from_pylist(list(table), schema)
    return pa.RecordBatchReader.from_batches(schema, whole.to_batches(max_chunksize=7))


def users(mixpanel: Sandbox) -> dict[str, dict[str, Any]]:
    """The profiles, without what Mixpanel adds."""
    return {
        name: {key: value for key, value in profile.properties.items() if key != "$last_seen"}
        for name, profile in mixpanel.profiles().items()
    }


def as_set(table: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """What profiles are when every column but the id is set."""
    return {row["id"]: {k: v for k, v in row.items() if k != "id" and v is not None} for row in table}


def rejected(push: ProfilePush) -> list[dict[str, Any]]:
    return push.rejected_rows.scan().sort("id").collect().to_dicts()


def updates(mixpanel: Sandbox) -> int:
    return sum(request.path.endswith(("/engage", "/groups")) for request in mixpanel.requests)


class TestUsers:
    def test_a_first_push_sends_everything_and_a_second_nothing(
        self, mixpanel: Sandbox, client: Mixpanel, push: ProfilePush
    ) -> None:
        told = push_profiles(client, rows(USERS), push)
        assert users(mixpanel) == as_set(USERS)
        assert (told.rows, told.changed, told.done, told.rejected) == (20, 20, 20, 0)
        mixpanel.clear_requests()
        assert push_profiles(client, rows(USERS), push).changed == 0
        assert updates(mixpanel) == 0

    def test_only_changed_rows_are_sent_and_null_removes_a_property(
        self, mixpanel: Sandbox, client: Mixpanel, push: ProfilePush
    ) -> None:
        push_profiles(client, rows(USERS), push)
        table = [{**row, "plan": None if row["id"] == "u1" else row["plan"]} for row in USERS]
        told = push_profiles(client, rows([*table, {"id": "new", "plan": "free"}]), push)
        assert told.changed == 2
        assert users(mixpanel) == {**as_set(table), "new": {"plan": "free"}}

    @pytest.mark.parametrize(
        ("vanished", "left"),
        [
            ("keep", {"plan": "pro", "orders": 1, "tags": ["a", "t1"], "mine": 1}),
            ("unset", {"mine": 1}),
            ("delete", None),
        ],
    )
    def test_rows_that_vanished(
        self, mixpanel: Sandbox, client: Mixpanel, push: ProfilePush, vanished: Any, left: dict[str, Any] | None
    ) -> None:
        push = replace(push, mapping=ProfileMapping("id", vanished=vanished))
        push_profiles(client, rows(USERS), push)
        client.ingestion.engage([UserUpdate("u1", "$set", {"mine": 1})])
        told = push_profiles(client, rows([row for row in USERS if row["id"] != "u1"]), push)
        assert (told.vanished, told.cleared) == (1, 0 if vanished == "keep" else 1)
        assert users(mixpanel).get("u1") == left
        mixpanel.clear_requests()
        push_profiles(client, rows([row for row in USERS if row["id"] != "u1"]), push)
        assert updates(mixpanel) == 0
        push_profiles(client, rows(USERS), push)
        assert users(mixpanel)["u1"].items() >= as_set(USERS)["u1"].items()

    def test_an_empty_query_does_not_take_everybody_away(
        self, mixpanel: Sandbox, client: Mixpanel, push: ProfilePush
    ) -> None:
        push = replace(push, mapping=ProfileMapping("id", vanished="delete"))
        push_profiles(client, rows(USERS), push)
        with pytest.raises(PushError, match="20 of 20 profiles have no row any more"):
            push_profiles(client, rows([]), push)
        assert users(mixpanel) == as_set(USERS)
        push_profiles(client, rows([]), push, allow_shrink=True)
        assert users(mixpanel) == {}

    def test_bad_rows_are_rejected_and_the_others_arrive(
        self, mixpanel: Sandbox, client: Mixpanel, push: ProfilePush
    ) -> None:
        bad: list[dict[str, Any]] = [{"id": "undefined"}, {"id": None}, {"id": "twice"}, {"id": "twice"}]
        told = push_profiles(client, rows([*USERS, *bad]), push)
        assert users(mixpanel) == as_set(USERS)
        assert told.rejected == 4
        assert [(rejected_row["id"], rejected_row["message"][:14]) for rejected_row in rejected(push)] == [
            (None, "has no id"),
            ("twice", "has an id that"),
            ("twice", "has an id that"),
            ("undefined", "'undefined' is"),
        ]
        told = push_profiles(client, rows(USERS), push)
        assert (told.changed, rejected(push)) == (0, [])

    @pytest.mark.parametrize("number", [1, 10])
    def test_what_mixpanel_rejects_is_reported_with_its_reason(
        self, mixpanel: Sandbox, client: Mixpanel, push: ProfilePush, number: int
    ) -> None:
        # 300 KB in one property: the sandbox takes 256, our own check takes a megabyte.
        schema = pa.schema([("id", pa.string()), ("big", pa.list_(pa.string()))])
        table = [{"id": f"u{n}", "big": ["x" * 140_000] * 2 if n < number < 2000 else ["x"]} for n in range(2000)]
        told = push_profiles(client, rows(table, schema), push)
        assert told.rejected == number
        assert len(mixpanel.profiles()) == 2000 - number
        assert {rejected_row["batch"] for rejected_row in rejected(push)} == {1}
        again = push_profiles(client, rows(table, schema), push)
        assert again.changed == number

    def test_a_body_that_is_too_large_is_halved(self, mixpanel: Sandbox, client: Mixpanel, push: ProfilePush) -> None:
        mixpanel.add_fault(Fault("/engage", "too_large", count=3))
        assert push_profiles(client, rows(USERS), push).rejected == 0
        assert users(mixpanel) == as_set(USERS)

    def test_bursts_of_429_and_5xx_are_outlived(self, mixpanel: Sandbox, client: Mixpanel, push: ProfilePush) -> None:
        mixpanel.add_fault(Fault("/engage", "rate_limited", count=2))
        mixpanel.add_fault(Fault("/engage", "server_error", count=2, status=503))
        mixpanel.add_fault(Fault("/engage", "reset", count=1))
        push_profiles(client, rows(USERS), push)
        assert users(mixpanel) == as_set(USERS)

    def test_a_push_that_breaks_off_goes_on_where_it_was(
        self, mixpanel: Sandbox, client: Mixpanel, push: ProfilePush
    ) -> None:
        schema = pa.schema([("id", pa.string()), ("n", pa.int64())])
        table = [{"id": f"u{n}", "n": n} for n in range(5000)]
        push = replace(push, in_flight=1)
        mixpanel.add_fault(Fault("/engage", "unable_to_authenticate", skip=1, count=99))
        with pytest.raises(CredentialError):
            push_profiles(client, rows(table, schema), push)
        mixpanel.clear_faults()
        told = push_profiles(client, rows(table, schema), push)
        assert told.changed == 3000
        assert users(mixpanel) == as_set(table)

    def test_types_of_a_warehouse(self, mixpanel: Sandbox, client: Mixpanel, push: ProfilePush) -> None:
        row = {
            "id": 7,
            "price": Decimal("1.50"),
            "at": datetime(2026, 1, 2, 3, tzinfo=UTC),
            "nan": float("nan"),
            "on": True,
        }
        push_profiles(client, rows([row], pa.Table.from_pylist([row]).schema), push)
        assert users(mixpanel) == {"7": {"price": 1.5, "at": "2026-01-02T03:00:00Z", "nan": None, "on": True}}

    def test_a_dry_run_shows_and_changes_nothing(self, mixpanel: Sandbox, push: ProfilePush) -> None:
        told = preview_profiles(rows([*USERS, {"id": "undefined", "plan": "pro"}]), push)
        assert (told.changed, told.rejected) == (21, 1)
        assert len(told.first) == 5
        assert all("$token" not in update for update in told.first)
        assert mixpanel.requests == []
        assert push.snapshot.keys() == []


class TestOperators:
    def test_every_operator_does_what_it_says(self, mixpanel: Sandbox, client: Mixpanel, push: ProfilePush) -> None:
        mapping = ProfileMapping(
            "id",
            properties={
                "$set": {"plan": "Plan"},
                "$set_once": {"first": "$created"},
                "$add": {"points": "Points"},
                "$append": {"page": "Pages"},
                "$union": {"tags": "Tags", "tag": "Tag"},
                "$remove": {"old": "Tags"},
                "$unset": {"left": "Company"},
            },
            delete="deleted",
        )
        schema = pa.schema(
            [
                *((name, pa.string()) for name in ("id", "plan", "first", "page", "tag", "old")),
                ("points", pa.int64()),
                ("tags", pa.list_(pa.string())),
                ("left", pa.bool_()),
                ("deleted", pa.bool_()),
            ]
        )
        push = replace(push, mapping=mapping)
        first = {"id": "u", "plan": "free", "first": "2020", "points": 2, "page": "a", "tags": ["x", "y"], "tag": "t"}
        push_profiles(client, rows([first], schema), push)
        assert users(mixpanel)["u"] == {
            "Plan": "free",
            "$created": "2020",
            "Points": 2,
            "Pages": ["a"],
            "Tags": ["x", "y"],
            "Tag": ["t"],
        }
        second = {"id": "u", "plan": "pro", "first": "2021", "points": 3, "page": "b", "tags": ["z"], "old": "x"}
        push_profiles(client, rows([second], schema), push)
        assert users(mixpanel)["u"] == {
            "Plan": "pro",
            "$created": "2020",
            "Points": 5,
            "Pages": ["a", "b"],
            "Tags": ["y", "z"],
            "Tag": ["t"],
        }
        push_profiles(client, rows([{"id": "u", "deleted": True}], schema), push)
        assert users(mixpanel) == {}

    @pytest.mark.parametrize("where", ["nothing arrived", "it arrived"])
    def test_what_may_not_be_sent_twice_is_not_when_the_answer_is_lost(
        self, mixpanel: Sandbox, client: Mixpanel, points: ProfilePush, where: str
    ) -> None:
        kind: Any = "reset" if where == "nothing arrived" else "truncated"
        mixpanel.add_fault(Fault("/engage", kind, count=1, after=3))
        told = push_profiles(client, rows(USERS), points)
        assert (told.rejected, told.unconfirmed) == (20, 20)
        assert all(rejected_row["unconfirmed"] for rejected_row in rejected(points))
        reasons = {rejected_row["message"] for rejected_row in rejected(points)}
        for _ in range(2):
            assert push_profiles(client, rows(USERS), points).changed == 0
            assert len(rejected(points)) == 20
            # A rerun tells what happened then, and not that a process ended.
            assert {rejected_row["message"] for rejected_row in rejected(points)} == reasons
        if where == "nothing arrived":
            push_profiles(client, rows(USERS), points, retry_unconfirmed=True)
            assert rejected(points) == []
        assert {name: profile["orders"] for name, profile in users(mixpanel).items()} == {
            row["id"]: row["orders"] for row in USERS
        }

    def test_a_429_says_that_nothing_was_done_and_is_tried_again(
        self, mixpanel: Sandbox, client: Mixpanel, points: ProfilePush
    ) -> None:
        mixpanel.add_fault(Fault("/engage", "rate_limited", count=2))
        assert push_profiles(client, rows(USERS), points).rejected == 0
        assert users(mixpanel)["u7"] == {"orders": 7}

    def test_a_batch_whose_answer_trickles_past_the_deadline_is_not_sent_again(
        self, mixpanel: Sandbox, points: ProfilePush
    ) -> None:
        mixpanel.add_fault(Fault("/engage", "trickle", seconds=0.05))
        with Mixpanel(Settings.load(), deadline=0.2) as impatient:
            assert push_profiles(impatient, rows(USERS), points).rejected == 20
        assert all(rejected_row["unconfirmed"] for rejected_row in rejected(points))
        assert users(mixpanel)["u7"] == {"orders": 7}

    @pytest.fixture
    def points(self, push: ProfilePush) -> ProfilePush:
        return replace(push, mapping=ProfileMapping("id", properties={"$set": {}, "$add": {"orders": "orders"}}))


KILLED = """
import os, signal
import pyarrow as pa
from mixpanel_etl.client import Mixpanel
from mixpanel_etl.push.profile_push import ProfilePush, push_profiles
from mixpanel_etl.push.profile_mapping import ProfileMapping
from mixpanel_etl.settings import Settings

table = pa.table({{"id": [f"u{{n}}" for n in range(5000)], "n": list(range(5000))}})
mapping = ProfileMapping("id", properties={{"{operator}": {{"n": "n"}}}})
with Mixpanel(Settings.load()) as client:
    send, calls = client.ingestion.engage, []
    def killed(updates):
        calls.append(1)
        if len(calls) == 2:
            {before}
            os.kill(os.getpid(), signal.SIGKILL)
        send(updates)
    client.ingestion.engage = killed
    push = ProfilePush("users", mapping, Settings.load().lake, in_flight=1)
    push_profiles(client, pa.RecordBatchReader.from_batches(table.schema, table.to_batches()), push)
"""


@pytest.mark.parametrize("before", ["send(updates)", "pass"], ids=["after it arrived", "before"])
@pytest.mark.parametrize("operator", ["$set", "$add"])
def test_kill_9_and_a_rerun(mixpanel: Sandbox, client: Mixpanel, push: ProfilePush, operator: Any, before: str) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED.format(operator=operator, before=before)], check=False, timeout=60, env=os.environ
    )
    assert killed.returncode == -signal.SIGKILL
    push = replace(push, mapping=ProfileMapping("id", properties={operator: {"n": "n"}}))
    table = pa.table({"id": [f"u{n}" for n in range(5000)], "n": list(range(5000))})
    told = push_profiles(client, rows(table.to_pylist(), table.schema), push)
    unsure = {rejected_row["id"] for rejected_row in rejected(push)}
    assert len(unsure) == (2000 if operator == "$add" else 0)
    assert told.changed == (1000 if operator == "$add" else 5000)
    wanted = {f"u{n}": {"n": n} for n in range(5000) if f"u{n}" not in unsure}
    found = users(mixpanel)
    assert {name: found[name] for name in wanted} == wanted
    assert len(found) == (3000 if operator == "$add" and before == "pass" else 5000)
    assert push.sent.keys() == []


class TestGroups:
    def test_groups_are_set_unset_and_deleted(self, mixpanel: Sandbox, client: Mixpanel, push: ProfilePush) -> None:
        push = replace(push, mapping=ProfileMapping("id", "company", vanished="delete"))
        push_profiles(client, rows(USERS), push)
        push_profiles(client, rows([{**USERS[3], "plan": None}, *USERS[4:]]), push)
        found = {name: dict(group.properties) for name, group in mixpanel.group_profiles("company").items()}
        for group in found.values():
            group.pop("$last_seen", None)
        assert found == as_set([{**USERS[3], "plan": None}, *USERS[4:]])

    def test_a_group_key_that_does_not_exist_is_told(
        self, mixpanel: Sandbox, client: Mixpanel, push: ProfilePush
    ) -> None:
        push = replace(push, mapping=ProfileMapping("id", "no such key"))
        told: Pushed = push_profiles(client, rows(USERS), push)
        assert told.rejected == 20
        assert "no such key" in next(iter(told.messages)) or "group_key" in next(iter(told.messages))

    @pytest.mark.parametrize("operator", ["$add", "$append"])
    def test_what_groups_cannot_do_is_rejected(self, operator: Any) -> None:
        with pytest.raises(PushError, match="not for groups"):
            ProfileMapping("id", "company", {operator: {"a": "a"}})


@pytest.mark.parametrize(
    ("mapping", "said"),
    [
        (ProfileMapping("uid"), "no column 'uid'"),
        (
            ProfileMapping("id", properties={"$add": {"plan": "plan"}}),
            "'plan' is a string, and .add takes numbers",
        ),
        (ProfileMapping("id", properties={"$unset": {"plan": "plan"}}), "takes booleans"),
        (ProfileMapping("id", delete="orders"), "delete takes booleans"),
        (ProfileMapping("tags"), "id takes strings or integers"),
    ],
)
def test_a_mapping_that_does_not_fit_is_told_before_anything_is_sent(
    mixpanel: Sandbox, client: Mixpanel, push: ProfilePush, mapping: ProfileMapping, said: str
) -> None:
    with pytest.raises(PushError, match=said):
        push_profiles(client, rows(USERS), replace(push, mapping=mapping))
    assert mixpanel.requests == []
