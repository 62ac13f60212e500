"""`type: mixpanel_etl.MixpanelReports`: Mixpanel's reports as one asset and one table each."""

# Dagster reads the annotations of components, so they must be types, not strings.
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import dagster as dg

from mixpanel_etl.dagster.component import MixpanelComponent
from mixpanel_etl.dagster.fields import CronSchedule, Folder, KeyPrefix, StartDate, prefixed
from mixpanel_etl.dagster.metadata import table_spec
from mixpanel_etl.dagster.recording import Results
from mixpanel_etl.dagster.reports.assets import pull_partitions, pull_today, report_asset
from mixpanel_etl.dagster.reports.schedules import report_schedules
from mixpanel_etl.dagster.reports.yaml_entries import NamedReport, ReportEntry, named_reports
from mixpanel_etl.dagster.snapshots import ShrinkConfig, snapshot_partitions
from mixpanel_etl.lake import ConfigurationError, Table
from mixpanel_etl.pull.reports import RangeReport, report_table


@dataclass(kw_only=True)
class MixpanelReports(MixpanelComponent):
    """Mixpanel's reports as one asset and one table each: segmentation, funnels, retention and all other kinds.

    Example: a subclass that tells another system when a report is there

        .. code-block:: python

            class AnnouncedReports(MixpanelReports):
                def execute(self, context, report, config):
                    yield from super().execute(context, report, config)
                    announce(report.name, context.partition_keys)
    """

    group: ClassVar[str] = "mixpanel_reports"

    reports: Annotated[
        Sequence[NamedReport],
        dg.Resolver(
            named_reports,
            model_field_type=list[ReportEntry],
            description="The reports: name, kind and the kind's parameters (docs/reports.md).",
            examples=[[{"name": "signups", "kind": "segmentation", "event": "sign up"}]],
        ),
    ]
    key_prefix: KeyPrefix = "mixpanel/reports"
    folder: Folder = "reports"
    start_date: StartDate = None
    cron_schedule: CronSchedule = "0 4 * * *"

    def get_asset_spec(self, report: NamedReport) -> dg.AssetSpec:
        """Spec of a report's asset. Override it to change tags, metadata or the freshness policy.

        Args:
            report: one of `reports`.

        Example:
            .. code-block:: python

                class TaggedReports(MixpanelReports):
                    def get_asset_spec(self, report):
                        return super().get_asset_spec(report).merge_attributes(tags={"kind": report.report.kind})
        """
        asked = dg.MetadataValue.json({"kind": report.report.kind, **report.report.shown_parameters})
        spec = dg.AssetSpec(
            prefixed(self.key_prefix, report.name),
            description=inspect.getdoc(type(report.report)),
            group_name=self.group,
        ).replace_attributes(**report.asset)
        return table_spec(
            spec.merge_attributes(metadata={"mixpanel_etl/report": asked}),
            self.table(report),
            report.report.descriptions,
            self.partitions(report),
            self.cron_schedule,
        )

    def execute(self, context: dg.AssetExecutionContext, report: NamedReport, config: ShrinkConfig) -> Results:
        """Publish the partitions of the run, which cost one query, or today's snapshot.

        Override it to do something before or after.

        Args:
            context: context of the run.
            report: one of `reports`.
            config: what the launchpad says.
        """
        pull = pull_partitions if isinstance(report.report, RangeReport) else pull_today
        yield from pull(context, self, report, config)

    def build(self) -> dg.Definitions:
        """An asset for each report; jobs and schedules for days, weeks, months and snapshots.

        Raises:
            ConfigurationError: two reports have the same name.
        """
        names = [report.name for report in self.reports]
        if repeated := [name for name in names if names.count(name) > 1]:
            raise ConfigurationError(f"two reports have the name {repeated[0]!r}: give one of them another name")
        assets = [report_asset(self, report) for report in self.reports]
        return dg.Definitions.merge(dg.Definitions(assets=assets), report_schedules(self))

    def table(self, report: NamedReport) -> Table:
        """The table of a report in the lake."""
        return report_table(self.lake_uri, f"{self.folder}/{report.name}", report.report)

    def partitions(self, report: NamedReport) -> dg.TimeWindowPartitionsDefinition:
        """Days, weeks (from Monday) or months that are over in project time; of a snapshot the days, with today."""
        if not isinstance(report.report, RangeReport):
            return snapshot_partitions(self.mixpanel, self.start_date)
        settings = self.mixpanel.settings()
        start, zone = str(self.start_date or settings.start_date), settings.timezone
        if report.report.partition_unit == "week":
            return dg.WeeklyPartitionsDefinition(start, timezone=zone, day_offset=1)
        if report.report.partition_unit == "month":
            return dg.MonthlyPartitionsDefinition(start, timezone=zone)
        return dg.DailyPartitionsDefinition(start, timezone=zone)
