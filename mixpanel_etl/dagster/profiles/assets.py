"""Profiles of users or groups as an asset: a full snapshot for each day on which one was taken."""

# Dagster reads the annotations of assets, so they must be types, not strings.
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, get_args

import dagster as dg

from mixpanel_etl.dagster.arrivals import all_arrived, all_arrived_spec
from mixpanel_etl.dagster.metadata import published, queries
from mixpanel_etl.dagster.resource import MixpanelResource
from mixpanel_etl.dagster.snapshots import (
    Taking,
    daily_snapshots,
    run_id_of,
    snapshot_asset,
    snapshot_partitions,
)
from mixpanel_etl.lake import ConfigurationError, PromotedColumn, Table
from mixpanel_etl.pull.profile_snapshots import (
    PROFILE_DESCRIPTIONS,
    ProfileFilter,
    Source,
    profile_schema,
    pull_profiles,
)


@dataclass(frozen=True)
class Profiles:
    """Profiles of one Mixpanel project, as a Dagster asset.

    Attributes:
        spec: the asset's key, group, owners, tags and description; its partitions are made here.
        mixpanel: the project.
        table: folder of the lake.
        source: `engage` costs a query for each 1,000 profiles, `jql` one for all users.
        only: which profiles, and which of their properties.
        promoted: properties with typed columns.
        lake: path or URI of the lake; by default the project's setting.
        start_date: the first day; by default the project's setting.
        take_at: cron expression of the schedule, in project time.

    Raises:
        ConfigurationError: the source is unknown, can't answer what is asked for, or not for a promoted property.
    """

    spec: dg.AssetSpec
    mixpanel: MixpanelResource = field(default_factory=MixpanelResource)
    table: str = "profiles"
    source: Source = "engage"
    only: ProfileFilter = field(default_factory=ProfileFilter)
    promoted: Sequence[PromotedColumn] = ()
    lake: str | None = None
    start_date: date | None = None
    take_at: str = "0 2 * * *"

    def __post_init__(self) -> None:
        if self.source not in get_args(Source):
            raise ConfigurationError(f"source is {self.source!r}: give one of {', '.join(get_args(Source))}")
        if self.source == "jql":
            self.only.check_jql()
        for column in self.promoted:
            if self.only.names is not None and column.source not in self.only.names:
                raise ConfigurationError(
                    f"column {column.name!r}: property {column.source!r} is not among the output_properties; add it"
                )


def profile_definitions(profiles: Profiles) -> dg.Definitions:
    """The asset of the profiles, and a job and a schedule that take a snapshot each day.

    Raises:
        SettingsError: the project's settings are malformed or contradict each other.
        ConfigurationError: the table's columns clash, or the lake is of an unknown kind.
    """
    lake = profiles.lake or profiles.mixpanel.settings().lake
    table = Table(lake, profiles.table, profile_schema(profiles.promoted))
    promoted = {column.name: f"Property {column.source}, where it is a {column.type}." for column in profiles.promoted}
    partitions = snapshot_partitions(profiles.mixpanel, profiles.start_date)

    def take(taking: Taking) -> dg.MaterializeResult[Any]:
        snapshot = pull_profiles(
            taking.mixpanel,
            table,
            taking.day,
            profiles.only,
            profiles.promoted,
            source=profiles.source,
            run_id=run_id_of(taking.context),
            allow_shrink=taking.allow_shrink,
            log=taking.context.log,
        )
        # No preview: what Dagster stores of a person, no erasure would find.
        return dg.MaterializeResult(
            metadata={
                **published(snapshot.partition),
                "mixpanel_etl/repeats_removed": snapshot.repeats,
                **queries(taking.mixpanel),
            },
            check_results=[all_arrived([("profiles", arrival) for arrival in snapshot.arrivals])],
        )

    asset = snapshot_asset(
        profiles.spec,
        table,
        PROFILE_DESCRIPTIONS | promoted,
        profiles.mixpanel,
        take,
        partitions=partitions,
        checks=[all_arrived_spec(profiles.spec.key)],
    )
    key = profiles.spec.key
    return dg.Definitions.merge(
        dg.Definitions(assets=[asset]),
        daily_snapshots(key.to_python_identifier(), [key], partitions, profiles.take_at),
    )
