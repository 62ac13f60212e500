"""`mixpanel-etl init` in a Dagster project: writes what is missing, changes nothing that is there."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from mixpanel_etl.cli import app

from .project import make_project

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = make_project(tmp_path / "shop")
    monkeypatch.chdir(folder)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    return folder


def init() -> tuple[int, str]:
    result = CliRunner().invoke(app, ["init"], env={"COLUMNS": "500"})
    return result.exit_code, result.output


def files(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_it_writes_the_instance_the_environment_and_a_first_component(project: Path) -> None:
    before = files(project)
    code, said = init()
    assert code == 0, said
    written = {name: content for name, content in files(project).items() if name not in before}
    assert written.keys() == {"dagster_home/dagster.yaml", ".env.example", "src/shop/defs/mixpanel/defs.yaml"}
    assert all(f"wrote {name}" in said for name in written)
    assert f"export DAGSTER_HOME={project}/dagster_home" in said
    assert yaml.safe_load(written["src/shop/defs/mixpanel/defs.yaml"])["type"] == "mixpanel_etl.MixpanelExport"
    # What this repository itself runs with.
    assert written["dagster_home/dagster.yaml"] == (REPOSITORY / "dagster_home/dagster.yaml").read_text()
    assert written[".env.example"] == (REPOSITORY / ".env.example").read_text()


def test_a_second_time_changes_nothing(project: Path) -> None:
    init()
    (project / ".env.example").write_text("MIXPANEL_REGION=eu\n")
    before = files(project)
    code, said = init()
    assert code == 0
    assert files(project) == before
    assert said.count("skipped ") == 3
    assert "Add these lines" not in said


def test_lines_that_an_existing_dagster_yaml_lacks_are_shown(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = project.parent / "home"
    home.mkdir()
    ours = "concurrency: {pools: {default_limit: null}}\nrun_monitoring: {enabled: true}\n"
    (home / "dagster.yaml").write_text(ours)
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    code, said = init()
    assert code == 0
    assert (home / "dagster.yaml").read_text() == ours
    assert not (project / "dagster_home").exists()
    lines = yaml.safe_load(said.partition("keeps its place in the pool:")[2].partition("Next:")[0])
    assert lines["concurrency"] == {
        "runs": {"max_concurrent_runs": 4},
        "pools": {"default_limit": 1, "granularity": "op"},
    }
    assert lines["run_monitoring"]["free_slots_after_run_end_seconds"] == 60
    assert "enabled" not in lines["run_monitoring"]
    assert lines["run_retries"]["retry_on_asset_or_op_failure"] is False


def test_a_folder_without_a_dagster_project_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, said = init()
    assert code == 1
    assert "pyproject.toml has no [tool.dg.project]" in said
    assert files(tmp_path) == {}
