"""The asset that pulls raw events: one partition a day, one request for each run of up to 100 days."""

# Dagster reads the annotations of assets, so they must be types, not strings.
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import dagster as dg
from pydantic import Field

from mixpanel_etl.dagster.metadata import declared_table
from mixpanel_etl.dagster.recording import Metadata, recorded
from mixpanel_etl.dagster.resource import MixpanelResource
from mixpanel_etl.lake import DESCRIPTIONS, EventsTable, PromotedColumn, PublishedDay
from mixpanel_etl.pull import MAX_DAYS, EventFilter, Progress, pull_events

_SECONDS_BETWEEN_PROGRESS = 15


@dataclass(frozen=True)
class Export:
    """One export of a project's events, as a Dagster asset.

    Attributes:
        spec: the asset's key, group, owners, tags and description; its partitions are made here.
        mixpanel: the project.
        table: folder of the lake that holds the days.
        only: which events.
        promoted: properties with typed columns.
        lake: path or URI of the lake; by default the project's setting.
        start_date: the first day; by default the project's setting.
        allow_shrink: let a day with fewer events than the lake holds replace it.
        shrink_tolerance: share of a day's events (0 to 1) that may be missing before a day is held back.
        set_aside_malformed: publish also days with lines that are no events, and keep these lines beside them.
        days_per_request: most days of a request, 1 to 100.
        refresh_days: the schedule asks again for so many of the last days, because events arrive late.
        refresh_at: cron expression of the schedule, in the zone in which the export cuts its days.
        reconcile: compare the counts with Mixpanel's own after each run, for two queries.
        tolerance: share of a day's events by which the counts may differ; Mixpanel counts after merging identities.
    """

    spec: dg.AssetSpec
    mixpanel: MixpanelResource = field(default_factory=MixpanelResource)
    table: str = "events"
    only: EventFilter = field(default_factory=EventFilter)
    promoted: Sequence[PromotedColumn] = ()
    lake: str | None = None
    start_date: date | None = None
    allow_shrink: bool = False
    shrink_tolerance: float = 0.0
    set_aside_malformed: bool = False
    days_per_request: int = MAX_DAYS
    refresh_days: int = 5
    refresh_at: str = "0 3 * * *"
    reconcile: bool = True
    tolerance: float = 0.01

    def events_table(self) -> EventsTable:
        lake = self.lake or self.mixpanel.settings().lake
        return EventsTable(lake, self.table, tuple(self.promoted), self.shrink_tolerance)

    def partitions(self) -> dg.DailyPartitionsDefinition:
        """The days that are over, in the zone in which the project's export cuts them."""
        settings = self.mixpanel.settings()
        return dg.DailyPartitionsDefinition(str(self.start_date or settings.start_date), timezone=settings.export_zone)

    @property
    def pool(self) -> str:
        """One for all exports of a project: what they share is its budget."""
        return self.mixpanel.pool("export")


class ExportConfig(dg.Config):
    """What may be decided anew for each run, in the launchpad."""

    allow_shrink: bool = Field(
        default=False,
        description="Replace days even if Mixpanel now has fewer events for them than the lake "
        "(retention, a deletion, a changed filter).",
    )
    set_aside_malformed: bool = Field(
        default=False,
        description="Publish also days of which lines are no events, and keep these lines beside the day.",
    )


def export_asset(export: Export) -> dg.AssetsDefinition:
    """The asset of an export.

    Each published day is recorded as one materialization of its partition, also when the run fails later on.
    """

    @dg.multi_asset(
        specs=[
            export.spec.replace_attributes(partitions_def=export.partitions()).merge_attributes(
                kinds={"mixpanel", "parquet"}, metadata=_declared(export)
            )
        ],
        name=export.spec.key.to_python_identifier(),
        backfill_policy=dg.BackfillPolicy.multi_run(MAX_DAYS),
        pool=export.pool,
    )
    def events(context: dg.AssetExecutionContext, config: ExportConfig) -> dg.MaterializeResult[Any]:
        with recorded(context, export.spec.key) as done:
            _pull(context, export, config, done)
        return dg.MaterializeResult()

    return events


def _pull(context: dg.AssetExecutionContext, export: Export, config: ExportConfig, done: dict[str, Metadata]) -> None:
    table = export.events_table()
    days = [date.fromisoformat(key) for key in context.partition_keys]
    run_id = context.run.root_run_id or context.run.run_id
    if context.run.root_run_id or context.retry_number:
        done |= {str(day.day): _metadata(day) for day in _published_by(run_id, table, days)}
        context.log.info(f"{len(done)} of {len(days)} days were published by an earlier try of this run")
    missing = [day for day in days if str(day) not in done]
    with export.mixpanel.client(context.log) as mixpanel:
        published = pull_events(
            mixpanel,
            table,
            missing,
            export.only,
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
    return [day for day in found if day and day.request.get("run_id") == run_id]


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
        **{f"mixpanel_etl/{name}": dg.MetadataValue.timestamp(moment) for name, moment in times.items() if moment},
    }


def _declared(export: Export) -> dict[str, Any]:
    promoted = {column.name: f"Property {column.source}, where it is a {column.type}." for column in export.promoted}
    descriptions = DESCRIPTIONS | promoted
    table = export.events_table()
    return {
        **declared_table(table.uri, table.schema, descriptions),
        **export.spec.metadata,
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
