"""`type: mixpanel_etl.MixpanelExport`."""

# Dagster reads the annotations of components, so they must be types, not strings.
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

import dagster as dg

from mixpanel_etl.dagster.export.assets import Export
from mixpanel_etl.dagster.export.schedules import export_definitions
from mixpanel_etl.dagster.fields import Column, EnvPrefix, Lake, StartDate, first_day
from mixpanel_etl.dagster.resource import MixpanelResource
from mixpanel_etl.lake import PromotedColumn
from mixpanel_etl.pull import MAX_DAYS, EventFilter
from mixpanel_etl.settings import DEFAULT_PREFIX


@dataclass
class MixpanelExport(dg.Component, dg.Resolvable):
    """Raw events of a Mixpanel project as one Parquet file a day.

    Credentials, region and time zone come from the environment (`MIXPANEL_*`; see `.env.example`).
    """

    asset: Annotated[dg.ResolvedAssetSpec, dg.Resolver.default(description="Key, group, owners, tags, description.")]
    env_prefix: EnvPrefix = DEFAULT_PREFIX
    table: Annotated[str, dg.Resolver.default(description="Folder of the lake. Each export has its own.")] = "events"
    lake: Lake = None
    start_date: StartDate = None
    events: Annotated[
        Sequence[str], dg.Resolver.default(description="Names of the events to export; all by default.")
    ] = field(default_factory=list)
    where: Annotated[
        str | None,
        dg.Resolver.default(
            description="Segmentation expression that events must fulfil.",
            examples=['properties["plan"] == "pro"'],
        ),
    ] = None
    columns: Annotated[
        Sequence[Column],
        dg.Resolver.default(
            description="Properties that get a typed column beside `properties`.",
            examples=[[{"property": "$city", "type": "string", "name": "city"}]],
        ),
    ] = field(default_factory=list)
    allow_shrink: Annotated[
        bool,
        dg.Resolver.default(description="Replace days even if Mixpanel now has fewer events for them than the lake."),
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
            description="Publish days also when lines of the export are no events, and keep these lines beside the day."
        ),
    ] = False
    days_per_request: Annotated[
        int,
        dg.Resolver.default(
            description="Maximum days of a request (1 to 100). Days of millions of events are asked for in smaller "
            "requests anyway."
        ),
    ] = MAX_DAYS
    refresh_days: Annotated[
        int, dg.Resolver.default(description="How many of the last days the schedule exports again: events come late.")
    ] = 5
    refresh_at: Annotated[
        str, dg.Resolver.default(description="Cron expression of the schedule, in the export's time zone.")
    ] = "0 3 * * *"
    reconcile: Annotated[
        bool, dg.Resolver.default(description="Compare the counts with Mixpanel's after each run (two queries).")
    ] = True
    tolerance: Annotated[
        float, dg.Resolver.default(description="Share of a day's events by which the counts may differ.")
    ] = 0.01

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:  # noqa: ARG002
        """Asset, checks, job and schedule of the export."""
        return export_definitions(self.export())

    def export(self) -> Export:
        """What this instance describes; override it to describe something else."""
        return Export(
            spec=self.asset,
            mixpanel=MixpanelResource(env_prefix=self.env_prefix),
            table=self.table,
            only=EventFilter(tuple(self.events), self.where),
            promoted=[PromotedColumn(column.property, column.type, column.name) for column in self.columns],
            lake=self.lake,
            start_date=first_day(self.start_date),
            allow_shrink=self.allow_shrink,
            shrink_tolerance=self.shrink_tolerance,
            set_aside_malformed=self.set_aside_malformed,
            days_per_request=self.days_per_request,
            refresh_days=self.refresh_days,
            refresh_at=self.refresh_at,
            reconcile=self.reconcile,
            tolerance=self.tolerance,
        )
