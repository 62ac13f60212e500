"""Mixpanel over HTTP, typed. Knows no Dagster, no Parquet, no SQL.

    with Mixpanel(Settings.load()) as mixpanel:
        with mixpanel.export("2026-01-01", "2026-01-31") as stream:
            for chunk in stream:
                ...
        mixpanel.query.segmentation("Purchase", "2026-01-01", "2026-01-31", on='properties["plan"]')

Every operation is in docs/reference.md. The types of its parameters and replies are here.
"""

from mixpanel_etl.client.annotations import Annotation, Annotations, AnnotationTag, AnnotationUser
from mixpanel_etl.client.app import Me
from mixpanel_etl.client.errors import (
    BadRequest,
    BatchRejected,
    BudgetExhausted,
    BudgetUnavailable,
    ConnectionFailed,
    CredentialError,
    DeadlineExceeded,
    FailedRecord,
    FutureDate,
    IncompleteResponse,
    InvalidRequest,
    MixpanelError,
    NotFound,
    PayloadTooLarge,
    PermissionDenied,
    PlanError,
    RateLimited,
    RecordsRejected,
    ReplyError,
    ReplyTooLarge,
    ServerError,
    WrongCredentialKind,
)
from mixpanel_etl.client.experiments import Experiment, ExperimentChanges, Experiments
from mixpanel_etl.client.feature_flags.api import FeatureFlags
from mixpanel_etl.client.feature_flags.definitions import (
    Flag,
    FlagRollout,
    FlagRuleSet,
    FlagStatus,
    FlagTesters,
    FlagVariant,
    FlagVariantOverride,
    NewFlag,
    SelectedVariant,
    ServingMethod,
)
from mixpanel_etl.client.gdpr import ComplianceType, Deletion, DisclosureType, Gdpr, Retrieval
from mixpanel_etl.client.http.gunzip import gunzip
from mixpanel_etl.client.http.response import Response
from mixpanel_etl.client.http.transport import RawReply, Timeouts
from mixpanel_etl.client.http.waiting import Clock, Wait
from mixpanel_etl.client.identity import Identity, IdMerge, Link
from mixpanel_etl.client.ingestion.api import Imported, Ingestion, LookupTable
from mixpanel_etl.client.ingestion.events import Event
from mixpanel_etl.client.ingestion.profile_updates import GroupUpdate, Operator, UserUpdate
from mixpanel_etl.client.lexicon import (
    CreatedSchemas,
    EntityType,
    Lexicon,
    PropertyType,
    Schema,
    SchemaEntry,
    SchemaMetadata,
    SchemaProperty,
    VendorMetadata,
)
from mixpanel_etl.client.limits.budget import Usage
from mixpanel_etl.client.mixpanel import Mixpanel
from mixpanel_etl.client.operations.parameters import Day
from mixpanel_etl.client.operations.replies import Reply
from mixpanel_etl.client.pipelines.api import CreatedPipelines, DaySync, PipelineJob, Pipelines, PipelineTask, TaskState
from mixpanel_etl.client.pipelines.types import (
    AwsPipeline,
    AzureBlobPipeline,
    AzureRawPipeline,
    BigQueryPipeline,
    GcsRawPipeline,
    GcsSchemaPipeline,
    Pipeline,
    PipelineChanges,
    PipelineFrequency,
    S3RawPipeline,
    SchematizedPipeline,
    SnowflakePipeline,
)
from mixpanel_etl.client.query.api import Query
from mixpanel_etl.client.query.events import EventCounts, TopEvent, TopEvents
from mixpanel_etl.client.query.funnels import Funnel, FunnelAnalysis, FunnelDay, FunnelStep, SavedFunnel
from mixpanel_etl.client.query.parameters import Counting, Interval, LengthUnit, NumericUnit, RetentionType, Unit
from mixpanel_etl.client.query.profiles import Arrived, Profile, ProfilePage
from mixpanel_etl.client.query.retention import Addiction, Retention, RetentionCohort
from mixpanel_etl.client.query.saved import Cohort, DateRange, Insights
from mixpanel_etl.client.query.segmentation import NumericResults, Segmentation
from mixpanel_etl.client.query.stream import StreamEvent
from mixpanel_etl.client.service_accounts import (
    NewServiceAccount,
    ProjectMember,
    ProjectRole,
    Role,
    ServiceAccount,
    ServiceAccounts,
)
from mixpanel_etl.client.warehouse_connectors import (
    ImportRun,
    ResourceType,
    RunEvery,
    SyncMode,
    WarehouseConnectors,
    WarehouseImport,
)

__all__ = [
    "Addiction",
    "Annotation",
    "AnnotationTag",
    "AnnotationUser",
    "Annotations",
    "Arrived",
    "AwsPipeline",
    "AzureBlobPipeline",
    "AzureRawPipeline",
    "BadRequest",
    "BatchRejected",
    "BigQueryPipeline",
    "BudgetExhausted",
    "BudgetUnavailable",
    "Clock",
    "Cohort",
    "ComplianceType",
    "ConnectionFailed",
    "Counting",
    "CreatedPipelines",
    "CreatedSchemas",
    "CredentialError",
    "DateRange",
    "Day",
    "DaySync",
    "DeadlineExceeded",
    "Deletion",
    "DisclosureType",
    "EntityType",
    "Event",
    "EventCounts",
    "Experiment",
    "ExperimentChanges",
    "Experiments",
    "FailedRecord",
    "FeatureFlags",
    "Flag",
    "FlagRollout",
    "FlagRuleSet",
    "FlagStatus",
    "FlagTesters",
    "FlagVariant",
    "FlagVariantOverride",
    "Funnel",
    "FunnelAnalysis",
    "FunnelDay",
    "FunnelStep",
    "FutureDate",
    "GcsRawPipeline",
    "GcsSchemaPipeline",
    "Gdpr",
    "GroupUpdate",
    "IdMerge",
    "Identity",
    "ImportRun",
    "Imported",
    "IncompleteResponse",
    "Ingestion",
    "Insights",
    "Interval",
    "InvalidRequest",
    "LengthUnit",
    "Lexicon",
    "Link",
    "LookupTable",
    "Me",
    "Mixpanel",
    "MixpanelError",
    "NewFlag",
    "NewServiceAccount",
    "NotFound",
    "NumericResults",
    "NumericUnit",
    "Operator",
    "PayloadTooLarge",
    "PermissionDenied",
    "Pipeline",
    "PipelineChanges",
    "PipelineFrequency",
    "PipelineJob",
    "PipelineTask",
    "Pipelines",
    "PlanError",
    "Profile",
    "ProfilePage",
    "ProjectMember",
    "ProjectRole",
    "PropertyType",
    "Query",
    "RateLimited",
    "RawReply",
    "RecordsRejected",
    "Reply",
    "ReplyError",
    "ReplyTooLarge",
    "ResourceType",
    "Response",
    "Retention",
    "RetentionCohort",
    "RetentionType",
    "Retrieval",
    "Role",
    "RunEvery",
    "S3RawPipeline",
    "SavedFunnel",
    "Schema",
    "SchemaEntry",
    "SchemaMetadata",
    "SchemaProperty",
    "SchematizedPipeline",
    "Segmentation",
    "SelectedVariant",
    "ServerError",
    "ServiceAccount",
    "ServiceAccounts",
    "ServingMethod",
    "SnowflakePipeline",
    "StreamEvent",
    "SyncMode",
    "TaskState",
    "Timeouts",
    "TopEvent",
    "TopEvents",
    "Unit",
    "Usage",
    "UserUpdate",
    "VendorMetadata",
    "Wait",
    "WarehouseConnectors",
    "WarehouseImport",
    "WrongCredentialKind",
    "gunzip",
]
