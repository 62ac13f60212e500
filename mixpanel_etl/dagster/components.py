"""The package's Dagster Components: the way in for YAML."""

from mixpanel_etl.dagster.annotations.component import MixpanelAnnotations
from mixpanel_etl.dagster.catalogue.component import MixpanelCatalogue
from mixpanel_etl.dagster.cohorts.component import MixpanelCohorts
from mixpanel_etl.dagster.connectors.component import MixpanelConnectors
from mixpanel_etl.dagster.export.component import MixpanelExport
from mixpanel_etl.dagster.gdpr.component import MixpanelGdpr
from mixpanel_etl.dagster.lexicon.component import MixpanelLexicon
from mixpanel_etl.dagster.profiles.component import MixpanelProfiles
from mixpanel_etl.dagster.push.component import MixpanelPush
from mixpanel_etl.dagster.reports.component import MixpanelReports
from mixpanel_etl.dagster.typed_events.component import MixpanelTypedEvents

__all__ = [
    "MixpanelAnnotations",
    "MixpanelCatalogue",
    "MixpanelCohorts",
    "MixpanelConnectors",
    "MixpanelExport",
    "MixpanelGdpr",
    "MixpanelLexicon",
    "MixpanelProfiles",
    "MixpanelPush",
    "MixpanelReports",
    "MixpanelTypedEvents",
]
