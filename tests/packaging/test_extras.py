"""Who wants only the client or only the sandbox installs, and loads, nothing else; a missing extra is named."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import packages_distributions, requires

import pytest

from mixpanel_etl.extras import EXTRAS

HEAVY = ("dagster", "pyarrow", "polars", "duckdb", "s3fs", "sqlglot", "starlette", "uvicorn", "numpy")
DAGSTER, LAKE = ("dagster",), ("polars", "pyarrow")


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=False, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("statement", "allowed"),
    [
        ("import mixpanel_etl", set()),
        ("import mixpanel_etl.client", set()),
        ("import mixpanel_etl.sandbox", set()),
        ("import mixpanel_etl.sandbox.pytest_plugin", set()),
        ("from mixpanel_etl.sandbox import Sandbox", {"pyarrow", "duckdb", "starlette", "uvicorn", "numpy"}),
        ("import mixpanel_etl.lake", {"pyarrow", "numpy"}),
    ],
)
def test_an_import_loads_only_what_it_needs(statement: str, allowed: set[str]) -> None:
    done = run(f"import sys; {statement}; print(*[name for name in {HEAVY} if name in sys.modules])")
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) <= allowed


@pytest.mark.parametrize(
    ("statement", "missing", "extra"),
    [
        ("from mixpanel_etl import MixpanelExport", DAGSTER, "dagster"),
        ("from mixpanel_etl import Lake", LAKE, "lake"),
        ("import mixpanel_etl.lake", LAKE, "lake"),
        ("import mixpanel_etl.push.event_mapping", LAKE, "lake"),
        ("from mixpanel_etl.sandbox import Sandbox", ("starlette",), "sandbox"),
        ("from mixpanel_etl.cli import app; app(['backfill', '--help'])", DAGSTER, "dagster"),
        ("from mixpanel_etl.cli import app; app(['sql', '--help'])", LAKE, "lake"),
        ("from mixpanel_etl.cli import app; app(['sandbox'])", ("starlette",), "sandbox"),
    ],
)
def test_a_missing_extra_is_named(statement: str, missing: tuple[str, ...], extra: str) -> None:
    done = run(f"import sys; sys.modules.update(dict.fromkeys({missing})); {statement}")
    assert done.returncode == 1
    assert f"pip install 'mixpanel_etl[{extra}]'" in done.stderr
    assert all(name in done.stderr for name in missing)


@pytest.mark.parametrize("command", ["--help", "sandbox --help", "doctor --help", "export --help"])
def test_help_needs_no_dagster(command: str) -> None:
    done = run(f"import sys; sys.modules['dagster'] = None; from mixpanel_etl.cli import app; app({command.split()})")
    assert done.returncode == 0, done.stderr
    assert "Usage: " in done.stdout


def test_the_extras_bring_the_modules_that_are_looked_for() -> None:
    for extra, modules in EXTRAS.items():
        brought = {
            re.split(r"[^\w.-]", line)[0].lower()
            for line in requires("mixpanel_etl") or ()
            if f'extra == "{extra}"' in line.replace("'", '"')
        }
        distributions = packages_distributions()
        needed = (*modules, *EXTRAS["lake"]) if extra == "dagster" else modules
        assert {name.lower() for module in needed for name in distributions[module]} == brought
