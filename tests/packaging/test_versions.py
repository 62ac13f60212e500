"""The pages on versions say what the package does."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import mixpanel_etl
from mixpanel_etl.formats import BUDGET_FORMAT, LAKE_FORMAT, LEDGER_FORMAT

REPOSITORY = Path(__file__).parents[2]
COMPATIBILITY = (REPOSITORY / "docs" / "compatibility.md").read_text("utf-8")
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]


def test_the_changelog_begins_with_this_version() -> None:
    changes = (REPOSITORY / "CHANGELOG.md").read_text("utf-8")
    assert re.findall(r"^## (\S+)", changes, flags=re.MULTILINE)[0] == mixpanel_etl.__version__ == PROJECT["version"]


def test_the_formats_are_those_of_the_package() -> None:
    table = re.findall(r"^\| (layout of the lake|ledger|budget)\b.* \| (\d+) \|$", COMPATIBILITY, flags=re.MULTILINE)
    versions = {"layout of the lake": LAKE_FORMAT, "ledger": LEDGER_FORMAT, "budget": BUDGET_FORMAT}
    assert len(table) == 5
    assert all(versions[name] == int(version) for name, version in table)


def test_the_supported_versions_are_those_of_the_dependencies() -> None:
    (dagster,) = (line for line in PROJECT["optional-dependencies"]["dagster"] if line.startswith("dagster"))
    assert f"`{dagster.removeprefix('dagster')}`" in COMPATIBILITY
    assert f"| Python | {PROJECT['requires-python'].removeprefix('>=')} and newer |" in COMPATIBILITY
