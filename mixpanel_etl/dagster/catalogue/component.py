"""`type: mixpanel_etl.MixpanelCatalogue`."""

# Dagster reads the annotations of components, so they must be types, not strings.
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import dagster as dg

from mixpanel_etl.dagster.catalogue.assets import Catalogue, catalogue_definitions
from mixpanel_etl.dagster.fields import EnvPrefix, Lake, StartDate, TakeAt, first_day, identifier
from mixpanel_etl.dagster.resource import MixpanelResource
from mixpanel_etl.pull.catalogue import GROUPS, Group
from mixpanel_etl.settings import DEFAULT_PREFIX


@dataclass
class MixpanelCatalogue(dg.Component, dg.Resolvable):
    """What a Mixpanel project has beside its data, as it is on a day: one asset and one table a kind of thing.

    Credentials, region and time zone come from the environment (`MIXPANEL_*`; see `.env.example`).
    """

    groups: Annotated[Sequence[Group], dg.Resolver.default(description="What is listed; everything by default.")] = (
        GROUPS
    )
    top_events: Annotated[
        int,
        dg.Resolver.default(
            description="Of so many of the most common events, the most common properties are listed: a query each."
        ),
    ] = 10
    organization_id: Annotated[
        int | None,
        dg.Resolver.default(
            description="Lists all service accounts of the organization (its admins only), not the project's members."
        ),
    ] = None
    warn_days: Annotated[
        int, dg.Resolver.default(description="Warns so many days before a service account expires.")
    ] = 30
    env_prefix: EnvPrefix = DEFAULT_PREFIX
    key_prefix: Annotated[
        str, dg.Resolver.default(description="What the assets' keys begin with; another project has another.")
    ] = "mixpanel/catalogue"
    folder: Annotated[str, dg.Resolver.default(description="Folder of the lake in which each listing has a table.")] = (
        "catalogue"
    )
    lake: Lake = None
    start_date: StartDate = None
    take_at: TakeAt = "0 5 * * *"

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Assets, job and schedule; the YAML's folder gives job and schedule their name."""
        return catalogue_definitions(self.catalogue(f"mixpanel__{identifier(context.path)}"))

    def catalogue(self, name: str) -> Catalogue:
        """What this instance describes; override it to describe something else."""
        return Catalogue(
            groups=self.groups,
            top_events=self.top_events,
            organization_id=self.organization_id,
            warn_days=self.warn_days,
            mixpanel=MixpanelResource(env_prefix=self.env_prefix),
            name=name,
            key_prefix=self.key_prefix.split("/"),
            folder=self.folder,
            lake=self.lake,
            start_date=first_day(self.start_date),
            take_at=self.take_at,
        )
