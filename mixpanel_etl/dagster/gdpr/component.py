"""`type: mixpanel_etl.MixpanelGdpr`."""

# Dagster reads the annotations of components, so they must be types, not strings.
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import dagster as dg

from mixpanel_etl.dagster.fields import EnvPrefix, Lake, read_sql
from mixpanel_etl.dagster.gdpr import Gdpr, gdpr_definitions
from mixpanel_etl.dagster.gdpr.settings import log_alert
from mixpanel_etl.dagster.resource import MixpanelResource
from mixpanel_etl.dagster.warehouse import WarehouseResource
from mixpanel_etl.gdpr.progress import Erase
from mixpanel_etl.settings import DEFAULT_PREFIX


@dataclass
class MixpanelGdpr(dg.Component, dg.Resolvable):
    """Deletions and retrievals that people ask for: in Mixpanel, in the lake, with a certificate.

    It needs the OAuth token of an owner or admin (`MIXPANEL_OAUTH_TOKEN`) and the project's token
    (`MIXPANEL_PROJECT_TOKEN`).
    """

    requests: Annotated[
        str | None,
        dg.Resolver.default(
            description="SQL file that returns requests from the warehouse of MIXPANEL_WAREHOUSE_URL.",
            examples=["sql/gdpr/requests.sql"],
        ),
    ] = None
    folder: Annotated[
        str | None,
        dg.Resolver.default(
            description="Path or s3:// URI into which CSV or JSON files with requests are dropped. A file that was "
            "read is replaced by a receipt.",
            examples=["s3://privacy/inbox"],
        ),
    ] = None
    key_prefix: Annotated[str, dg.Resolver.default(description="Of the assets.")] = "mixpanel/gdpr"
    group_name: Annotated[str, dg.Resolver.default(description="Of the assets.")] = "gdpr"
    env_prefix: EnvPrefix = DEFAULT_PREFIX
    lake: Lake = None
    deliver_to: Annotated[
        str | None,
        dg.Resolver.default(
            description="Path or s3:// URI for what retrievals bring, in a folder for each request. Not in the lake."
        ),
    ] = None
    keep_days: Annotated[float, dg.Resolver.default(description="After which delivered data are removed.")] = 30.0
    lookup_property: Annotated[
        str, dg.Resolver.default(description="Property of profiles whose values the `lookup` of requests names.")
    ] = "$email"
    profiles_table: Annotated[
        str,
        dg.Resolver.default(
            description="Table of the lake with snapshots of profiles. Lookups are sent to Mixpanel as well."
        ),
    ] = "profiles"
    protected: Annotated[
        Sequence[str],
        dg.Resolver.default(description="Ids that belong to no single person. Requests that name one are rejected."),
    ] = field(default_factory=list)
    hold_hours: Annotated[
        float, dg.Resolver.default(description="How long a deletion can be cancelled before it goes to Mixpanel.")
    ] = 0.0
    erase: Annotated[
        Erase, dg.Resolver.default(description="When the lake is erased: after Mixpanel's SUCCESS, or also at once.")
    ] = "after_success"
    pack_retrievals: Annotated[
        bool,
        dg.Resolver.default(
            description="Ask for the data of several people in one job, and take its archive apart by distinct id."
        ),
    ] = True
    late_days: Annotated[float, dg.Resolver.default(description="After which an open job is alerted.")] = 30.0
    intake_minutes: Annotated[int, dg.Resolver.default(description="How often the query and the folder are read.")] = 1
    daily_at: Annotated[
        str, dg.Resolver.default(description="Cron expression (UTC) of the daily look at deadlines.")
    ] = "0 6 * * *"

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Assets, sensors, checks and schedule."""
        return gdpr_definitions(self.gdpr(context.path))

    def alert(self, text: str) -> None:
        """Called with each alert: override it to tell whom it concerns. The text names no person."""
        log_alert(text)

    def gdpr(self, folder: Path) -> Gdpr:
        """What this instance describes, with its SQL file; override it to describe something else."""
        return Gdpr(
            key_prefix=self.key_prefix.split("/"),
            group_name=self.group_name,
            mixpanel=MixpanelResource(env_prefix=self.env_prefix),
            warehouse=WarehouseResource(env_prefix=self.env_prefix),
            query=read_sql(self.requests, folder) if self.requests else None,
            folder=self.folder,
            intake_minutes=self.intake_minutes,
            deliver_to=self.deliver_to,
            keep_days=self.keep_days,
            lookup_property=self.lookup_property,
            profiles_table=self.profiles_table,
            protected=self.protected,
            hold_hours=self.hold_hours,
            erase=self.erase,
            pack_retrievals=self.pack_retrievals,
            late_days=self.late_days,
            daily_at=self.daily_at,
            lake=self.lake,
            on_alert=self.alert,
        )
