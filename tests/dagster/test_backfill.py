"""Backfills cut as the asset's policy wants it, of all days or only of those that need it."""

from __future__ import annotations

import dagster as dg
import pytest
from dagster._core.execution.backfill import BulkActionStatus

from mixpanel_etl.dagster.backfill import Backfill, BackfillError
from mixpanel_etl.sandbox import Fault, Sandbox

from ..conftest import FIRST
from ..lakehouse import days_from
from .conftest import KEY, Run

DAYS = [str(day) for day in days_from(FIRST, 250)]


@pytest.fixture
def backfill(definitions: dg.Definitions, instance: dg.DagsterInstance) -> Backfill:
    return Backfill(definitions, "mixpanel/events", instance)


def test_250_days_are_three_runs_and_three_requests(mixpanel: Sandbox, backfill: Backfill) -> None:
    mixpanel.generate(1_000, days_from(FIRST, 250)[0], days_from(FIRST, 250)[-1])
    ranges = backfill.ranges(backfill.days(DAYS[0], DAYS[-1]))
    assert [len(days) for days in ranges] == [100, 100, 50]
    assert [day for days in ranges for day in days] == DAYS
    assert all(backfill.run(days).success for days in ranges)
    assert sum(request.path.endswith("/export") for request in mixpanel.requests) == 3
    assert backfill.days(DAYS[0], DAYS[-1], "missing") == []


def test_gaps_begin_new_ranges(backfill: Backfill) -> None:
    wanted = [*DAYS[:3], *DAYS[10:130]]
    assert [(days[0], days[-1], len(days)) for days in backfill.ranges(wanted)] == [
        (DAYS[0], DAYS[2], 3),
        (DAYS[10], DAYS[109], 100),
        (DAYS[110], DAYS[129], 20),
    ]


def test_only_missing_or_only_failed_days(mixpanel: Sandbox, backfill: Backfill, run: Run) -> None:
    mixpanel.generate(100, days_from(FIRST, 10)[0], days_from(FIRST, 10)[-1])
    assert run(DAYS[0], DAYS[3]).success
    mixpanel.add_fault(Fault("/export", "payment_required"))
    assert not run(DAYS[4], DAYS[5]).success
    assert backfill.days(DAYS[0], DAYS[9], "missing") == DAYS[4:10]
    assert backfill.days(DAYS[0], DAYS[9], "failed") == DAYS[4:6]


def test_a_failed_run_is_in_the_result_and_does_not_raise(mixpanel: Sandbox, backfill: Backfill) -> None:
    mixpanel.add_fault(Fault("/export", "payment_required"))
    assert not backfill.run(DAYS[:2]).success


def test_the_run_queue_gets_exactly_the_days(backfill: Backfill, instance: dg.DagsterInstance) -> None:
    backfill_id = backfill.submit(DAYS[:5] + DAYS[7:9])
    queued = instance.get_backfill(backfill_id)
    assert queued
    assert queued.status == BulkActionStatus.REQUESTED
    assert queued.asset_selection == [KEY]
    assert queued.asset_backfill_data
    subset = queued.asset_backfill_data.target_subset.get_partitions_subset(KEY)
    assert sorted(subset.get_partition_keys()) == DAYS[:5] + DAYS[7:9]


@pytest.mark.parametrize(
    ("first", "last", "named"),
    [("2025-12-31", "2026-01-05", "--from 2025-12-31"), ("2026-01-01", "2999-01-01", "--to 2999-01-01")],
)
def test_days_that_are_no_partition_are_refused_by_name(backfill: Backfill, first: str, last: str, named: str) -> None:
    with pytest.raises(BackfillError, match=named):
        backfill.days(first, last)


def test_an_unknown_asset_is_refused_with_the_known_ones(
    definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    with pytest.raises(BackfillError, match=r"available: mixpanel/events"):
        Backfill(definitions, "mixpanel/evens", instance)
