"""Dagster: the resource, and the definitions that the components build.

`export_definitions` is the way in for Python; the component `mixpanel_etl.MixpanelExport` is the one for YAML.
"""

from mixpanel_etl.orchestration.annotations import JobAnnotation as JobAnnotation
from mixpanel_etl.orchestration.annotations import annotation_definitions as annotation_definitions
from mixpanel_etl.orchestration.definitions import export_definitions as export_definitions
from mixpanel_etl.orchestration.export import Export as Export
from mixpanel_etl.orchestration.lexicon import LexiconSync as LexiconSync
from mixpanel_etl.orchestration.lexicon import lexicon_definitions as lexicon_definitions
from mixpanel_etl.orchestration.report_definitions import report_definitions as report_definitions
from mixpanel_etl.orchestration.reports import NamedReport as NamedReport
from mixpanel_etl.orchestration.reports import Reports as Reports
from mixpanel_etl.orchestration.resource import MixpanelResource as MixpanelResource
from mixpanel_etl.orchestration.typed_definitions import typed_events_definitions as typed_events_definitions
from mixpanel_etl.orchestration.typed_events import TypedEvent as TypedEvent
from mixpanel_etl.orchestration.typed_events import TypedEvents as TypedEvents
from mixpanel_etl.orchestration.warehouse import WarehouseResource as WarehouseResource
