"""Schedules over partitions, and the freshness that follows from them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise

import dagster as dg

from mixpanel_etl.dagster.internals import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    cron_string_iterator,
)

_MIN_GRACE = timedelta(minutes=15)


def fresh(spec: dg.AssetSpec, cron_schedule: str, timezone: str) -> dg.AssetSpec:
    """The spec of a scheduled table with a freshness policy, unless it has one.

    Dagster warns when a run is overdue by a quarter of the schedule's interval, and fails when two runs are missing.

    Args:
        spec: spec of the asset.
        cron_schedule: cron expression of the schedule that materializes it.
        timezone: IANA name of the schedule's time zone.
    """
    if spec.freshness_policy is not None:
        return spec
    ticks = cron_string_iterator(datetime(2026, 1, 1, tzinfo=UTC).timestamp(), cron_schedule, timezone)
    # The longest gap: an expression for working days has one of three days.
    interval = max(after - before for before, after in pairwise(islice(ticks, 60)))
    grace = max(interval / 4, _MIN_GRACE)
    policy = dg.FreshnessPolicy.time_window(
        fail_window=interval + max(interval, 2 * grace), warn_window=interval + grace
    )
    return spec.replace_attributes(freshness_policy=policy)


def range_tags(first: str, last: str) -> dict[str, str]:
    """Tags of one run over a range of partitions, as Dagster's backfills write them.

    Args:
        first: first partition.
        last: last partition, included.
    """
    return {ASSET_PARTITION_RANGE_START_TAG: first, ASSET_PARTITION_RANGE_END_TAG: last}
