"""The package's Dagster Components: the way in for YAML."""

from mixpanel_etl.components.annotation import MixpanelAnnotation as MixpanelAnnotation
from mixpanel_etl.components.catalogue import MixpanelCatalogue as MixpanelCatalogue
from mixpanel_etl.components.export import MixpanelExport as MixpanelExport
from mixpanel_etl.components.gdpr import MixpanelGdpr as MixpanelGdpr
from mixpanel_etl.components.lexicon import MixpanelLexicon as MixpanelLexicon
from mixpanel_etl.components.profiles import MixpanelCohorts as MixpanelCohorts
from mixpanel_etl.components.profiles import MixpanelProfiles as MixpanelProfiles
from mixpanel_etl.components.push import MixpanelPush as MixpanelPush
from mixpanel_etl.components.reports import MixpanelReports as MixpanelReports
from mixpanel_etl.components.typed_events import MixpanelTypedEvents as MixpanelTypedEvents
from mixpanel_etl.components.warehouse_sync import MixpanelWarehouseSync as MixpanelWarehouseSync
