"""Asset checks of partitioned assets: each partition has a result of its own, also in a run over a range.

Dagster 1.13 stores the partition of an `AssetCheckResult` only when a run has a single partition. In a run over a range
it plans the check for each partition, stores one result without a partition, and shows the partitions as skipped.
So in such runs each partition's result is logged as an `AssetCheckEvaluation` of its own. Dagster counts it only if it
names the partition's latest materialization, so it is logged when the materializations are stored. The result without a
partition is the summary of the run, which Dagster shows as the check's latest.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping

import dagster as dg

from mixpanel_etl.dagster.internals import AssetCheckEvaluationTargetMaterializationData as Target

Context = dg.AssetExecutionContext | dg.AssetCheckExecutionContext


def check_specs(spec: dg.AssetSpec, described: Mapping[str, str]) -> list[dg.AssetCheckSpec]:
    """The checks of an asset, partitioned as the asset is.

    Args:
        spec: spec of the asset.
        described: description by name of the check.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return [
            dg.AssetCheckSpec(name, asset=spec.key, description=description, partitions_def=spec.partitions_def)
            for name, description in described.items()
        ]


def evaluated(
    context: Context,
    check: dg.AssetCheckKey,
    summary: dg.AssetCheckResult,
    by_partition: Mapping[str, dg.AssetCheckResult],
) -> dg.AssetCheckResult | dg.AssetCheckEvaluation:
    """The result of a check, to yield; in a run over several partitions, each partition's result is logged, too.

    Args:
        context: context of the run; its materializations are stored already.
        check: key of the check.
        summary: result for all partitions of the run.
        by_partition: result by partition key.
    """
    summary = summary._replace(asset_key=check.asset_key, check_name=check.name)
    if context.has_partition_key:
        return summary
    targets = dict(_materializations(context.instance, check.asset_key, set(by_partition)))
    for partition, result in by_partition.items():
        evaluation = _evaluation(check, partition, result, targets.get(partition))
        context.op_execution_context.log_event(evaluation)  # type: ignore[arg-type]  # it takes these, too
    if context.has_partition_key_range:
        return summary
    # A check started by itself without partitions: of such a run Dagster can't make an evaluation from a result.
    return _evaluation(check, None, summary, None)


def _evaluation(
    check: dg.AssetCheckKey, partition: str | None, result: dg.AssetCheckResult, target: Target | None
) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(
        asset_key=check.asset_key,
        check_name=check.name,
        passed=result.passed,
        metadata=result.metadata,
        target_materialization_data=target,
        severity=result.severity,
        description=result.description,
        partition=partition,
    )


def _materializations(
    instance: dg.DagsterInstance, key: dg.AssetKey, partitions: set[str]
) -> Iterator[tuple[str, Target]]:
    """The latest materialization of each partition that has one."""
    latest = instance.get_latest_storage_id_by_partition(key, dg.DagsterEventType.ASSET_MATERIALIZATION, partitions)
    if not latest:
        return
    chosen = dg.AssetRecordsFilter(asset_key=key, storage_ids=list(latest.values()))
    for record in instance.fetch_materializations(chosen, limit=len(latest)).records:
        yield (
            str(record.partition_key),
            Target(storage_id=record.storage_id, run_id=record.run_id, timestamp=record.timestamp),
        )
