"""The Dagster entry point of what only fits the sandbox's shop: everything under `demo/defs`."""

from __future__ import annotations

import dagster as dg

from mixpanel_etl.definitions import definitions_under
from mixpanel_etl.demo import defs as shop_defs


@dg.definitions
def defs() -> dg.Definitions:
    """The shop's definitions: a code location of its own, beside that of `mixpanel_etl.definitions`."""
    return definitions_under(shop_defs)
