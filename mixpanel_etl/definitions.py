"""The Dagster entry point: everything under `defs/`."""

from __future__ import annotations

import warnings
from pathlib import Path

import dagster as dg

# Backfill policies and pools have been in beta for years, and Dagster says so for every asset.
warnings.filterwarnings("ignore", category=dg.BetaWarning)


@dg.definitions
def defs() -> dg.Definitions:
    """This project's definitions, from the YAML files under `mixpanel_etl/defs`."""
    return dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
