"""The asset that pulls raw events: one partition per day, one request for each range of up to 100 days."""

# Dagster reads the annotations of assets, so they must be types, not strings.
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from mixpanel_etl.client import Mixpanel
from mixpanel_etl.dagster.recording import Metadata
from mixpanel_etl.lake import EventsTable, PublishedDay
from mixpanel_etl.pull import MAX_DAYS, Progress, pull_events

if TYPE_CHECKING:
    from mixpanel_etl.dagster.export.component import MixpanelExport

_SECONDS_BETWEEN_PROGRESS = 15


class ExportConfig(dg.Config):
    """What each run can set in the launchpad."""

    allow_shrink: bool = Field(
        default=False,
        description="Replace days even if Mixpanel now has fewer events for them than the lake "
        "(retention, a deletion, a changed filter).",
    )
    set_aside_malformed: bool = Field(
        default=False,
        description="Publish also days with malformed lines, and keep these lines beside the day.",
    )


def export_asset(export: "MixpanelExport") -> dg.AssetsDefinition:
    """The events asset of an export."""

    @dg.multi_asset(
        specs=[export.get_asset_spec()],
        **export.op.arguments(
            name=export.asset.key.to_python_identifier(),
            pool=export.mixpanel.pool("export"),
            backfill_policy=dg.BackfillPolicy.multi_run(MAX_DAYS),
        ),
    )
    def events(context: dg.AssetExecutionContext, config: ExportConfig) -> Iterator[dg.MaterializeResult[Any]]:
        yield from export.execute(context, config)

    return events


def export_days(
    context: dg.AssetExecutionContext,
    export: "MixpanelExport",
    client: Mixpanel,
    config: ExportConfig,
    done: dict[str, Metadata],
) -> None:
    """Publish the days of a run, except those that an earlier try of the run published.

    Args:
        context: context of the run.
        export: the component.
        client: client of its project.
        config: what the launchpad says.
        done: metadata by partition; each day is added when it is published.
    """
    table = export.events_table
    days = [date.fromisoformat(key) for key in context.partition_keys]
    run_id = context.run.root_run_id or context.run.run_id
    if context.run.root_run_id or context.retry_number:
        done |= {str(day.day): _metadata(day) for day in _published_by(run_id, table, days)}
        context.log.info(f"{len(done)} of {len(days)} days were published by an earlier try of this run")
    missing = [day for day in days if str(day) not in done]
    published = pull_events(
        client,
        table,
        missing,
        export.event_filter,
        run_id=run_id,
        allow_shrink=export.allow_shrink or config.allow_shrink,
        set_aside_malformed=export.set_aside_malformed or config.set_aside_malformed,
        days_per_request=export.days_per_request,
        on_progress=_every(_SECONDS_BETWEEN_PROGRESS, lambda progress: context.log.info(_sentence(progress))),
    )
    for day in published:
        done[str(day.day)] = _metadata(day)
    context.log.info(f"published {len(missing)} days to {table.uri}")


def _published_by(run_id: str, table: EventsTable, days: Sequence[date]) -> list[PublishedDay]:
    found = (table.day(day) for day in days)
    return [day for day in found if day and day.provenance.get("run_id") == run_id]


def _metadata(day: PublishedDay) -> Metadata:
    times = {
        "first_event": day.first_time,
        "last_event": day.last_time,
        "newest_processing_time": day.newest_processing_time,
    }
    return {
        "dagster/partition_row_count": day.rows,
        "dagster/uri": day.uri,
        "mixpanel_etl/duplicates_removed": day.duplicates,
        "mixpanel_etl/malformed_lines": day.malformed,
        "mixpanel_etl/bytes": day.bytes,
        **{
            f"mixpanel_etl/{name}": dg.MetadataValue.timestamp(timestamp)
            for name, timestamp in times.items()
            if timestamp
        },
    }


def _every(seconds: float, tell: Callable[[Progress], None]) -> Callable[[Progress], None]:
    told = time.monotonic()

    def progress(now: Progress) -> None:
        nonlocal told
        if time.monotonic() - told >= seconds:
            told = time.monotonic()
            tell(now)

    return progress


def _sentence(progress: Progress) -> str:
    return f"{progress.window}: {progress.rows:,} events so far, {progress.wire_bytes / 1e6:,.1f} MB received"
