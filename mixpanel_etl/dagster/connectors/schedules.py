"""The schedule that keeps Mirror imports under the two weeks after which Mixpanel may lose track of their changes."""

# Dagster reads the annotations of schedules, so they must be types, not strings.
from datetime import timedelta
from typing import TYPE_CHECKING

import dagster as dg

from mixpanel_etl.dagster.connectors.assets import materialized_at

if TYPE_CHECKING:
    from mixpanel_etl.dagster.connectors.component import MixpanelConnectors

_DUE = timedelta(days=7)  # leaves a week of daily tries


def mirror_schedules(component: "MixpanelConnectors") -> list[dg.ScheduleDefinition]:
    """The schedule that syncs Mirror imports which were not synced for a week; empty without Mirror imports."""
    mirrors = [item.asset.key for item in component.imports if item.sync_mode == "mirror_mode"]
    if not mirrors:
        return []
    job = dg.define_asset_job(
        f"{component.name}_job",
        selection=dg.AssetSelection.assets(*mirrors),
        description="Syncs the Mirror imports of Mixpanel's warehouse connectors.",
    )

    @dg.schedule(
        name=f"{component.name}_schedule",
        job=job,
        cron_schedule=component.cron_schedule,
        execution_timezone="UTC",
        description="Syncs the Mirror imports that were not synced for a week: after two, Mixpanel may lose track of "
        "what changed, and reads (and bills) the whole table again.",
    )
    def schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        due = context.scheduled_execution_time - _DUE
        synced = {key: materialized_at(context.instance, key) for key in mirrors}
        old = [key for key, at in synced.items() if at is None or at < due]
        if not old:
            return dg.SkipReason(f"all {len(mirrors)} Mirror imports were synced within a week")
        return dg.RunRequest(asset_selection=old)

    return [schedule]
