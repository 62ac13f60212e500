"""The Dagster entry point of the demonstration: everything under `demo/defs`."""

from __future__ import annotations

import warnings
from pathlib import Path

import dagster as dg

from mixpanel_etl.demo import defs as shop_defs

# Dagster warns for every asset and folder: of backfill policies and pools, and of the loading of folders.
for _category in (dg.BetaWarning, dg.PreviewWarning):
    warnings.filterwarnings("ignore", category=_category)


@dg.definitions
def defs() -> dg.Definitions:
    """The shop's definitions."""
    # Not `load_from_defs_folder`: it looks for the pyproject.toml of a project, which an installed package lacks.
    return dg.ComponentTree.from_module(shop_defs, project_root=Path(__file__).parent).build_defs()
