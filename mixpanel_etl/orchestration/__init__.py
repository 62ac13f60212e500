"""Dagster: the resources, and the definitions that the components build.

Each component of `mixpanel_etl.components`, the way in for YAML, ends in one of the functions `..._definitions`, which
are the ways in for Python.
"""

from mixpanel_etl.orchestration.annotations import JobAnnotation as JobAnnotation
from mixpanel_etl.orchestration.annotations import annotation_definitions as annotation_definitions
from mixpanel_etl.orchestration.catalogue import Catalogue as Catalogue
from mixpanel_etl.orchestration.catalogue import catalogue_definitions as catalogue_definitions
from mixpanel_etl.orchestration.cohorts import Cohorts as Cohorts
from mixpanel_etl.orchestration.cohorts import cohort_definitions as cohort_definitions
from mixpanel_etl.orchestration.definitions import export_definitions as export_definitions
from mixpanel_etl.orchestration.export import Export as Export
from mixpanel_etl.orchestration.gdpr import Gdpr as Gdpr
from mixpanel_etl.orchestration.gdpr import gdpr_definitions as gdpr_definitions
from mixpanel_etl.orchestration.lexicon import LexiconSync as LexiconSync
from mixpanel_etl.orchestration.lexicon import lexicon_definitions as lexicon_definitions
from mixpanel_etl.orchestration.profiles import Profiles as Profiles
from mixpanel_etl.orchestration.profiles import profile_definitions as profile_definitions
from mixpanel_etl.orchestration.pushes import PushAsset as PushAsset
from mixpanel_etl.orchestration.pushes import Pushes as Pushes
from mixpanel_etl.orchestration.pushes import push_definitions as push_definitions
from mixpanel_etl.orchestration.report_definitions import report_definitions as report_definitions
from mixpanel_etl.orchestration.reports import NamedReport as NamedReport
from mixpanel_etl.orchestration.reports import Reports as Reports
from mixpanel_etl.orchestration.resource import MixpanelResource as MixpanelResource
from mixpanel_etl.orchestration.typed_definitions import typed_events_definitions as typed_events_definitions
from mixpanel_etl.orchestration.typed_events import TypedEvent as TypedEvent
from mixpanel_etl.orchestration.typed_events import TypedEvents as TypedEvents
from mixpanel_etl.orchestration.warehouse import WarehouseResource as WarehouseResource
from mixpanel_etl.orchestration.warehouse_sync import SyncedImport as SyncedImport
from mixpanel_etl.orchestration.warehouse_sync import WarehouseSync as WarehouseSync
from mixpanel_etl.orchestration.warehouse_sync import warehouse_sync_definitions as warehouse_sync_definitions
