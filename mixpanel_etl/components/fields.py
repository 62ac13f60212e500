"""Attributes that several components have."""

from pathlib import Path
from typing import Annotated

import dagster as dg

from mixpanel_etl.lake import ConfigurationError

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


def read_sql(name: str, folder: Path) -> str:
    """The text of a SQL file that YAML names.

    Args:
        name: a path; a relative one is looked for beside the `defs.yaml`, then in every folder above it.
        folder: of the `defs.yaml`.

    Raises:
        ConfigurationError: it is nowhere there.
    """
    for place in (folder, *folder.resolve().parents):
        if (place / name).is_file():
            return (place / name).read_text()
    raise ConfigurationError(f"{name}: there is no such file in {folder} or in a folder above it")
