"""What the commands have in common: dates, errors without tracebacks, progress."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from mixpanel_etl.client import Wait
from mixpanel_etl.errors import EXPECTED_ERRORS
from mixpanel_etl.init import project_modules

console = Console()
errors = Console(stderr=True)

DATES = ["%Y-%m-%d"]
FromDate = Annotated[datetime, typer.Option("--from", formats=DATES, help="First day, YYYY-MM-DD.")]
ToDate = Annotated[datetime, typer.Option("--to", formats=DATES, help="Last day, included.")]


def use_dagster_home() -> None:
    """Without DAGSTER_HOME, the `dagster_home` of a clone of this repository is the instance, if this is one."""
    home = Path("dagster_home").absolute()
    if (home / "dagster.yaml").exists():
        os.environ.setdefault("DAGSTER_HOME", str(home))


def project_module(part: Literal["definitions", "defs"]) -> str:
    """Name a Python module of the Dagster project in the working directory.

    Raises:
        FileNotFoundError: the working directory has no such project.
    """
    return project_modules(Path.cwd())[part]


def waits(wait: Wait) -> None:
    """Says what we wait for."""
    until = f" until {wait.until:%H:%M:%S} UTC" if wait.until else ""
    errors.print(f"waiting{until}: {wait.reason}", highlight=False)


@contextmanager
def exit_on_error() -> Iterator[None]:
    """Prints an expected error in one sentence and exits with code 1; a bug keeps its traceback."""
    try:
        yield
    except EXPECTED_ERRORS as error:
        errors.print(f"[bold red]{type(error).__name__}[/]: ", end="")
        errors.print(str(error), markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(1) from None
