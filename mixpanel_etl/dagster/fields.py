"""Attributes that several components have."""

import re
from datetime import date
from pathlib import Path
from typing import Annotated

import dagster as dg

from mixpanel_etl.lake import ColumnType, ConfigurationError

EnvPrefix = Annotated[
    str,
    dg.Resolver.default(
        description="What the project's environment variables begin with; another project has another.",
        examples=["MIXPANEL_EU_"],
    ),
]
Lake = Annotated[
    str | None, dg.Resolver.default(description="Path or s3:// URI; by default the variable MIXPANEL_LAKE.")
]
StartDate = Annotated[
    str | None,
    dg.Resolver.default(description="First day, YYYY-MM-DD; by default the variable MIXPANEL_START_DATE."),
]
TakeAt = Annotated[str, dg.Resolver.default(description="Cron expression of the schedule, in project time.")]


class Column(dg.Model, dg.Resolvable):
    """A property with a typed column of its own."""

    property: str
    type: ColumnType
    name: str = ""


def first_day(start_date: str | None) -> date | None:
    """The day that `start_date` names.

    Raises:
        ConfigurationError: it names none.
    """
    try:
        return date.fromisoformat(start_date) if start_date else None
    except ValueError:
        raise ConfigurationError(f"start_date {start_date!r} is no date; write it as YYYY-MM-DD") from None


def identifier(folder: Path) -> str:
    """What jobs and schedules of the YAML in a folder are called after."""
    return re.sub(r"\W", "_", folder.stem if folder.suffix else folder.name)


def read_sql(name: str, folder: Path) -> str:
    """Read an SQL file that YAML names.

    Args:
        name: a path; a relative one is looked for beside the `defs.yaml`, then in every folder above it.
        folder: of the `defs.yaml`.

    Raises:
        ConfigurationError: the file is in none of these folders.
    """
    for place in (folder, *folder.resolve().parents):
        if (place / name).is_file():
            return (place / name).read_text()
    raise ConfigurationError(f"SQL file {name} not found in {folder} or in a folder above it")
