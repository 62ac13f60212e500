"""Dagster: a folder per feature (component, assets, checks, schedules, sensors), and what they share."""

from mixpanel_etl.extras import require

require("dagster")
