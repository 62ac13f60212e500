"""A Dagster project as `create-dagster` makes it."""

from __future__ import annotations

from pathlib import Path

_PYPROJECT = """\
[project]
name = "shop"
version = "0.1.0"
requires-python = ">=3.11"
dependencies = ["dagster"]

[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[tool.dg]
directory_type = "project"

[tool.dg.project]
root_module = "shop"
"""
_DEFINITIONS = """\
from pathlib import Path

from dagster import definitions, load_from_defs_folder


@definitions
def defs():
    return load_from_defs_folder(path_within_project=Path(__file__).parent)
"""


def make_project(folder: Path) -> Path:
    """Write a project with the package `shop` and no definitions; its folder."""
    defs = folder / "src" / "shop" / "defs"
    defs.mkdir(parents=True)
    (folder / "pyproject.toml").write_text(_PYPROJECT)
    (defs.parent / "__init__.py").touch()
    (defs.parent / "definitions.py").write_text(_DEFINITIONS)
    (defs / "__init__.py").touch()
    return folder
