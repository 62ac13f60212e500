"""`type: mixpanel_etl.MixpanelProfiles`: a daily snapshot of all profiles of users, or of groups."""

# Dagster reads the annotations of components, so they must be types, not strings.
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, get_args

import dagster as dg

from mixpanel_etl.dagster.arrivals import ARRIVAL_CHECKS, all_arrived
from mixpanel_etl.dagster.component import MixpanelComponent
from mixpanel_etl.dagster.fields import Asset, Column, CronSchedule, StartDate
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
from mixpanel_etl.lake import ConfigurationError, Table
from mixpanel_etl.pull.profile_snapshots import (
    PROFILE_DESCRIPTIONS,
    ProfileFilter,
    Source,
    profile_schema,
    pull_profiles,
)


@dataclass(kw_only=True)
class MixpanelProfiles(MixpanelComponent):
    """Daily snapshot of all profiles of users, or of groups: one Parquet file per snapshot.

    Example: a subclass that tells another system when a snapshot is there

        .. code-block:: python

            class AnnouncedProfiles(MixpanelProfiles):
                def execute(self, context, config):
                    yield from super().execute(context, config)
                    announce(context.partition_key)
    """

    group: ClassVar[str] = "mixpanel_profiles"

    asset: Asset
    table: Annotated[
        str, dg.Resolver.default(description="Folder of the lake that holds the snapshots; one per component.")
    ] = "profiles"
    start_date: StartDate = None
    source: Annotated[
        Source,
        dg.Resolver.default(
            description="`engage` costs one query per 1,000 profiles, `jql` one query for all users (users only)."
        ),
    ] = "engage"
    where: Annotated[
        str | None,
        dg.Resolver.default(
            description="Filter in Mixpanel's segmentation expression language.", examples=['user["plan"] == "pro"']
        ),
    ] = None
    cohort: Annotated[
        int | None, dg.Resolver.default(description="Id of a saved cohort, to have only its members.")
    ] = None
    output_properties: Annotated[
        Sequence[str] | None,
        dg.Resolver(
            rendered,
            model_field_type=Sequence[str] | None,
            description="Names of the properties to keep; default: all properties.",
        ),
    ] = None
    data_group_id: Annotated[
        str | None,
        dg.Resolver(
            rendered,
            model_field_type=str | None,
            description="Mixpanel's id of a group key, to have its groups instead of users.",
        ),
    ] = None
    columns: Annotated[
        Sequence[Column],
        dg.Resolver.default(
            description="Properties that get a typed column besides `properties`.",
            examples=[[{"property": "$city", "type": "string", "name": "city"}]],
        ),
    ] = field(default_factory=list)
    cron_schedule: CronSchedule = "0 2 * * *"

    def get_asset_spec(self) -> dg.AssetSpec:
        """Spec of the asset. Override it to change tags, metadata or the freshness policy.

        Example:
            .. code-block:: python

                class TaggedProfiles(MixpanelProfiles):
                    def get_asset_spec(self):
                        return super().get_asset_spec().merge_attributes(tags={"tier": "raw"})
        """
        promoted = {column.name: column.description for column in self.columns}
        return table_spec(
            self.grouped(self.asset),
            self.profiles_table,
            PROFILE_DESCRIPTIONS | promoted,
            self.partitions,
            self.cron_schedule,
        )

    def execute(self, context: dg.AssetExecutionContext, config: ShrinkConfig) -> Results:
        """Publish today's snapshot. Override it to do something before or after.

        Args:
            context: context of the run.
            config: what the launchpad says.
        """

        def take(taking: Taking) -> dg.MaterializeResult[Any]:
            snapshot = pull_profiles(
                taking.client,
                self.profiles_table,
                taking.day,
                self.profile_filter,
                self.columns,
                source=self.source,
                run_id=run_id_of(context),
                allow_shrink=taking.allow_shrink,
                log=context.log,
            )
            # No preview: erasure doesn't reach Dagster's storage.
            return dg.MaterializeResult(
                metadata={
                    **published(snapshot.partition),
                    "mixpanel_etl/repeats_removed": snapshot.repeats,
                    **queries(taking.client),
                },
                check_results=[all_arrived([("profiles", arrival) for arrival in snapshot.arrivals])],
            )

        yield from take_snapshot(context, self.mixpanel, self.profiles_table, config, take)

    def build(self) -> dg.Definitions:
        """Asset, checks, job and schedule of the snapshots.

        Raises:
            ConfigurationError: the source is unknown, does not support an attribute, or a column's property is not
                among the `output_properties`.
        """
        self._check()
        spec = self.get_asset_spec()
        return dg.Definitions.merge(
            dg.Definitions(assets=[snapshot_asset(self, spec, self.execute, checks=ARRIVAL_CHECKS)]),
            daily_snapshots(self.name, [spec.key], self.partitions, self.cron_schedule),
        )

    def default_name(self, folder: str) -> str:  # noqa: ARG002
        """From the asset's key."""
        return self.asset.key.to_python_identifier()

    @property
    def profiles_table(self) -> Table:
        """The table of the lake."""
        return Table(self.lake_uri, self.table, profile_schema(self.columns))

    @property
    def profile_filter(self) -> ProfileFilter:
        """Which profiles, and which of their properties.

        Raises:
            ConfigurationError: the filter is malformed.
        """
        return ProfileFilter(
            where=self.where,
            cohort=self.cohort,
            output_properties=None if self.output_properties is None else tuple(self.output_properties),
            data_group_id=self.data_group_id,
        )

    @property
    def partitions(self) -> dg.DailyPartitionsDefinition:
        """The days in project time, today included."""
        return snapshot_partitions(self.mixpanel, self.start_date)

    def _check(self) -> None:
        if self.source not in get_args(Source):
            raise ConfigurationError(f"source is {self.source!r}; allowed: {', '.join(get_args(Source))}")
        only = self.profile_filter
        if self.source == "jql":
            only.check_jql()
        for column in self.columns:
            if only.names is not None and column.source not in only.names:
                raise ConfigurationError(
                    f"column {column.name!r}: property {column.source!r} is not among the output_properties; add it"
                )
