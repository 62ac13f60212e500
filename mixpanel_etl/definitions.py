"""The Dagster entry point: everything under `defs/`."""

from __future__ import annotations

import warnings
from pathlib import Path
from types import ModuleType

import dagster as dg

from mixpanel_etl import defs as project_defs

# Backfill policies and pools have been in beta for years, the loading of folders in preview, and Dagster says so for
# every asset and folder.
for _category in (dg.BetaWarning, dg.PreviewWarning):
    warnings.filterwarnings("ignore", category=_category)


@dg.definitions
def defs() -> dg.Definitions:
    """This project's definitions, from the YAML files under `mixpanel_etl/defs`."""
    return definitions_under(project_defs)


def definitions_under(folder: ModuleType) -> dg.Definitions:
    """The definitions of all YAML files under a package's folder, in a clone or an installed package."""
    # Not `load_from_defs_folder`: it wants the clone's pyproject.toml, which an installed package does not have.
    return dg.ComponentTree.from_module(folder, project_root=Path(__file__).parents[1]).build_defs()
