"""Syncs of Mixpanel's warehouse connectors, triggered by the API and followed to their end. Knows no Dagster."""

from mixpanel_etl.extras import require

require("lake")
