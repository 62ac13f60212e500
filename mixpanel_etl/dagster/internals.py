"""Everything that is imported from Dagster's private modules, in one place: ruff bans them everywhere else.

The pin on Dagster in `pyproject.toml` is as narrow as these names ask for.
"""

from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationTargetMaterializationData,
)
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.storage.dagster_run import FINISHED_STATUSES, RunRecord
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable, AssetKeyTable, SqlEventLogStorageTable
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._core.storage.partition_status_cache import AssetPartitionStatus
from dagster._core.storage.schedules.schema import InstigatorsTable, JobTable, JobTickTable
from dagster._core.storage.schedules.sql_schedule_storage import SqlScheduleStorage
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    BACKFILL_ID_TAG,
    PARTITION_NAME_TAG,
)
from dagster._core.utils import make_new_backfill_id
from dagster._utils.schedules import cron_string_iterator
from dagster.components.definitions import LazyDefinitions
from dagster.components.resolved.core_models import (
    AssetsDefUpdateKwargs,
    AssetSpecKwargs,
    resolve_asset_spec,
    resolve_assets_def_update_kwargs_to_mapping,
)
from dagster.components.resolved.core_models import OpSpec as DagsterOpSpec
from dagster.components.resolved.errors import ResolutionException

__all__ = [
    "ASSET_PARTITION_RANGE_END_TAG",
    "ASSET_PARTITION_RANGE_START_TAG",
    "BACKFILL_ID_TAG",
    "FINISHED_STATUSES",
    "PARTITION_NAME_TAG",
    "AssetCheckEvaluationTargetMaterializationData",
    "AssetCheckExecutionsTable",
    "AssetKeyTable",
    "AssetPartitionStatus",
    "AssetSpecKwargs",
    "AssetsDefUpdateKwargs",
    "BulkActionStatus",
    "DagsterOpSpec",
    "InstigatorsTable",
    "JobTable",
    "JobTickTable",
    "LazyDefinitions",
    "PartitionBackfill",
    "ResolutionException",
    "RunRecord",
    "SqlEventLogStorage",
    "SqlEventLogStorageTable",
    "SqlScheduleStorage",
    "cron_string_iterator",
    "make_new_backfill_id",
    "resolve_asset_spec",
    "resolve_assets_def_update_kwargs_to_mapping",
]
