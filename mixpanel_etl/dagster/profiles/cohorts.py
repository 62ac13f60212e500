"""Saved cohorts as assets: which there are, and who is in chosen ones."""

# Dagster reads the annotations of assets, so they must be types, not strings.
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import dagster as dg

from mixpanel_etl.dagster.arrivals import all_arrived, all_arrived_spec, counts_agree, counts_agree_spec
from mixpanel_etl.dagster.catalogue.listings import listing_asset
from mixpanel_etl.dagster.metadata import published, queries
from mixpanel_etl.dagster.resource import MixpanelResource
from mixpanel_etl.dagster.snapshots import (
    Taking,
    daily_snapshots,
    run_id_of,
    snapshot_asset,
    snapshot_partitions,
)
from mixpanel_etl.lake import Table
from mixpanel_etl.pull.cohort_snapshots import COHORTS, MEMBERS_DESCRIPTIONS, MEMBERS_SCHEMA, pull_members


@dataclass(frozen=True)
class Cohorts:
    """Cohorts of one Mixpanel project, as Dagster assets: `cohorts`, and `cohort_members` of chosen ones.

    Attributes:
        members_of: ids or names of the cohorts whose members are wanted; without any, the asset
            `cohort_members` is left out.
        mixpanel: the project.
        name: what the job and the schedule are called: `<name>_daily`, for example.
        key_prefix: of the assets' keys.
        folder: of the lake, in which the tables are; empty for the lake itself.
        lake: path or URI of the lake; by default the project's setting.
        start_date: the first day; by default the project's setting.
        take_at: cron expression of the schedule, in project time.
    """

    members_of: Sequence[int | str] = ()
    mixpanel: MixpanelResource = field(default_factory=MixpanelResource)
    name: str = "mixpanel__cohorts"
    key_prefix: Sequence[str] = ("mixpanel",)
    folder: str = ""
    lake: str | None = None
    start_date: date | None = None
    take_at: str = "0 2 * * *"

    def key(self, name: str) -> dg.AssetKey:
        return dg.AssetKey([*self.key_prefix, name])

    def table_name(self, name: str) -> str:
        return f"{self.folder}/{name}" if self.folder else name


def cohort_definitions(cohorts: Cohorts) -> dg.Definitions:
    """The assets of the cohorts, and a job and a schedule that take a snapshot each day.

    Raises:
        SettingsError: the project's settings are malformed or contradict each other.
        ConfigurationError: the lake is of an unknown kind.
    """
    lake = cohorts.lake or cohorts.mixpanel.settings().lake
    partitions = snapshot_partitions(cohorts.mixpanel, cohorts.start_date)
    spec = dg.AssetSpec(cohorts.key("cohorts"), group_name="mixpanel", description=COHORTS.description)
    table = Table(lake, cohorts.table_name("cohorts"), COHORTS.schema)
    assets = [listing_asset(spec, table, COHORTS, cohorts.mixpanel, partitions=partitions)]
    if cohorts.members_of:
        assets.append(_members_asset(cohorts, lake, partitions))
    keys = [asset.key for asset in assets]
    return dg.Definitions.merge(
        dg.Definitions(assets=assets), daily_snapshots(cohorts.name, keys, partitions, cohorts.take_at)
    )


def _members_asset(cohorts: Cohorts, lake: str, partitions: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    table = Table(lake, cohorts.table_name("cohort_members"), MEMBERS_SCHEMA)
    listed = ", ".join(map(str, cohorts.members_of))
    spec = dg.AssetSpec(
        cohorts.key("cohort_members"), group_name="mixpanel", description=f"Who is in the cohorts {listed}."
    )

    def take(taking: Taking) -> dg.MaterializeResult[Any]:
        snapshot, listed = pull_members(
            taking.mixpanel,
            table,
            taking.day,
            cohorts.members_of,
            run_id=run_id_of(taking.context),
            allow_shrink=taking.allow_shrink,
            log=taking.context.log,
        )
        arrivals = list(zip(listed, snapshot.arrivals, strict=True))
        return dg.MaterializeResult(
            metadata={
                **published(snapshot.partition),
                "mixpanel_etl/repeats_removed": snapshot.repeats,
                **queries(taking.mixpanel),
            },
            check_results=[
                all_arrived([(f"cohort {cohort.id}", arrival) for cohort, arrival in arrivals]),
                counts_agree([(cohort, arrival.rows) for cohort, arrival in arrivals]),
            ],
        )

    return snapshot_asset(
        spec,
        table,
        MEMBERS_DESCRIPTIONS,
        cohorts.mixpanel,
        take,
        partitions=partitions,
        checks=[all_arrived_spec(spec.key), counts_agree_spec(spec.key)],
    )
