"""`type: mixpanel_etl.MixpanelProfiles` and `type: mixpanel_etl.MixpanelCohorts`."""

# Dagster reads the annotations of components, so they must be types, not strings.
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

import dagster as dg

from mixpanel_etl.dagster.fields import Column, EnvPrefix, Lake, StartDate, TakeAt, first_day, identifier
from mixpanel_etl.dagster.mistakes import rendered
from mixpanel_etl.dagster.profiles.assets import Profiles, profile_definitions
from mixpanel_etl.dagster.profiles.cohorts import Cohorts, cohort_definitions
from mixpanel_etl.dagster.resource import MixpanelResource
from mixpanel_etl.pull.profile_snapshots import ProfileFilter, Source
from mixpanel_etl.settings import DEFAULT_PREFIX


@dataclass
class MixpanelProfiles(dg.Component, dg.Resolvable):
    """All profiles of users, or of groups, as they are on a day: one Parquet file a snapshot.

    Credentials, region and time zone come from the environment (`MIXPANEL_*`; see `.env.example`).
    """

    asset: Annotated[dg.ResolvedAssetSpec, dg.Resolver.default(description="Key, group, owners, tags, description.")]
    env_prefix: EnvPrefix = DEFAULT_PREFIX
    table: Annotated[str, dg.Resolver.default(description="Folder of the lake. Each instance has its own.")] = (
        "profiles"
    )
    lake: Lake = None
    start_date: StartDate = None
    source: Annotated[
        Source,
        dg.Resolver.default(description="`engage`: a query for each 1,000 profiles. `jql`: one query for all users."),
    ] = "engage"
    where: Annotated[
        str | None,
        dg.Resolver.default(
            description="Segmentation expression that profiles must fulfil.",
            examples=['user["plan"] == "pro"'],
        ),
    ] = None
    cohort: Annotated[int | None, dg.Resolver.default(description="Id of a saved cohort: only its members.")] = None
    output_properties: Annotated[
        Sequence[str] | None,
        dg.Resolver(
            rendered,
            model_field_type=Sequence[str] | None,
            description="Names of the properties to keep; all by default.",
        ),
    ] = None
    data_group_id: Annotated[
        str | None,
        dg.Resolver(
            rendered,
            model_field_type=str | None,
            description="Mixpanel's number of a group key: its groups, not the users.",
        ),
    ] = None
    columns: Annotated[
        Sequence[Column],
        dg.Resolver.default(
            description="Properties that get a typed column beside `properties`.",
            examples=[[{"property": "$city", "type": "string", "name": "city"}]],
        ),
    ] = field(default_factory=list)
    take_at: TakeAt = "0 2 * * *"

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:  # noqa: ARG002
        """Asset, job and schedule of the snapshots."""
        return profile_definitions(self.profiles())

    def profiles(self) -> Profiles:
        """What this instance describes; override it to describe something else."""
        return Profiles(
            spec=self.asset,
            mixpanel=MixpanelResource(env_prefix=self.env_prefix),
            table=self.table,
            source=self.source,
            only=ProfileFilter(
                where=self.where,
                cohort=self.cohort,
                output_properties=None if self.output_properties is None else tuple(self.output_properties),
                data_group_id=self.data_group_id,
            ),
            promoted=self.columns,
            lake=self.lake,
            start_date=first_day(self.start_date),
            take_at=self.take_at,
        )


@dataclass
class MixpanelCohorts(dg.Component, dg.Resolvable):
    """The saved cohorts as they are on a day, and the members of chosen ones.

    Credentials, region and time zone come from the environment (`MIXPANEL_*`; see `.env.example`).
    """

    members_of: Annotated[
        Sequence[int | str],
        dg.Resolver(
            rendered,
            model_field_type=Sequence[int | str],
            description="Cohorts whose members are wanted, by id or exact name: a query for each 1,000 of them.",
            examples=[[1478097, "Power users"]],
        ),
    ] = field(default_factory=list)
    env_prefix: EnvPrefix = DEFAULT_PREFIX
    key_prefix: Annotated[
        str, dg.Resolver.default(description="What the assets' keys begin with; another project has another.")
    ] = "mixpanel"
    folder: Annotated[
        str, dg.Resolver.default(description="Folder for the tables, of the lake; by default the lake itself.")
    ] = ""
    lake: Lake = None
    start_date: StartDate = None
    take_at: TakeAt = "0 2 * * *"

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Assets, job and schedule; the YAML's folder gives job and schedule their name."""
        return cohort_definitions(self.cohorts(f"mixpanel__{identifier(context.path)}"))

    def cohorts(self, name: str) -> Cohorts:
        """What this instance describes; override it to describe something else."""
        return Cohorts(
            members_of=self.members_of,
            mixpanel=MixpanelResource(env_prefix=self.env_prefix),
            name=name,
            key_prefix=self.key_prefix.split("/"),
            folder=self.folder,
            lake=self.lake,
            start_date=first_day(self.start_date),
            take_at=self.take_at,
        )
