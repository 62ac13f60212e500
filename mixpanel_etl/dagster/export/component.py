"""`type: mixpanel_etl.MixpanelExport`: raw events, one Parquet file per day."""

# Dagster reads the annotations of components, so they must be types, not strings.
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import dagster as dg

from mixpanel_etl.dagster.component import MixpanelComponent
from mixpanel_etl.dagster.export.assets import ExportConfig, export_asset, export_days
from mixpanel_etl.dagster.export.checks import export_checks
from mixpanel_etl.dagster.export.schedules import lookback_job, lookback_schedule
from mixpanel_etl.dagster.fields import Asset, Column, CronSchedule, StartDate
from mixpanel_etl.dagster.metadata import table_spec
from mixpanel_etl.dagster.recording import recorded
from mixpanel_etl.lake import DESCRIPTIONS, EventsTable
from mixpanel_etl.pull import MAX_DAYS, EventFilter


@dataclass(kw_only=True)
class MixpanelExport(MixpanelComponent):
    """Raw events of a Mixpanel project as one Parquet file per day.

    Example: a subclass that tells another system when days are exported

        .. code-block:: python

            class AnnouncedExport(MixpanelExport):
                def execute(self, context, config):
                    yield from super().execute(context, config)
                    announce(context.partition_keys)
    """

    group: ClassVar[str] = "mixpanel_export"

    asset: Asset
    table: Annotated[
        str, dg.Resolver.default(description="Folder of the lake that holds the days; one per export.")
    ] = "events"
    start_date: StartDate = None
    events: Annotated[Sequence[str], dg.Resolver.default(description="Event names to export; default: all events.")] = (
        field(default_factory=list)
    )
    where: Annotated[
        str | None,
        dg.Resolver.default(
            description="Filter in Mixpanel's segmentation expression language.",
            examples=['properties["plan"] == "pro"'],
        ),
    ] = None
    columns: Annotated[
        Sequence[Column],
        dg.Resolver.default(
            description="Properties that get a typed column besides `properties`.",
            examples=[[{"property": "$city", "type": "string", "name": "city"}]],
        ),
    ] = field(default_factory=list)
    allow_shrink: Annotated[
        bool,
        dg.Resolver.default(description="Replace days even if Mixpanel now returns fewer events than the lake has."),
    ] = False
    shrink_tolerance: Annotated[
        float,
        dg.Resolver.default(
            description="Share of a day's events (0 to 1) that a new export may lack before the day is held back, "
            "besides copies that Mixpanel's compaction removed."
        ),
    ] = 0.0
    set_aside_malformed: Annotated[
        bool,
        dg.Resolver.default(
            description="Publish days even if lines of the export are malformed, and keep these lines beside the day."
        ),
    ] = False
    days_per_request: Annotated[
        int,
        dg.Resolver.default(
            description="Maximum days per request (1 to 100). Requests for days with millions of events are smaller."
        ),
    ] = MAX_DAYS
    cron_schedule: CronSchedule = "0 3 * * *"
    lookback_days: Annotated[
        int, dg.Resolver.default(description="Number of last days that the schedule exports again: events arrive late.")
    ] = 5
    reconcile: Annotated[
        bool, dg.Resolver.default(description="Compare counts with Mixpanel's after each run (two queries).")
    ] = True
    tolerance: Annotated[
        float, dg.Resolver.default(description="Share of a day's events (0 to 1) by which the counts may differ.")
    ] = 0.01

    def get_asset_spec(self) -> dg.AssetSpec:
        """Spec of the events asset. Override it to change tags, metadata or the freshness policy.

        Example:
            .. code-block:: python

                class TaggedExport(MixpanelExport):
                    def get_asset_spec(self):
                        return super().get_asset_spec().merge_attributes(tags={"tier": "raw"})
        """
        promoted = {column.name: column.description for column in self.columns}
        return table_spec(
            self.grouped(self.asset),
            self.events_table,
            DESCRIPTIONS | promoted,
            self.partitions,
            self.cron_schedule,
        )

    def execute(self, context: dg.AssetExecutionContext, config: ExportConfig) -> Iterator[dg.MaterializeResult[Any]]:
        """Export the days of the run; each published day is recorded, even if the run fails later.

        Override it to do something before or after.
        """
        with recorded(context, self.asset.key) as done, self.mixpanel.client(context.log) as client:
            export_days(context, self, client, config, done)
        yield dg.MaterializeResult()

    def build(self) -> dg.Definitions:
        """Asset, checks, job and schedule of the export."""
        job = lookback_job(self)
        return dg.Definitions(
            assets=[export_asset(self)],
            asset_checks=[export_checks(self)],
            jobs=[job],
            schedules=[lookback_schedule(self, job)],
        )

    def default_name(self, folder: str) -> str:  # noqa: ARG002
        """From the asset's key."""
        return self.asset.key.to_python_identifier()

    @property
    def events_table(self) -> EventsTable:
        """The table of the lake."""
        return EventsTable(self.lake_uri, self.table, tuple(self.columns), self.shrink_tolerance)

    @property
    def event_filter(self) -> EventFilter:
        """Which events are exported."""
        return EventFilter(tuple(self.events), self.where)

    @property
    def partitions(self) -> dg.DailyPartitionsDefinition:
        """The days that are over, in the time zone in which Mixpanel's export cuts them."""
        settings = self.mixpanel.settings()
        return dg.DailyPartitionsDefinition(str(self.start_date or settings.start_date), timezone=settings.export_zone)
