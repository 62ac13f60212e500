"""What a Dagster project needs for this package: settings of its instance, of its environment, a first component.

Files that exist are not changed. Of an existing `dagster.yaml` the missing settings are named.
"""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

_FILES = Path(__file__).parent
#: Settings of a Dagster instance: run queue, pools, monitoring, retries, retention.
DAGSTER_YAML = _FILES / "dagster.yaml"
#: Sections of it that the package's safety rests on: without them pools have no limit, and the run of a killed process
#: keeps its place in the pool.
NEEDED = ("concurrency", "run_monitoring", "run_retries")


class Step(NamedTuple):
    """One file of `init`.

    Attributes:
        path: where it is.
        written: whether it was written; a file that exists is left as it is.
    """

    path: Path
    written: bool


def init(project: Path, dagster_home: Path) -> list[Step]:
    """Write what a Dagster project lacks.

    Args:
        project: folder with the project's `pyproject.toml`.
        dagster_home: folder of the Dagster instance, `$DAGSTER_HOME`.

    Returns:
        `dagster.yaml`, `.env.example` and the `defs.yaml` of an export, each written or left as it was.

    Raises:
        FileNotFoundError: the folder has no `pyproject.toml` with a `[tool.dg.project]`.
    """
    modules = project_modules(project)
    sources = project / "src" if (project / "src").is_dir() else project
    defs = sources.joinpath(*modules["defs"].split("."))
    return [
        _write(DAGSTER_YAML, dagster_home / "dagster.yaml"),
        _write(_FILES / "env.example", project / ".env.example"),
        _write(_FILES / "defs.yaml", defs / "mixpanel" / "defs.yaml"),
    ]


def project_modules(project: Path) -> Mapping[str, str]:
    """Name the Python modules of a Dagster project, as the `[tool.dg.project]` of its `pyproject.toml` does.

    Returns:
        `definitions`, the module with the definitions, and `defs`, the package of the YAML files.

    Raises:
        FileNotFoundError: the folder has no such project.
    """
    file = project / "pyproject.toml"
    content = tomllib.loads(file.read_text("utf-8")) if file.exists() else {}
    declared = content.get("tool", {}).get("dg", {}).get("project", {})
    root = declared.get("root_module")
    if not root:
        raise FileNotFoundError(
            f"{file} has no [tool.dg.project] with a root_module: change to the folder of your Dagster project; "
            "`uvx create-dagster@latest project NAME` creates one"
        )
    return {
        "definitions": declared.get("code_location_target_module") or f"{root}.definitions",
        "defs": declared.get("defs_module") or f"{root}.defs",
    }


def missing_settings(dagster_yaml: Path) -> dict[str, Any]:
    """The settings of `NEEDED` that a `dagster.yaml` does not have, in the same form."""
    import yaml

    wanted, present = yaml.safe_load(DAGSTER_YAML.read_text("utf-8")), yaml.safe_load(dagster_yaml.read_text("utf-8"))
    return _lacking({name: wanted[name] for name in NEEDED}, present or {})


def _lacking(wanted: Mapping[str, Any], present: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in wanted.items():
        there = present.get(name)
        if there is None:
            found[name] = value
        elif isinstance(value, Mapping) and isinstance(there, Mapping) and (lacking := _lacking(value, there)):
            found[name] = lacking
    return found


def _write(source: Path, target: Path) -> Step:
    if target.exists():
        return Step(target, written=False)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)
    return Step(target, written=True)
