"""The package's Dagster Components: the way in for YAML."""

from mixpanel_etl.components.export import MixpanelExport as MixpanelExport
