"""This repository's Dagster entry point: everything under `defs/`. Not in the wheel, like `defs/` itself."""

from __future__ import annotations

import warnings
from pathlib import Path

import dagster as dg

# Backfill policies and pools have been in beta for years, the loading of folders in preview, and Dagster says so for
# every asset and folder.
for _category in (dg.BetaWarning, dg.PreviewWarning):
    warnings.filterwarnings("ignore", category=_category)


@dg.definitions
def defs() -> dg.Definitions:
    """This project's definitions, from the YAML files under `mixpanel_etl/defs`."""
    return dg.load_from_defs_folder(path_within_project=Path(__file__))
