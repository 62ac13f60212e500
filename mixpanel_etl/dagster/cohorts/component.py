"""`type: mixpanel_etl.MixpanelCohorts`: daily snapshots of the saved cohorts, and of the members of chosen ones."""

# Dagster reads the annotations of components, so they must be types, not strings.
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

import dagster as dg

from mixpanel_etl.dagster.arrivals import MEMBER_CHECKS, all_arrived, counts_agree
from mixpanel_etl.dagster.catalogue.listings import listing_checks, take_listing
from mixpanel_etl.dagster.component import MixpanelComponent
from mixpanel_etl.dagster.fields import CronSchedule, KeyPrefix, StartDate, prefixed
from mixpanel_etl.dagster.metadata import published, queries, table_spec
from mixpanel_etl.dagster.mistakes import rendered
from mixpanel_etl.dagster.recording import Results
from mixpanel_etl.dagster.snapshots import (
    ShrinkConfig,
    Taking,
    daily_snapshots,
    run_id_of,
    snapshot_asset,
    snapshot_partitions,
    take_snapshot,
)
from mixpanel_etl.lake import Table
from mixpanel_etl.pull.cohort_snapshots import COHORTS, MEMBERS_DESCRIPTIONS, MEMBERS_SCHEMA, pull_members

CohortTable = Literal["cohorts", "cohort_members"]


@dataclass(kw_only=True)
class MixpanelCohorts(MixpanelComponent):
    """Daily snapshots of the saved cohorts, and of the members of chosen ones: assets `cohorts` and `cohort_members`.

    Example: a subclass that tells another system when the members are there

        .. code-block:: python

            class AnnouncedCohorts(MixpanelCohorts):
                def execute(self, context, table, config):
                    yield from super().execute(context, table, config)
                    announce(table, context.partition_key)
    """

    group: ClassVar[str] = "mixpanel_cohorts"

    members_of: Annotated[
        Sequence[int | str],
        dg.Resolver(
            rendered,
            model_field_type=Sequence[int | str],
            description="Ids or exact names of cohorts whose members are wanted: one query per 1,000 of them.",
            examples=[[1478097, "Power users"]],
        ),
    ] = field(default_factory=list)
    key_prefix: KeyPrefix = "mixpanel"
    folder: Annotated[
        str, dg.Resolver.default(description="Folder of the lake for the tables; default: the lake itself.")
    ] = ""
    start_date: StartDate = None
    cron_schedule: CronSchedule = "0 2 * * *"

    def get_asset_spec(self, table: CohortTable) -> dg.AssetSpec:
        """Spec of an asset. Override it to change tags, metadata or the freshness policy.

        Args:
            table: `cohorts` or `cohort_members`.

        Example:
            .. code-block:: python

                class OwnedCohorts(MixpanelCohorts):
                    def get_asset_spec(self, table):
                        return super().get_asset_spec(table).replace_attributes(owners=["team:growth"])
        """
        description, columns = COHORTS.description, COHORTS.descriptions
        if table == "cohort_members":
            listed = ", ".join(map(str, self.members_of))
            description, columns = f"Members of the cohorts {listed}.", MEMBERS_DESCRIPTIONS
        key = prefixed(self.key_prefix, table)
        spec = dg.AssetSpec(key, group_name=self.group, description=description)
        return table_spec(spec, self.lake_table(table), columns, self.partitions, self.cron_schedule)

    def execute(self, context: dg.AssetExecutionContext, table: CohortTable, config: ShrinkConfig) -> Results:
        """Publish today's snapshot of a table. Override it to do something before or after.

        Args:
            context: context of the run.
            table: `cohorts` or `cohort_members`.
            config: what the launchpad says.
        """
        if table == "cohorts":
            yield from take_listing(context, self.mixpanel, COHORTS, self.lake_table(table), config)
        else:
            yield from take_snapshot(context, self.mixpanel, self.lake_table(table), config, self._members(context))

    def build(self) -> dg.Definitions:
        """Assets, checks, job and schedule of the snapshots."""
        tables: dict[CohortTable, dict[str, str]] = {"cohorts": listing_checks(COHORTS)}
        if self.members_of:
            tables["cohort_members"] = MEMBER_CHECKS
        assets = [self._asset(table, checks) for table, checks in tables.items()]
        keys = [asset.key for asset in assets]
        return dg.Definitions.merge(
            dg.Definitions(assets=assets), daily_snapshots(self.name, keys, self.partitions, self.cron_schedule)
        )

    def lake_table(self, table: CohortTable) -> Table:
        """A table of the lake.

        Args:
            table: `cohorts` or `cohort_members`.
        """
        schema = COHORTS.schema if table == "cohorts" else MEMBERS_SCHEMA
        return Table(self.lake_uri, f"{self.folder}/{table}" if self.folder else table, schema)

    @property
    def partitions(self) -> dg.DailyPartitionsDefinition:
        """The days in project time, today included."""
        return snapshot_partitions(self.mixpanel, self.start_date)

    def _asset(self, table: CohortTable, checks: dict[str, str]) -> dg.AssetsDefinition:
        return snapshot_asset(
            self,
            self.get_asset_spec(table),
            lambda context, config: self.execute(context, table, config),
            budget=COHORTS.budget,
            checks=checks,
        )

    def _members(self, context: dg.AssetExecutionContext) -> Any:
        def take(taking: Taking) -> dg.MaterializeResult[Any]:
            snapshot, listed = pull_members(
                taking.client,
                self.lake_table("cohort_members"),
                taking.day,
                self.members_of,
                run_id=run_id_of(context),
                allow_shrink=taking.allow_shrink,
                log=context.log,
            )
            arrivals = list(zip(listed, snapshot.arrivals, strict=True))
            return dg.MaterializeResult(
                metadata={
                    **published(snapshot.partition),
                    "mixpanel_etl/repeats_removed": snapshot.repeats,
                    **queries(taking.client),
                },
                check_results=[
                    all_arrived([(f"cohort {cohort.id}", arrival) for cohort, arrival in arrivals]),
                    counts_agree([(cohort, arrival.rows) for cohort, arrival in arrivals]),
                ],
            )

        return take
