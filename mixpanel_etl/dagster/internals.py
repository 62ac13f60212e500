"""Everything that is imported from Dagster's private modules, in one place: ruff bans them everywhere else.

The pin on Dagster in `pyproject.toml` is as narrow as these names ask for.
"""

from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG
from dagster._utils.schedules import cron_string_iterator
from dagster.components.resolved.core_models import OpSpec as DagsterOpSpec
from dagster.components.resolved.errors import ResolutionException

__all__ = [
    "ASSET_PARTITION_RANGE_END_TAG",
    "ASSET_PARTITION_RANGE_START_TAG",
    "DagsterOpSpec",
    "ResolutionException",
    "cron_string_iterator",
]
