"""`type: mixpanel_etl.MixpanelWarehouseSync`."""

# Dagster reads the annotations of components, so they must be types, not strings.
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import dagster as dg

from mixpanel_etl.client import SyncMode
from mixpanel_etl.dagster.connectors import (
    Follow,
    SyncedImport,
    WarehouseSync,
    warehouse_sync_definitions,
)
from mixpanel_etl.dagster.fields import EnvPrefix, Lake, read_sql
from mixpanel_etl.dagster.resource import MixpanelResource
from mixpanel_etl.dagster.warehouse import WarehouseResource
from mixpanel_etl.settings import DEFAULT_PREFIX


@dataclass
class Import(dg.Resolvable):
    """An import of a warehouse connector, as an asset."""

    id: Annotated[int, dg.Resolver.default(description="Its number; `mixpanel-etl warehouse-imports` lists them.")]
    asset: Annotated[
        dg.ResolvedAssetSpec,
        dg.Resolver.default(description="Key, group, owners, and as `deps` the models that its source consists of."),
    ]
    sync_mode: Annotated[
        SyncMode | None,
        dg.Resolver.default(description="As Mixpanel calls it. A mirror_mode import is synced every week at least."),
    ] = None
    source_count: Annotated[
        str | None,
        dg.Resolver.default(
            description="SQL file that counts the rows which a sync should import, in the warehouse of "
            "MIXPANEL_WAREHOUSE_URL; `$start` and `$end` are when the last sync and this one began."
        ),
    ] = None


@dataclass
class MixpanelWarehouseSync(dg.Component, dg.Resolvable):
    """Syncs of Mixpanel's warehouse connectors, one asset an import: triggered, and followed to their end.

    The service account must be admin or owner of the project. `mixpanel-etl warehouse-imports` writes an instance with
    all imports of a project.
    """

    imports: Annotated[
        Sequence[Import],
        dg.Resolver.default(examples=[[{"id": 101, "asset": {"key": "mixpanel/orders", "deps": ["shop/orders"]}}]]),
    ]
    env_prefix: EnvPrefix = DEFAULT_PREFIX
    lake: Lake = None
    follow: Annotated[
        Follow,
        dg.Resolver.default(
            description="Whether the `run` waits for the end of the sync, or ends, and a `sensor` records it."
        ),
    ] = "run"
    timeout_hours: Annotated[float, dg.Resolver.default(description="How long a sync may take.")] = 24.0
    mirror_at: Annotated[
        str, dg.Resolver.default(description="Cron expression (UTC) of the schedule that keeps Mirror imports fresh.")
    ] = "0 5 * * *"

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Assets, and what follows them."""
        return warehouse_sync_definitions(self.sync(context.path))

    def sync(self, folder: Path) -> WarehouseSync:
        """What this instance describes, with its SQL files; override it to describe something else."""
        return WarehouseSync(
            imports=[
                SyncedImport(
                    item.asset,
                    item.id,
                    item.sync_mode,
                    source_count=read_sql(item.source_count, folder) if item.source_count else None,
                )
                for item in self.imports
            ],
            mixpanel=MixpanelResource(env_prefix=self.env_prefix),
            warehouse=WarehouseResource(env_prefix=self.env_prefix),
            follow=self.follow,
            lake=self.lake,
            timeout_hours=self.timeout_hours,
            mirror_at=self.mirror_at,
        )
