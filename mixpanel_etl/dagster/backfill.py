"""Backfills in ranges that respect an asset's backfill policy, which Dagster's own command line does not cut."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Literal

import dagster as dg

from mixpanel_etl.dagster.internals import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    AssetPartitionStatus,
    PartitionBackfill,
    make_new_backfill_id,
)
from mixpanel_etl.errors import MixpanelEtlError

Which = Literal["all", "missing", "failed"]


class BackfillError(MixpanelEtlError, ValueError):
    """The asset is unknown, or the days are outside its partitions."""


class Backfill:
    """The partitions of one asset: days, or weeks and months by their first day.

    Args:
        definitions: definitions of the project.
        asset: key of the asset, e.g. `mixpanel/events`.
        instance: Dagster's instance.

    Raises:
        BackfillError: the asset is unknown, or not partitioned by days, weeks or months.
    """

    def __init__(self, definitions: dg.Definitions, asset: str, instance: dg.DagsterInstance) -> None:
        self._definitions = definitions
        self._instance = instance
        self._key = dg.AssetKey.from_user_string(asset)
        self._graph = definitions.resolve_asset_graph()
        if self._key not in self._graph.materializable_asset_keys:
            known = sorted(key.to_user_string() for key in self._graph.materializable_asset_keys)
            raise BackfillError(f"--asset {asset}: unknown asset; available: {', '.join(known)}")
        partitions = self._graph.get(self._key).partitions_def
        if not isinstance(partitions, dg.TimeWindowPartitionsDefinition) or partitions.fmt != "%Y-%m-%d":
            raise BackfillError(f"--asset {asset} is not partitioned by days, weeks or months")
        self._partitions = partitions

    def days(self, first: str, last: str, which: Which = "all") -> list[str]:
        """The partitions that begin between two days and are to be materialized.

        Args:
            first: first day, YYYY-MM-DD.
            last: last day, YYYY-MM-DD, included.
            which: all of them, those not materialized yet, or those whose last run failed.

        Raises:
            BackfillError: a day is outside the partitions, or no week or month begins between them.
        """
        keys = self._partitions.get_partition_keys()
        daily = isinstance(self._partitions, dg.DailyPartitionsDefinition)
        wanted = [key for key in keys if first <= key <= last]
        if not daily and not wanted:
            reach = f"; the asset has {keys[0]} to {keys[-1]}" if keys else ""
            raise BackfillError(f"--from {first} --to {last}: no partition begins there{reach}")
        for name, day in (("--from", first), ("--to", last)) if daily else ():
            if day not in keys:
                raise BackfillError(
                    f"{name} {day} is outside the asset's partitions {keys[0]} to {keys[-1]}"
                    if keys
                    else f"{name} {day} has no partition yet: no day is over since the start date"
                )
        if which == "all":
            return wanted
        status = self._instance.get_status_by_partition(self._key, wanted, self._partitions) or {}
        if which == "failed":
            return [key for key in wanted if status.get(key) == AssetPartitionStatus.FAILED]
        return [key for key in wanted if status.get(key) != AssetPartitionStatus.MATERIALIZED]

    def last_day(self, key: str) -> date:
        """The last day of a partition."""
        return (self._partitions.time_window_for_partition_key(key).end - timedelta(days=1)).date()

    def ranges(self, days: Sequence[str]) -> list[list[str]]:
        """The days as contiguous ranges, each no longer than the asset's backfill policy allows in one run."""
        policy = self._graph.get(self._key).backfill_policy
        most = policy.max_partitions_per_run if policy else 1
        position = {key: n for n, key in enumerate(self._partitions.get_partition_keys())}
        found: list[list[str]] = []
        for day in days:
            if found and position[day] == position[found[-1][-1]] + 1 and (most is None or len(found[-1]) < most):
                found[-1].append(day)
            else:
                found.append([day])
        return found

    def run(self, days: Sequence[str]) -> dg.ExecuteInProcessResult:
        """Materialize one of the `ranges` in this process, with its checks; the result says whether it failed."""
        job = self._definitions.resolve_implicit_global_asset_job_def()
        return job.execute_in_process(
            instance=self._instance,
            asset_selection=[self._key],
            tags={ASSET_PARTITION_RANGE_START_TAG: days[0], ASSET_PARTITION_RANGE_END_TAG: days[-1]},
            run_config={"loggers": {"console": {"config": {"log_level": "WARNING"}}}},
            raise_on_error=False,
        )

    def submit(self, days: Sequence[str]) -> str:
        """Queue the days as a backfill of Dagster's daemon, which splits it into runs.

        Returns:
            The backfill's id, as the UI shows it.
        """
        backfill = PartitionBackfill.from_asset_partitions(
            backfill_id=make_new_backfill_id(),
            asset_graph=self._graph,
            partition_names=list(days),
            asset_selection=[self._key],
            backfill_timestamp=time.time(),
            tags={},
            dynamic_partitions_store=self._instance,
            all_partitions=False,
            title=f"{self._key.to_user_string()} {days[0]}..{days[-1]}",
            description=None,
            run_config=None,
        )
        self._instance.add_backfill(backfill)
        return backfill.backfill_id
