"""Warehouse rows into Mixpanel: SQL in; events, profiles, groups and lookup tables out. Knows no Dagster."""

from mixpanel_etl.extras import require

require("lake")
