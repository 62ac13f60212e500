"""`type: mixpanel_etl.MixpanelCatalogue`: daily snapshots of what a project contains besides its data."""

# Dagster reads the annotations of components, so they must be types, not strings.
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, ClassVar

import dagster as dg

from mixpanel_etl.dagster.catalogue.checks import EXPIRY, expiry
from mixpanel_etl.dagster.catalogue.listings import listing_checks, take_listing
from mixpanel_etl.dagster.component import MixpanelComponent
from mixpanel_etl.dagster.fields import CronSchedule, Folder, KeyPrefix, StartDate, prefixed
from mixpanel_etl.dagster.metadata import table_spec
from mixpanel_etl.dagster.recording import Results
from mixpanel_etl.dagster.snapshots import ShrinkConfig, daily_snapshots, snapshot_asset, snapshot_partitions
from mixpanel_etl.lake import ConfigurationError, Table
from mixpanel_etl.pull.catalogue import GROUPS, SERVICE_ACCOUNTS, Group, listings
from mixpanel_etl.pull.listings import Listing
from mixpanel_etl.pull.published import Published


@dataclass(kw_only=True)
class MixpanelCatalogue(MixpanelComponent):
    """Daily snapshots of what a project contains besides its data: one asset and one table per listing.

    Example: a subclass that tells another system when a listing is there

        .. code-block:: python

            class AnnouncedCatalogue(MixpanelCatalogue):
                def execute(self, context, listing, config):
                    yield from super().execute(context, listing, config)
                    announce(listing.name, context.partition_key)
    """

    group: ClassVar[str] = "mixpanel_catalogue"

    groups: Annotated[Sequence[Group], dg.Resolver.default(description="Groups of listings; default: all groups.")] = (
        GROUPS
    )
    top_events: Annotated[
        int,
        dg.Resolver.default(
            description="Number of most frequent events whose top properties are listed (one query per event)."
        ),
    ] = 10
    organization_id: Annotated[
        int | None,
        dg.Resolver.default(
            description="Id of the organization, to list all its service accounts (as one of its admins) instead of "
            "the project's."
        ),
    ] = None
    warn_days: Annotated[
        int, dg.Resolver.default(description="Days before a service account's expiry from which its check warns.")
    ] = 30
    key_prefix: KeyPrefix = "mixpanel/catalogue"
    folder: Folder = "catalogue"
    start_date: StartDate = None
    cron_schedule: CronSchedule = "0 5 * * *"

    def get_asset_spec(self, listing: Listing) -> dg.AssetSpec:
        """Spec of a listing's asset. Override it to change tags, metadata or the freshness policy.

        Args:
            listing: kind of listing.

        Example:
            .. code-block:: python

                class TaggedCatalogue(MixpanelCatalogue):
                    def get_asset_spec(self, listing):
                        return super().get_asset_spec(listing).merge_attributes(tags={"budget": listing.budget})
        """
        key = prefixed(self.key_prefix, listing.name)
        spec = dg.AssetSpec(key, group_name=self.group, description=listing.description)
        return table_spec(spec, self.table(listing), listing.descriptions, self.partitions, self.cron_schedule)

    def execute(self, context: dg.AssetExecutionContext, listing: Listing, config: ShrinkConfig) -> Results:
        """Publish today's snapshot of a listing. Override it to do something before or after.

        Args:
            context: context of the run.
            listing: kind of listing.
            config: what the launchpad says.
        """

        def judge(listed: Published) -> Iterator[dg.AssetCheckResult]:
            if listing.name == SERVICE_ACCOUNTS:
                yield expiry(listed, timedelta(days=self.warn_days), datetime.now(UTC))

        yield from take_listing(context, self.mixpanel, listing, self.table(listing), config, judge=judge)

    def build(self) -> dg.Definitions:
        """Assets, checks, job and schedule of the snapshots.

        Raises:
            ConfigurationError: a group is unknown, or a number too small.
        """
        self._check()
        found = listings(self.groups, top_events=self.top_events, organization_id=self.organization_id)
        assets = [self._asset(listing) for listing in found]
        keys = [asset.key for asset in assets]
        return dg.Definitions.merge(
            dg.Definitions(assets=assets), daily_snapshots(self.name, keys, self.partitions, self.cron_schedule)
        )

    def table(self, listing: Listing) -> Table:
        """The table of a listing in the lake.

        Args:
            listing: kind of listing.
        """
        return Table(self.lake_uri, f"{self.folder}/{listing.name}", listing.schema)

    @property
    def partitions(self) -> dg.DailyPartitionsDefinition:
        """The days in project time, today included."""
        return snapshot_partitions(self.mixpanel, self.start_date)

    def _asset(self, listing: Listing) -> dg.AssetsDefinition:
        checks = listing_checks(listing)
        if listing.name == SERVICE_ACCOUNTS:
            checks[EXPIRY] = f"No account expires within {self.warn_days} days."
        return snapshot_asset(
            self,
            self.get_asset_spec(listing),
            lambda context, config: self.execute(context, listing, config),
            budget=listing.budget,
            checks=checks,
        )

    def _check(self) -> None:
        if unknown := sorted(set(self.groups) - set(GROUPS)):
            raise ConfigurationError(f"unknown group {unknown[0]!r}; allowed: {', '.join(GROUPS)}")
        if self.top_events < 1:
            raise ConfigurationError(
                f"top_events is {self.top_events}; it must be >= 1. To have no events, leave out the group events"
            )
        if self.warn_days < 0:
            raise ConfigurationError(f"warn_days is {self.warn_days}; it must be >= 0")
