"""An asset per import of Mixpanel's warehouse connectors: materializing it is a sync, followed to its end."""

# Dagster reads the annotations of assets, so they must be types, not strings.
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import dagster as dg

from mixpanel_etl.client import SyncMode
from mixpanel_etl.connectors.sync_state import Sync
from mixpanel_etl.dagster.fields import Asset, sql_file
from mixpanel_etl.lake import ConfigurationError

if TYPE_CHECKING:
    from mixpanel_etl.dagster.connectors.component import MixpanelConnectors

Follow = Literal["run", "sensor"]

#: Seconds that a request of a sync waits in the client: a trigger waits for its turn where it shows.
_DEADLINE = 60.0


@dataclass(frozen=True, kw_only=True)
class ConnectorImport(dg.Resolvable):
    """An import of a warehouse connector, as an asset.

    Raises:
        ConfigurationError: `id` or `sync_mode` is malformed.
    """

    id: Annotated[int, dg.Resolver.default(description="Id of the import; `mixpanel-etl connectors` lists them.")]
    asset: Asset
    sync_mode: Annotated[
        SyncMode | None,
        dg.Resolver.default(
            description="Sync mode, in Mixpanel's spelling. A mirror_mode import is synced at least every week."
        ),
    ] = None
    source_count: Annotated[
        str | None,
        sql_file(
            "SQL file that counts the rows which a sync should import, in the warehouse. `$start` and `$end` are the "
            "starts of the last sync and of this one.",
            "sql/push/orders_count.sql",
        ),
    ] = None

    def __post_init__(self) -> None:
        # Dagster's YAML accepts any string where an integer or one of some words is declared.
        key = self.asset.key.to_user_string()
        if not isinstance(self.id, int) or self.id < 1:
            raise ConfigurationError(f"id of {key} is {self.id!r}; it must be an import id, e.g. 101")
        if self.sync_mode not in (None, *get_args(SyncMode)):
            allowed = ", ".join(get_args(SyncMode))
            raise ConfigurationError(f"sync_mode of {key} is {self.sync_mode!r}; allowed: {allowed}")


def import_asset(component: "MixpanelConnectors", item: ConnectorImport) -> dg.AssetsDefinition:
    """The asset of an import."""

    @dg.multi_asset(
        specs=[component.get_asset_spec(item)],
        **component.op.arguments(
            name=item.asset.key.to_python_identifier(),
            pool=component.pool,
            # Once more after a trigger that certainly did not arrive; every other failure says that it is final.
            retry_policy=dg.RetryPolicy(max_retries=1),
        ),
    )
    def connector_import(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[Any]]:
        yield from component.execute(context, item)

    return connector_import


def run_sync(
    context: dg.AssetExecutionContext, component: "MixpanelConnectors", item: ConnectorImport
) -> Iterator[dg.MaterializeResult[Any]]:
    """Trigger a sync, or adopt a running one, and follow it as far as the component says."""
    with component.mixpanel.client(context.log, deadline=_DEADLINE) as mixpanel:
        syncs = component.syncs(mixpanel)
        by = context.run.root_run_id or context.run.run_id
        sync = syncs.request(item.id, by, _written_at(context.instance, item.asset))
        if component.follow == "sensor" and sync.phase != "ended":
            context.log.info(f"{sync}; the sensor {component.name}_sensor follows it")
            return
        ended = syncs.follow(sync, context.log.info)
        syncs.close(ended)
    if ended.problem:
        raise dg.Failure(str(ended), metadata=sync_metadata(ended), allow_retries=ended.may_retry)
    yield dg.MaterializeResult(metadata=sync_metadata(ended))


def sync_metadata(sync: Sync) -> dict[str, Any]:
    """What the UI shows of a sync that has ended."""
    times = {"started": sync.started_at, "ended": sync.ended_at, "previous_sync_started": sync.previous_started_at}
    known: dict[str, Any] = {
        "mixpanel_etl/import_id": sync.import_id,
        "mixpanel_etl/status": sync.status or "no run",
        "mixpanel_etl/rows_imported": sync.rows,
        "mixpanel_etl/run_id": sync.run_id,
        "mixpanel_etl/was_running_already": sync.adopted,
        **{f"mixpanel_etl/{name}": dg.MetadataValue.timestamp(time) for name, time in times.items() if time},
    }
    if sync.started_at and sync.ended_at:
        known["mixpanel_etl/seconds"] = (sync.ended_at - sync.started_at).total_seconds()
    return {name: value for name, value in known.items() if value is not None}


def materialized_at(instance: dg.DagsterInstance, key: dg.AssetKey) -> datetime | None:
    """When an asset was last materialized (aware), as far as Dagster knows."""
    event = instance.get_latest_materialization_event(key)
    return datetime.fromtimestamp(event.timestamp, UTC) if event else None


def _written_at(instance: dg.DagsterInstance, spec: dg.AssetSpec) -> datetime | None:
    """When the assets that feed the source were last materialized, as far as Dagster knows."""
    known = [materialized_at(instance, dependency.asset_key) for dependency in spec.deps]
    return max((time for time in known if time), default=None)
