"""The schedule that keeps Mirror imports under the two weeks after which Mixpanel may lose track of their changes."""

# Dagster reads the annotations of schedules, so they must be types, not strings.
from datetime import timedelta

import dagster as dg

from mixpanel_etl.dagster.connectors.assets import WarehouseSync, materialized_at

_DUE = timedelta(days=7)  # leaves a week of daily tries


def mirror_schedule(sync: WarehouseSync) -> dg.ScheduleDefinition | None:
    """Syncs the Mirror imports that were not synced for a week; None if there are none."""
    mirrors = [item.spec.key for item in sync.imports if item.sync_mode == "mirror_mode"]
    if not mirrors:
        return None
    name = f"{sync.pool}_mirrors"
    job = dg.define_asset_job(
        name, selection=dg.AssetSelection.assets(*mirrors), description="Syncs Mirror imports of a warehouse."
    )

    @dg.schedule(
        name=f"{name}_daily",
        job=job,
        cron_schedule=sync.mirror_at,
        execution_timezone="UTC",
        description="Syncs the Mirror imports that were not synced for a week: after two, Mixpanel may lose track of "
        "what changed, and reads (and bills) the whole table again.",
    )
    def daily(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        due = context.scheduled_execution_time - _DUE
        synced = {key: materialized_at(context.instance, key) for key in mirrors}
        old = [key for key, at in synced.items() if at is None or at < due]
        if not old:
            return dg.SkipReason(f"all {len(mirrors)} Mirror imports were synced within a week")
        return dg.RunRequest(asset_selection=old)

    return daily
