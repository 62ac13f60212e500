"""What older versions recorded of persons in Dagster's storage is listed, removed, and not found again."""

# Dagster reads the annotations of assets, so they must be types, not strings.

import sqlite3
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from typer.testing import CliRunner

from mixpanel_etl.cli import app
from mixpanel_etl.dagster.gdpr.scrub import scrub_dagster
from mixpanel_etl.dagster.metadata import preview
from mixpanel_etl.pull.reports import report_of

MARK = "zqanna"
ROWS = dg.MetadataValue.table([dg.TableRecord({"email": f"{MARK}@example.com"})])
SAID = f"ReplyError: GET /api/query/engage: 500 Internal Server Error: [{{'$email': '{MARK}@example.com'}}]. Try again"


@dg.asset
def old(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
    context.log.info(f"attempt 1 failed: GET /api/query/engage: 500 Internal Server Error: {MARK}")
    context.log_event(dg.AssetObservation("old", metadata={"mixpanel_etl/preview": ROWS}))
    return dg.MaterializeResult(
        metadata={"mixpanel_etl/preview": ROWS, "mixpanel_etl/reasons": f"| 1 | {MARK} |", "mixpanel_etl/bytes": 17}
    )


@dg.asset_check(asset=old)
def none_expires_soon() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=False, description=f"{MARK}.account: 2026-12-20 23:20 UTC. Create another.")


@dg.asset
def failing() -> None:
    raise dg.Failure(SAID)


@dg.asset
def present() -> dg.MaterializeResult[Any]:
    import pyarrow as pa

    report = report_of("property_values", {"event": "buy", "property": "email"})
    rows = pa.table({"event": ["buy"], "property": ["email"], "value": [f"{MARK}@example.com"]})
    return dg.MaterializeResult(metadata=preview(rows, report.shown_columns))


def old_runs(instance: dg.DagsterInstance) -> list[str]:
    runs = [dg.materialize([old, none_expires_soon, present], instance=instance, raise_on_error=False)]
    runs.append(dg.materialize([failing], instance=instance, raise_on_error=False))
    return [run.run_id for run in runs]


def holding(folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and _holds(path)]


def _holds(path: Path) -> bool:
    return MARK.encode() in path.read_bytes()


def test_sqlite_is_scrubbed_to_the_last_byte_and_a_second_time_finds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, lake = tmp_path / "home", tmp_path / "lake"
    home.mkdir()
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    monkeypatch.setenv("MIXPANEL_LAKE", str(lake))
    monkeypatch.chdir(tmp_path)
    with dg.DagsterInstance.get() as instance:
        runs = old_runs(instance)
    before = holding(home)
    assert before
    listed = CliRunner().invoke(app, ["gdpr", "scrub-dagster", "--dry-run"])
    assert listed.exit_code == 0
    assert all(run in listed.output for run in runs)
    assert MARK not in listed.output
    assert holding(home) == before
    assert CliRunner().invoke(app, ["gdpr", "scrub-dagster"]).exit_code == 0
    assert holding(home) == []
    assert (lake / "gdpr" / "dagster.json").exists()
    with dg.DagsterInstance.get() as instance:
        assert scrub_dagster(instance).records == 0
        event = instance.get_latest_materialization_event(dg.AssetKey("old"))
        kept = event.asset_materialization if event else None
        assert kept
        assert set(kept.metadata) == {"mixpanel_etl/bytes"}
        event = instance.get_latest_materialization_event(dg.AssetKey("present"))
        assert event
        assert event.asset_materialization
        assert "mixpanel_etl/preview" in event.asset_materialization.metadata
        assert all(instance.get_run_by_id(run) for run in runs)
        failure = instance.all_logs(runs[1])
        assert any("500 Internal Server Error" in str(entry) for entry in failure)
    for path in home.rglob("*.db"):
        with sqlite3.connect(path) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
