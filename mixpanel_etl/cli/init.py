"""`mixpanel-etl init`: what a Dagster project needs, written into it."""

from __future__ import annotations

import os
from pathlib import Path

from mixpanel_etl.cli.shared import console, exit_on_error
from mixpanel_etl.extras import require
from mixpanel_etl.init import init as write_files
from mixpanel_etl.init import missing_settings


def init() -> None:
    """Write what the Dagster project in this folder needs; nothing that exists is changed.

    `dagster.yaml` of the instance (in DAGSTER_HOME; `dagster_home` here if that is not set) with pools, run
    monitoring and retries; `.env.example`; and `mixpanel/defs.yaml` among the project's definitions.
    """
    with exit_on_error():
        require("dagster")
        home = Path(os.environ.get("DAGSTER_HOME") or "dagster_home").absolute()
        steps = write_files(Path.cwd(), home)
        for step in steps:
            _print(f"wrote {_shown(step.path)}" if step.written else f"skipped {_shown(step.path)}: exists")
        if not steps[0].written and (missing := missing_settings(steps[0].path)):
            import yaml

            _print(f"\nAdd these lines to {_shown(steps[0].path)}. Without them, pools have no limit, or the run of a")
            _print("killed process keeps its place in the pool:\n")
            _print(yaml.safe_dump(missing, sort_keys=False).rstrip())
    _print("\nNext: copy .env.example to .env and fill it in, then")
    if not os.environ.get("DAGSTER_HOME"):
        _print(f"  export DAGSTER_HOME={home}")
    _print("  mixpanel-etl doctor\n  dg check defs && dg dev")


def _shown(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _print(line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)
