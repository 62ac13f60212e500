"""Snapshots of profiles: all of them, each once, for as few queries as possible."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from logging import Logger
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pyarrow as pa
import pytest

from mixpanel_etl import MixpanelProfiles
from mixpanel_etl.client import Mixpanel, UserUpdate
from mixpanel_etl.dagster.resource import MixpanelResource
from mixpanel_etl.gdpr.erasure import erase
from mixpanel_etl.lake import PromotedColumn, Provenance, Table
from mixpanel_etl.pull.profile_snapshots import Source, profile_schema
from mixpanel_etl.sandbox import Cohort, Fault, Project, Sandbox
from mixpanel_etl.settings import Settings

from .profiles import (
    Today,
    as_mixpanel_has_them,
    as_the_lake_has_them,
    failure_of,
    keep_groups,
    keep_profiles,
    logged,
    people,
)

KEY = "mixpanel/profiles"
SPEC = dg.AssetSpec(dg.AssetKey(["mixpanel", "profiles"]))
PEOPLE = 3_200  # four pages
ENGAGE = "/api/query/engage"


@pytest.fixture
def mixpanel_project() -> Project:
    return Project(enforce_budgets=False, group_keys=["company"])


@pytest.fixture
def crowd(mixpanel: Sandbox, client: Mixpanel) -> Sandbox:
    keep_profiles(client, people(PEOPLE))
    mixpanel.clear_requests()
    return mixpanel


Take = Callable[..., Today]


@pytest.fixture
def snapshots(instance: dg.DagsterInstance) -> Take:
    return lambda **described: Today(instance, MixpanelProfiles(asset=SPEC, **described).definitions())


def rows(promoted: list[PromotedColumn] | None = None) -> pl.DataFrame:
    return Table(Settings.load().lake, "profiles", profile_schema(promoted or [])).scan().collect()


def pages(mixpanel: Sandbox) -> int:
    return sum(request.path.endswith("/engage") for request in mixpanel.requests)


def kept_pages() -> list[str]:
    table = Table(Settings.load().lake, "profiles", profile_schema())
    return table.storage.names("profiles/_pages", "")


def test_all_profiles_arrive_for_a_query_a_page(crowd: Sandbox, snapshots: Take, instance: dg.DagsterInstance) -> None:
    promoted = [PromotedColumn("plan", "string"), PromotedColumn("orders", "integer")]
    profiles = snapshots(columns=promoted)
    result = profiles.run(KEY)
    assert result.success
    found = rows(promoted)
    assert as_the_lake_has_them(found) == as_mixpanel_has_them(crowd)
    assert found["date"].unique().to_list() == [profiles.key_of_today(KEY)]
    assert found["orders"].sum() == sum(range(PEOPLE))
    assert found["last_seen"].null_count() == 0
    assert pages(crowd) == 4
    metadata = profiles.metadata(result)
    assert metadata["dagster/partition_row_count"] == PEOPLE
    assert (metadata["mixpanel_etl/queries_spent"], metadata["mixpanel_etl/queries_left"]) == (4, 56)
    assert kept_pages() == []
    told = "\n".join(logged(result, instance))
    assert (
        "page 1: 1,000 rows so far; 3 pages, a query each, remain; 59 of this hour's 60 queries are left: no waiting"
        in told
    )


def test_nothing_that_dagster_stores_names_a_person(
    crowd: Sandbox, snapshots: Take, instance: dg.DagsterInstance
) -> None:
    result = snapshots().run(KEY)
    told = "".join(str(entry) for entry in instance.all_logs(result.run_id))
    assert "user-0" not in told
    assert "example.com" not in told


def test_one_query_of_jql_reads_the_same(crowd: Sandbox, snapshots: Take) -> None:
    profiles = snapshots(source="jql")
    assert profiles.run(KEY).success
    assert as_the_lake_has_them(rows()) == as_mixpanel_has_them(crowd)
    assert [request.path.rpartition("/")[2] for request in crowd.requests] == ["jql"]


@pytest.mark.parametrize("source", ["engage", "jql"])
def test_filters_are_mixpanels_and_last_seen_comes_anyway(crowd: Sandbox, snapshots: Take, source: Any) -> None:
    where = 'user["plan"] == "pro" and user["orders"] > 3100'
    assert snapshots(source=source, where=where, output_properties=["orders"]).run(KEY).success
    found = as_the_lake_has_them(rows())
    assert {name: properties["orders"] for name, properties in found.items()} == {
        f"user-{n:05}": n for n in range(3110, PEOPLE, 10)
    }
    assert {name for properties in found.values() for name in properties} == {"orders", "$last_seen"}


def test_a_cohort_limits_the_snapshot_to_members_who_have_a_profile(crowd: Sandbox, snapshots: Take) -> None:
    crowd.save_report(Cohort(7, "Few", distinct_ids=["user-00001", "user-00002", "without a profile"]))
    assert snapshots(cohort=7).run(KEY).success
    assert set(as_the_lake_has_them(rows())) == {"user-00001", "user-00002"}


def test_groups_are_read_by_their_data_group_id(crowd: Sandbox, client: Mixpanel, snapshots: Take) -> None:
    keep_groups(client, "company", {"acme": {"size": 9}, "hooli": {"size": 4_000}})
    assert snapshots(data_group_id=crowd.data_group_id("company")).run(KEY).success
    found = as_the_lake_has_them(rows())
    assert {name: properties["size"] for name, properties in found.items()} == {"acme": 9, "hooli": 4_000}


def checks(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    return {each.check_name: each.passed for each in result.get_asset_check_evaluations()}


class Watched(MixpanelResource):
    """A project in which profiles are deleted after a number of pages."""

    after: int = 1
    number: int = 1

    @contextmanager
    def client(self, log: Logger | None = None, *, deadline: float = 3_600.0) -> Iterator[Mixpanel]:  # type: ignore[override]
        with super().client(log, deadline=deadline) as client:
            engage = client.query.engage

            def watched(**asked: Any) -> Iterator[Any]:
                for number, page in enumerate(engage(**asked), start=1):
                    yield page
                    if number == self.after:
                        gone = [f"user-{n:05}" for n in range(1_100, 1_100 + self.number)]
                        client.ingestion.engage([UserUpdate(name, "$delete", "") for name in gone])

            client.query.engage = watched  # type: ignore[method-assign]
            yield client


@pytest.mark.parametrize(("deleted", "is_whole"), [(1, True), (500, False)])
def test_a_page_that_is_short_because_a_profile_was_deleted_ends_nothing_and_many_that_are_missing_are_red(
    crowd: Sandbox, snapshots: Take, deleted: int, is_whole: bool
) -> None:
    result = snapshots(mixpanel=Watched(number=deleted)).run(KEY)
    assert result.success
    assert len(rows()) == PEOPLE - deleted
    assert checks(result) == {"not_shrunk": True, "all_arrived": is_whole}


@pytest.mark.parametrize("source", ["engage", "jql"])
def test_a_snapshot_that_shrinks_is_red_and_does_not_replace_one_of_the_same_day_unless_allowed(
    crowd: Sandbox, client: Mixpanel, snapshots: Take, source: Source
) -> None:
    profiles = snapshots(source=source)
    table = Table(Settings.load().lake, "profiles", profile_schema())
    assert profiles.run(KEY).success
    (today,) = table.keys()
    names = [f"user-{n:05}" for n in range(PEOPLE - 100)]
    for start in range(0, len(names), 2_000):
        client.ingestion.engage([UserUpdate(name, "$delete", "") for name in names[start : start + 2_000]])
    held = profiles.run(KEY)
    assert not held.success
    assert f"{today} (3,200 rows -> 100)" in failure_of(held)
    assert len(rows()) == PEOPLE
    assert profiles.run(KEY, allow_shrink=True).success
    assert len(rows()) == 100
    # The day before has all of them.
    yesterday = str(date.fromisoformat(today) - timedelta(days=1))
    asked = Provenance(requested_at=datetime.now(UTC))
    empty = table.schema.empty_table().to_batches()
    row = pa.RecordBatch.from_pylist([{"distinct_id": "u", "properties": "{}"}] * 201, schema=table.schema)
    table.write(yesterday, [*empty, row], asked)
    again = profiles.run(KEY)
    assert again.success
    assert checks(again)["not_shrunk"] is False


class Impatient(MixpanelResource):
    """Waits for nothing."""

    def client(self, log: Logger | None = None, *, deadline: float = 1.0) -> Mixpanel:
        return super().client(log, deadline=deadline)


class TestAfterAnInterruption:
    def test_a_run_that_stops_at_the_hours_budget_goes_on_in_the_next_hour(
        self, crowd: Sandbox, client: Mixpanel, snapshots: Take, instance: dg.DagsterInstance
    ) -> None:
        for _ in range(58):
            client.query.list_cohorts()
        stopped = snapshots(mixpanel=Impatient()).run(KEY)
        assert "60 requests an hour" in failure_of(stopped)
        assert "The 2 pages that arrived are kept" in failure_of(stopped)
        told = "\n".join(logged(stopped, instance))
        assert "3 pages, a query each, remain; 1 of this hour's 60 queries are left: up to 1 h of waiting" in told
        Path(Settings.load().budget_url or "").unlink()
        crowd.clear_requests()
        assert snapshots().run(KEY).success
        assert pages(crowd) == 2
        assert as_the_lake_has_them(rows()) == as_mixpanel_has_them(crowd)

    def test_a_failed_run_is_gone_on_with_and_shows_what_was_true_when_it_began(
        self, crowd: Sandbox, client: Mixpanel, snapshots: Take, instance: dg.DagsterInstance
    ) -> None:
        crowd.add_fault(Fault("/engage", "payment_required", skip=2, count=1))
        before = as_mixpanel_has_them(crowd)
        failed = snapshots().run(KEY)
        assert "The 2 pages that arrived are kept: materialize" in failure_of(failed)
        assert rows().is_empty()
        keep_profiles(client, {"new person": {"plan": "free"}})
        crowd.clear_requests()
        again = snapshots().run(KEY)
        assert again.success
        assert pages(crowd) == 2
        assert as_the_lake_has_them(rows()) == before
        assert "2 pages (2,000 rows) are there already: going on with page 3" in logged(again, instance)

    def test_a_session_that_is_over_is_begun_anew_and_the_log_says_so(
        self, crowd: Sandbox, snapshots: Take, instance: dg.DagsterInstance
    ) -> None:
        crowd.add_fault(Fault("/engage", "payment_required", skip=2, count=1))
        snapshots().run(KEY)
        crowd.add_fault(Fault("/engage", "server_error", status=400, text="session_id is unknown", count=1))
        crowd.clear_requests()
        again = snapshots().run(KEY)
        assert again.success
        assert pages(crowd) == 1 + 4
        assert as_the_lake_has_them(rows()) == as_mixpanel_has_them(crowd)
        told = "\n".join(logged(again, instance))
        assert "Mixpanel has ended the session of the 2 pages that are there: beginning again" in told

    @pytest.mark.parametrize("source", ["engage", "jql"])
    def test_pages_of_another_question_are_not_mixed_in_but_removed(
        self, crowd: Sandbox, snapshots: Take, source: Source
    ) -> None:
        crowd.add_fault(Fault("/engage", "payment_required", skip=2, count=1))
        snapshots().run(KEY)
        assert len(kept_pages()) == 2
        assert snapshots(where='user["plan"] == "pro"', source=source).run(KEY).success
        assert len(rows()) == PEOPLE / 10
        assert kept_pages() == []

    @pytest.mark.parametrize("stage", ["before page 3 is kept", "when all is there", "before the pages are removed"])
    def test_kill_9_leaves_the_pages_that_arrived(self, crowd: Sandbox, snapshots: Take, stage: str) -> None:
        where, asked, missing = {
            "before page 3 is kept": ("at_call(pages.Pages, 'keep', 3)", 3, 2),
            "when all is there": ("at_call(partitions.Table, 'write', 1)", 4, 0),
            "before the pages are removed": ("at_call(pages.Pages, 'discard', 2)", 4, 0),
        }[stage]
        killed = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", PROGRAM.format(where=where)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env=os.environ,
        )
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert pages(crowd) == asked
        crowd.clear_requests()
        assert snapshots().run(KEY).success
        assert pages(crowd) == missing
        assert as_the_lake_has_them(rows()) == as_mixpanel_has_them(crowd)
        assert kept_pages() == []

    def test_the_pages_of_a_half_finished_snapshot_are_erased_too(self, crowd: Sandbox, snapshots: Take) -> None:
        crowd.add_fault(Fault("/engage", "payment_required", skip=2, count=1))
        snapshots().run(KEY)
        erased = erase(Settings.load().lake, ["user-00042"])
        assert (erased.rows_removed, erased.remaining) == (1, 0)
        assert snapshots().run(KEY).success
        assert set(as_mixpanel_has_them(crowd)) - set(as_the_lake_has_them(rows())) == {"user-00042"}


# Takes the snapshot, and dies at the place that is filled in.
PROGRAM = """
import os, signal
import dagster as dg
from mixpanel_etl import MixpanelProfiles
from mixpanel_etl.lake import staged_pages as pages
from mixpanel_etl.lake import table as partitions

def at_call(owner, name, number):
    original, calls = getattr(owner, name), []
    def counted(*arguments, **named):
        calls.append(1)
        if len(calls) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **named)
    setattr(owner, name, counted)

{where}
definitions = MixpanelProfiles(asset=dg.AssetSpec(dg.AssetKey(["mixpanel", "profiles"]))).definitions()
(asset,) = definitions.assets
today = asset.partitions_def.get_last_partition_key()
definitions.resolve_implicit_global_asset_job_def().execute_in_process(partition_key=today)
"""
