"""The checks find what is missing, and say where."""

from __future__ import annotations

import dagster as dg
import pytest

from mixpanel_etl import MixpanelExport
from mixpanel_etl.lake import PromotedColumn
from mixpanel_etl.sandbox import Fault, Sandbox

from ..conftest import FIRST
from ..lakehouse import days_from
from .conftest import KEY, Run

DAYS = days_from(FIRST, 10)
RANGE = ("2026-01-01", "2026-01-10")


def evaluations(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    """The results for all days of the run."""
    found = result.get_asset_check_evaluations()
    of_run = [check for check in found if check.partition is None] or found
    return {check.check_name: check for check in of_run}


def test_a_complete_range_passes_all_of_them_for_two_queries(mixpanel: Sandbox, run: Run) -> None:
    mixpanel.generate(1_000, DAYS[0], DAYS[-1])
    checks = evaluations(run(*RANGE))
    assert {name: check.passed for name, check in checks.items()} == {
        "counts_match_mixpanel": True,
        "no_empty_days": True,
        "matches_schema": True,
        "no_malformed_lines": True,
    }
    assert checks["counts_match_mixpanel"].metadata["days_compared"].value == 10
    assert sum("/query/" in request.path for request in mixpanel.requests) == 2


def alone(definitions: dg.Definitions, instance: dg.DagsterInstance, name: str) -> dg.AssetCheckEvaluation:
    """A check started by itself, as from the UI: over the last 100 days of the lake."""
    job = definitions.resolve_implicit_global_asset_job_def()
    subset = job.get_subset(asset_selection=set(), asset_check_selection={dg.AssetCheckKey(KEY, name)})
    return evaluations(subset.execute_in_process(instance=instance))[name]


def test_a_day_for_which_mixpanel_counts_more_events_is_named(
    mixpanel: Sandbox, run: Run, definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    mixpanel.generate(1_000, DAYS[0], DAYS[-1])
    assert run(*RANGE).success
    mixpanel.generate(50, DAYS[4], DAYS[4], seed=7)
    check = alone(definitions, instance, "counts_match_mixpanel")
    worst = check.metadata["worst_days"]
    assert isinstance(worst, dg.TableMetadataValue)
    assert not check.passed
    assert [record.data["day"] for record in worst.records] == ["2026-01-05"]


def test_a_plan_without_query_api_is_a_warning_and_no_failed_run(mixpanel: Sandbox, run: Run) -> None:
    mixpanel.generate(100, DAYS[0], DAYS[-1])
    mixpanel.add_fault(Fault("/events/names", "payment_required"))
    result = run(*RANGE)
    check = evaluations(result)["counts_match_mixpanel"]
    assert result.success
    assert not check.passed
    assert check.severity == dg.AssetCheckSeverity.WARN
    assert "reconcile: false" in (check.description or "")


def test_a_day_without_events_between_busy_ones_is_named(mixpanel: Sandbox, run: Run) -> None:
    mixpanel.generate(100, DAYS[0], DAYS[3])
    mixpanel.generate(100, DAYS[5], DAYS[9])
    check = evaluations(run(*RANGE))["no_empty_days"]
    assert not check.passed
    assert check.metadata["empty_days"].value == ["2026-01-05"]


def test_days_written_with_other_columns_are_named(mixpanel: Sandbox, run: Run, instance: dg.DagsterInstance) -> None:
    mixpanel.generate(100, DAYS[0], DAYS[-1])
    assert run(*RANGE).success
    promoted = MixpanelExport(asset=dg.AssetSpec(KEY), columns=[PromotedColumn("$city", "string")])
    job = promoted.definitions().resolve_job_def("mixpanel__events_job")
    result = job.execute_in_process(instance=instance, partition_key="2026-01-02")
    assert evaluations(result)["matches_schema"].passed  # the day is written again
    check = alone(promoted.definitions(), instance, "matches_schema")
    assert not check.passed
    assert check.metadata["days_with_other_columns"].value == [str(day) for day in DAYS if day != DAYS[1]]


@pytest.mark.parametrize(
    ("export", "names"),
    [
        (MixpanelExport(asset=dg.AssetSpec(KEY), where='properties["plan"] == "pro"'), 3),
        (MixpanelExport(asset=dg.AssetSpec(KEY), reconcile=False), 3),
        (MixpanelExport(asset=dg.AssetSpec(KEY), events=["page view"]), 4),
    ],
    ids=["expression", "turned off", "names only"],
)
def test_counts_are_compared_only_where_mixpanel_can_count_the_same(
    mixpanel: Sandbox, export: MixpanelExport, names: int
) -> None:
    graph = export.definitions().resolve_asset_graph()
    assert len(graph.asset_check_keys) == names


def by_day(result: dg.ExecuteInProcessResult, name: str) -> dict[str, bool]:
    """The result of each day."""
    found = [check for check in result.get_asset_check_evaluations() if check.check_name == name]
    return {check.partition: check.passed for check in found if check.partition}


def test_each_day_of_a_range_has_a_result_of_its_own(
    mixpanel: Sandbox, run: Run, definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    mixpanel.generate(100, DAYS[0], DAYS[3])
    mixpanel.generate(100, DAYS[5], DAYS[9])
    result = run(*RANGE)
    assert by_day(result, "no_empty_days") == {str(day): day != DAYS[4] for day in DAYS}
    assert by_day(result, "counts_match_mixpanel") == {str(day): True for day in DAYS}
    # As Dagster counts them: each is of the day's latest materialization.
    infos = instance.event_log_storage.get_asset_check_partition_info([dg.AssetCheckKey(KEY, "no_empty_days")])
    of_days = [info for info in infos if info.partition_key]
    assert len(of_days) == 10
    assert all(info.is_current for info in of_days)
    assert {info.partition_key for info in of_days if info.latest_execution_status.value == "FAILED"} == {str(DAYS[4])}


def test_a_day_alone_has_the_only_result(mixpanel: Sandbox, run: Run, instance: dg.DagsterInstance) -> None:
    mixpanel.generate(100, DAYS[0], DAYS[0])
    result = run("2026-01-01")
    assert len(result.get_asset_check_evaluations()) == 4
    assert by_day(result, "counts_match_mixpanel") == {"2026-01-01": True}
