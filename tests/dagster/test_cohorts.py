"""Snapshots of cohorts, and of who is in chosen ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import msgspec
import polars as pl
import pytest

from mixpanel_etl import MixpanelCohorts
from mixpanel_etl.client import Mixpanel, Query
from mixpanel_etl.lake import Table
from mixpanel_etl.pull.cohort_snapshots import COHORTS, MEMBERS_SCHEMA
from mixpanel_etl.sandbox import Cohort, Fault, Project, Sandbox
from mixpanel_etl.settings import Settings

from .profiles import Today, failure_of, keep_profiles, people

MEMBERS = "mixpanel/cohort_members"
CROWD = [f"visitor {n}" for n in range(2_100)]

Take = Callable[[Sequence[int | str]], Today]


@pytest.fixture
def mixpanel_project() -> Project:
    return Project(enforce_budgets=False, timezone="Asia/Tokyo")


@pytest.fixture
def shop(mixpanel: Sandbox, client: Mixpanel) -> Sandbox:
    keep_profiles(client, people(50))
    created = datetime(2026, 1, 5, 9, 30)  # noqa: DTZ001 - in project time
    mixpanel.save_report(Cohort(11, "Pros", "pay", created=created, where='user["plan"] == "pro"'))
    mixpanel.save_report(Cohort(12, "Crowd", distinct_ids=CROWD, is_visible=False))
    mixpanel.save_report(Cohort(13, "Twice", distinct_ids=["a"]))
    mixpanel.save_report(Cohort(14, "Twice", distinct_ids=["b"]))
    mixpanel.clear_requests()
    return mixpanel


@pytest.fixture
def snapshots(instance: dg.DagsterInstance) -> Take:
    return lambda members_of: Today(instance, MixpanelCohorts(members_of=members_of).definitions())


def members() -> dict[str, set[str]]:
    rows = Table(Settings.load().lake, "cohort_members", MEMBERS_SCHEMA).scan().collect()
    return {str(name): set(group["distinct_id"]) for (name,), group in rows.group_by("cohort")}


def asked(mixpanel: Sandbox) -> list[str]:
    return [request.path.removeprefix("/api/query/") for request in mixpanel.requests]


def test_the_list_of_cohorts_is_a_table(shop: Sandbox, snapshots: Take) -> None:
    assert snapshots([]).run("mixpanel/cohorts").success
    found = Table(Settings.load().lake, "cohorts", COHORTS.schema).scan().sort("cohort_id").collect()
    assert found.select("cohort_id", "name", "members", "is_visible").rows() == [
        (11, "Pros", 5, True),
        (12, "Crowd", 2_100, False),
        (13, "Twice", 1, True),
        (14, "Twice", 1, True),
    ]
    assert found["created"][0] == datetime(2026, 1, 5, 0, 30, tzinfo=UTC)
    assert asked(shop) == ["cohorts/list"]


def test_without_chosen_cohorts_there_is_no_asset_of_members(mixpanel: Sandbox) -> None:
    graph = MixpanelCohorts().definitions().resolve_asset_graph()
    assert [key.to_user_string() for key in graph.get_all_asset_keys()] == ["mixpanel/cohorts"]


def test_members_of_chosen_cohorts_by_id_and_by_name_with_or_without_a_profile(shop: Sandbox, snapshots: Take) -> None:
    cohorts = snapshots([12, "Pros"])
    result = cohorts.run(MEMBERS)
    assert result.success
    assert members() == {"Crowd": set(CROWD), "Pros": {f"user-{n:05}" for n in range(0, 50, 10)}}
    assert asked(shop) == ["cohorts/list", *["engage"] * 4]
    metadata = cohorts.metadata(result)
    assert (metadata["dagster/partition_row_count"], metadata["mixpanel_etl/queries_spent"]) == (2_105, 5)


@pytest.mark.parametrize(("deleted", "agrees"), [(0, True), (300, False)])
def test_a_cohort_that_does_not_have_as_many_members_as_its_count_is_red(
    shop: Sandbox, snapshots: Take, monkeypatch: pytest.MonkeyPatch, deleted: int, agrees: bool
) -> None:
    listed = Query.list_cohorts

    def stale(self: Query) -> list[Any]:
        return [msgspec.structs.replace(cohort, count=(cohort.count or 0) + deleted) for cohort in listed(self)]

    monkeypatch.setattr(Query, "list_cohorts", stale)
    result = snapshots(["Crowd"]).run(MEMBERS)
    assert result.success
    found = {each.check_name: each.passed for each in result.get_asset_check_evaluations()}
    assert found == {"not_shrunk": True, "all_arrived": True, "members_match_counts": agrees}


def test_an_interrupted_run_goes_on_where_it_ended(shop: Sandbox, snapshots: Take) -> None:
    cohorts = snapshots(["Pros", "Crowd"])
    shop.add_fault(Fault("/engage", "payment_required", skip=3, count=1))
    assert not cohorts.run(MEMBERS).success
    assert members() == {}
    shop.clear_requests()
    assert cohorts.run(MEMBERS).success
    assert asked(shop) == ["cohorts/list", "engage"]
    assert {name: len(ids) for name, ids in members().items()} == {"Crowd": 2_100, "Pros": 5}


@pytest.mark.parametrize(
    ("wanted", "said"),
    [(99, "no cohort 99. Give the id or the exact name of one; there are 11 'Pros'"), ("Twice", "2 cohorts 'Twice'")],
)
def test_a_cohort_that_is_not_there_or_twice_is_told_before_any_member_is_asked_for(
    shop: Sandbox, snapshots: Take, wanted: int | str, said: str
) -> None:
    assert said in failure_of(snapshots([11, wanted]).run(MEMBERS))
    assert asked(shop) == ["cohorts/list"]


def test_an_empty_cohort_has_no_members(shop: Sandbox, snapshots: Take) -> None:
    shop.save_report(Cohort(15, "Empty", where='user["plan"] == "none"'))
    assert snapshots(["Empty"]).run(MEMBERS).success
    table = Table(Settings.load().lake, "cohort_members", MEMBERS_SCHEMA)
    assert len(table.keys()) == 1
    assert table.scan().select(pl.len()).collect().item() == 0
