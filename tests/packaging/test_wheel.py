"""The wheel, installed where nothing else of this repository is: what it holds, and that it works."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import pytest

from mixpanel_etl.lake import EventsTable
from mixpanel_etl.sandbox import Sandbox

from ..conftest import FIRST
from ..lakehouse import assert_equals_store, days_from
from .project import make_project

REPOSITORY = Path(__file__).parents[2]
DAYS = days_from(FIRST, 3)
RANGE = ("--from", str(DAYS[0]), "--to", str(DAYS[-1]))

Run = Callable[..., str]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    program = f"from hatchling.build import build_wheel; build_wheel({str(folder)!r})"
    subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, check=True, capture_output=True)
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of a new environment with the wheel, which finds everything else in the environment of the tests."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    executable = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(executable), "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", "--no-index", "--no-deps", str(wheel)], check=True)
    (site_packages,) = folder.glob("lib/python*/site-packages")
    (site_packages / "tests.pth").write_text(sysconfig.get_path("purelib"))
    return executable


@pytest.fixture
def run(python: Path, mixpanel: Sandbox, tmp_path: Path) -> Run:
    """Run a program of the new environment in a Dagster project; what it printed."""
    project = make_project(tmp_path / "shop")

    def run(*command: str) -> str:
        program, *arguments = command
        variables = {**os.environ, "DAGSTER_HOME": str(project / "dagster_home"), "PYTHONPATH": str(project / "src")}
        done = subprocess.run(
            [str(python.parent / program), *arguments],
            cwd=project,
            env={**variables, "PATH": str(python.parent)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_the_wheel_holds_the_library_and_not_this_deployment(wheel: Path) -> None:
    names = ZipFile(wheel).namelist()
    assert "mixpanel_etl/lake/statements/segmentation.sql" in names
    assert "mixpanel_etl/expressions/grammar.lark" in names
    assert "mixpanel_etl/demo/defs/pushes/orders.sql" in names
    assert "mixpanel_etl/init/dagster.yaml" in names
    assert "mixpanel_etl/py.typed" in names
    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == {"mixpanel_etl"}
    ours = ("mixpanel_etl/defs", "mixpanel_etl/definitions.py", "mixpanel_etl/sql")
    assert not [name for name in names if name.startswith(ours) or name.endswith("/requests.sql") or "/test_" in name]


def test_a_foreign_project_exports_and_materializes(
    run: Run, python: Path, mixpanel: Sandbox, table: EventsTable
) -> None:
    mixpanel.generate(300, DAYS[0], DAYS[-1])
    assert "site-packages" in run("python", "-c", "import mixpanel_etl; print(mixpanel_etl.__file__)")
    assert "external-tables" in run("mixpanel-etl", "--help")
    assert "3 days" in run("mixpanel-etl", "export", *RANGE)
    assert_equals_store(table, mixpanel, DAYS)
    run("mixpanel-etl", "init")
    dg = "from dagster_dg_cli.cli import main; main()"
    checked = run("python", "-W", "ignore", "-c", dg, "check", "defs")
    assert "All component YAML validated successfully" in checked
    assert "All definitions loaded successfully" in checked
    assert "done" in run("mixpanel-etl", "backfill", *RANGE)
    (sql, *_) = run("mixpanel-etl", "sql", "--format", "csv", "SELECT count(*) FROM events").splitlines()[1:]
    assert int(sql) == table.scan().collect().height
