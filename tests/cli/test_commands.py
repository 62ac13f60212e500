"""The commands, as typed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mixpanel_etl.cli import COMMANDS, app
from mixpanel_etl.lake import EventsTable
from mixpanel_etl.sandbox import Fault, Project, Sandbox

from ..conftest import FIRST
from ..lakehouse import assert_equals_store, days_from

DAYS = days_from(FIRST, 10)
RANGE = ["--from", "2026-01-01", "--to", "2026-01-10"]
MODULE = ["--module", "mixpanel_etl.definitions"]


def run(*arguments: str) -> tuple[int, str]:
    """Exit code and all that was printed, unwrapped."""
    result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "500"})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


class TestExport:
    def test_days_land_in_the_lake(self, mixpanel: Sandbox, table: EventsTable) -> None:
        mixpanel.generate(500, DAYS[0], DAYS[-1])
        code, said = run("export", *RANGE)
        assert code == 0
        assert "10 days" in said
        assert_equals_store(table, mixpanel, DAYS)

    def test_filters_and_another_lake(self, mixpanel: Sandbox, tmp_path: Path) -> None:
        mixpanel.generate(500, DAYS[0], DAYS[-1])
        code, _ = run("export", *RANGE, "--event", "page view", "--event", "sign up", "--lake", str(tmp_path / "other"))
        assert code == 0
        assert set(EventsTable(str(tmp_path / "other")).scan().collect()["event_name"]) <= {"page view", "sign up"}

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["--from", "2026-01-10", "--to", "2026-01-01"], "--from 2026-01-10 is after --to 2026-01-01"),
            (["--from", "2026-01-01", "--to", "2999-01-01"], "2999-01-01"),
            (["--from", "1st of May", "--to", "2026-01-01"], "1st of May"),
            ([*RANGE, "--lake", "ftp://host/lake"], "ftp://host/lake"),
        ],
        ids=["order", "future", "no date", "lake"],
    )
    def test_wrong_input_is_told_in_a_sentence(self, mixpanel: Sandbox, arguments: list[str], said: str) -> None:
        code, told = run("export", *arguments)
        assert code != 0
        assert said in told
        assert "Traceback" not in told
        assert not [request for request in mixpanel.requests if request.status == 200]

    def test_what_mixpanel_refuses_is_told_with_its_remedy(self, mixpanel: Sandbox) -> None:
        mixpanel.add_fault(Fault("/export", "unable_to_authenticate"))
        code, told = run("export", *RANGE)
        assert code == 1
        assert "CredentialError" in told
        assert "MIXPANEL_REGION" in told

    def test_without_credentials_the_variables_are_named(
        self, mixpanel: Sandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("SERVICE_ACCOUNT_USERNAME", "SERVICE_ACCOUNT_SECRET", "PROJECT_TOKEN", "OAUTH_TOKEN"):
            monkeypatch.delenv(f"MIXPANEL_{name}")
        code, told = run("export", *RANGE)
        assert code == 1
        assert "MIXPANEL_SERVICE_ACCOUNT_SECRET" in told


class TestBackfill:
    @pytest.fixture(autouse=True)
    def home(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))

    def test_days_are_materialized_and_then_not_missing(self, mixpanel: Sandbox, table: EventsTable) -> None:
        mixpanel.generate(500, DAYS[0], DAYS[-1])
        code, said = run("backfill", *RANGE, *MODULE)
        assert code == 0
        assert "10 days of mixpanel/events in 1 run(s)" in said
        assert_equals_store(table, mixpanel, DAYS)
        code, said = run("backfill", *RANGE, *MODULE, "--missing")
        assert code == 0
        assert "nothing to do" in said

    def test_a_failure_is_told_and_the_exit_code_shows_it(self, mixpanel: Sandbox) -> None:
        mixpanel.add_fault(Fault("/export", "payment_required"))
        code, told = run("backfill", *RANGE, *MODULE)
        assert code == 1
        assert "PlanError" in told

    def test_without_dagster_home_it_says_so(self, mixpanel: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("DAGSTER_HOME")
        code, told = run("backfill", *RANGE, *MODULE)
        assert code == 1
        assert "DAGSTER_HOME" in told


class TestDoctor:
    def test_everything_is_well(self, mixpanel: Sandbox) -> None:
        code, told = run("doctor")
        assert code == 0, told
        assert told.count("ok ") == 8
        assert "identities: Simplified ID Merge" in told
        assert "60 of 60 requests left" in told

    def test_wrong_credentials_clock_and_lake_are_all_told(
        self, mixpanel: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / "file").write_text("in the way")
        monkeypatch.setenv("MIXPANEL_LAKE", str(tmp_path / "file" / "lake"))
        mixpanel.reset([Project(service_account=("sandbox.sa", "another"))])
        code, told = run("doctor")
        assert code == 1
        assert "wrong credentials" in told
        assert "MIXPANEL_REGION" in told
        assert "wrong lake" in told
        assert "another" not in told


def test_every_command_explains_itself() -> None:
    code, told = run("--help")
    assert code == 0
    for command in COMMANDS:
        assert command in told
        assert run(command, "--help")[0] == 0


def test_help_loads_neither_dagster_nor_the_lake() -> None:
    program = (
        "import sys; from mixpanel_etl.cli import app; app(['--help'], standalone_mode=False)\n"
        "print([name for name in ('dagster', 'pyarrow', 'polars', 'duckdb', 'requests') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_an_unknown_project_file_is_told_in_a_sentence(tmp_path: Path) -> None:
    code, told = run("sandbox", "--projects", str(tmp_path / "none.toml"))
    assert code == 1
    assert "none.toml" in told
