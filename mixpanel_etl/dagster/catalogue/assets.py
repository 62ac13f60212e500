"""The catalogue as assets: a snapshot a day of everything that the project knows and has beside its data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import dagster as dg

from mixpanel_etl.dagster.catalogue.listings import listing_asset
from mixpanel_etl.dagster.resource import MixpanelResource
from mixpanel_etl.dagster.snapshots import daily_snapshots, snapshot_partitions
from mixpanel_etl.lake import ConfigurationError, Table
from mixpanel_etl.pull.catalogue import GROUPS, SERVICE_ACCOUNTS, Group, listings
from mixpanel_etl.pull.listings import Listing
from mixpanel_etl.pull.published import Published

#: The check of the service accounts.
EXPIRY = "none_expires_soon"


@dataclass(frozen=True)
class Catalogue:
    """The catalogue of one Mixpanel project, as Dagster assets.

    Attributes:
        groups: what is listed; all by default.
        top_events: of so many of the most common events, the most common properties are asked for, a query each.
        organization_id: list all service accounts of the organization instead of the project's members.
        warn_days: the check of the service accounts warns so many days before one expires.
        mixpanel: the project.
        name: what the job and the schedule are called: `<name>_daily`, for example.
        key_prefix: of the assets' keys.
        folder: of the lake; each listing has a table in it.
        lake: path or URI of the lake; by default the project's setting.
        start_date: the first day; by default the project's setting.
        take_at: cron expression of the schedule, in project time.

    Raises:
        ConfigurationError: a group is unknown, or a number too small.
    """

    groups: Sequence[Group] = GROUPS
    top_events: int = 10
    organization_id: int | None = None
    warn_days: int = 30
    mixpanel: MixpanelResource = field(default_factory=MixpanelResource)
    name: str = "mixpanel__catalogue"
    key_prefix: Sequence[str] = ("mixpanel", "catalogue")
    folder: str = "catalogue"
    lake: str | None = None
    start_date: date | None = None
    take_at: str = "0 5 * * *"

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.groups) - set(GROUPS)):
            raise ConfigurationError(f"group {unknown[0]!r} is unknown: give some of {', '.join(GROUPS)}")
        if self.top_events < 1:
            raise ConfigurationError(f"top_events is {self.top_events}: give 1 or more, or leave the group events out")
        if self.warn_days < 0:
            raise ConfigurationError(f"warn_days is {self.warn_days}: give 0 or more")


def catalogue_definitions(catalogue: Catalogue) -> dg.Definitions:
    """The assets of the catalogue, and a job and a schedule that take a snapshot each day.

    Raises:
        SettingsError: the project's settings are malformed or contradict each other.
        ConfigurationError: the lake is of an unknown kind.
    """
    partitions = snapshot_partitions(catalogue.mixpanel, catalogue.start_date)
    found = listings(catalogue.groups, top_events=catalogue.top_events, organization_id=catalogue.organization_id)
    assets = [_asset(catalogue, listing, partitions) for listing in found]
    keys = [asset.key for asset in assets]
    return dg.Definitions.merge(
        dg.Definitions(assets=assets), daily_snapshots(catalogue.name, keys, partitions, catalogue.take_at)
    )


def _asset(catalogue: Catalogue, listing: Listing, partitions: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    lake = catalogue.lake or catalogue.mixpanel.settings().lake
    table = Table(lake, f"{catalogue.folder}/{listing.name}", listing.schema)
    key = dg.AssetKey([*catalogue.key_prefix, listing.name])
    spec = dg.AssetSpec(key, group_name="mixpanel_catalogue", description=listing.description)
    if listing.name != SERVICE_ACCOUNTS:
        return listing_asset(spec, table, listing, catalogue.mixpanel, partitions=partitions)
    warned = timedelta(days=catalogue.warn_days)
    check = dg.AssetCheckSpec(EXPIRY, asset=key, description=f"No account expires within {catalogue.warn_days} days.")

    def judge(listed: Published) -> Iterator[dg.AssetCheckResult]:
        yield expiry(listed, warned, datetime.now(UTC))

    return listing_asset(spec, table, listing, catalogue.mixpanel, partitions=partitions, checks=[check], judge=judge)


def expiry(listed: Published, warned: timedelta, now: datetime) -> dg.AssetCheckResult:
    """A warning when a service account expires soon, or has expired.

    Args:
        listed: the accounts.
        warned: how long before.
        now: aware.
    """
    limited = [account for account in listed.rows.to_pylist() if account["expires"]]
    soon = sorted(
        (account["expires"], account["account_id"]) for account in limited if account["expires"] <= now + warned
    )
    # By their numbers: an account can be called after a person, and no erasure reaches Dagster.
    named = "; ".join(f"account {number}: {moment:%Y-%m-%d %H:%M} UTC" for moment, number in soon)
    advice = "Create another account, put it into the settings, and delete this one: an expiry can't be moved."
    return dg.AssetCheckResult(
        check_name=EXPIRY,
        passed=not soon,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{named}. {advice}" if soon else "None.",
        metadata={"accounts": listed.rows.num_rows, "that_expire": len(limited), "soon": len(soon)},
    )
