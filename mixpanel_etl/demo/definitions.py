"""The Dagster entry point of what only fits the sandbox's shop: everything under `demo/defs`."""

from __future__ import annotations

from pathlib import Path

import dagster as dg


@dg.definitions
def defs() -> dg.Definitions:
    """The shop's definitions: a code location of its own, beside that of `mixpanel_etl.definitions`."""
    return dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
