"""An asset for each import of Mixpanel's warehouse connectors: materializing it is a sync, followed to its end."""

# Dagster reads the annotations of assets, so they must be types, not strings.
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, get_args

import dagster as dg

from mixpanel_etl.client import Clock, Mixpanel, SyncMode
from mixpanel_etl.connectors.sync_state import Sync
from mixpanel_etl.connectors.syncs import Syncs
from mixpanel_etl.dagster.recording import as_failure
from mixpanel_etl.dagster.resource import MixpanelResource
from mixpanel_etl.dagster.warehouse import WarehouseResource
from mixpanel_etl.lake import ConfigurationError

Follow = Literal["run", "sensor"]

#: No request of a sync waits longer in the client: a trigger that has to wait for its turn does so where it shows.
DEADLINE = 60.0
#: Mixpanel may delete the snapshots of a Mirror import that did not run for two weeks (mixpanel-api.md#connectors).
_MIRROR_LIMIT = timedelta(days=14)
_MIRROR_LATE = timedelta(days=10)


@dataclass(frozen=True)
class SyncedImport:
    """One import, as a Dagster asset.

    Attributes:
        spec: the asset's key, the assets that feed its source (`deps`), group, owners, tags and description.
        import_id: its number in Mixpanel.
        sync_mode: as Mixpanel calls it; "mirror_mode" is synced every week at least.
        source_count: SQL that counts the rows which a sync should import; see `rows.source_rows`.

    Raises:
        ConfigurationError: the number or the mode is none.
    """

    spec: dg.AssetSpec
    import_id: int
    sync_mode: str | None = None
    source_count: str | None = None

    def __post_init__(self) -> None:
        # Dagster's YAML lets any text through where a number or one of some words is declared.
        key = self.spec.key.to_user_string()
        if not isinstance(self.import_id, int) or self.import_id < 1:
            raise ConfigurationError(f"id {self.import_id!r} of {key} is no number of an import; write it like 101")
        if self.sync_mode not in (None, *get_args(SyncMode)):
            known = ", ".join(get_args(SyncMode))
            raise ConfigurationError(f"sync_mode {self.sync_mode!r} of {key} is not one of {known}")

    @property
    def name(self) -> str:
        return self.spec.key.to_python_identifier()


@dataclass(frozen=True)
class WarehouseSync:
    """The imports of a project that Dagster syncs.

    Attributes:
        imports: at least one.
        mixpanel: the project.
        warehouse: where `source_count` counts.
        follow: "run" keeps the run until the sync has ended; "sensor" ends the run when the sync is triggered, and a
            sensor records the materialization when it has ended.
        lake: path or URI of the lake; by default the project's setting.
        timeout_hours: how long a sync may take.
        mirror_at: cron expression (UTC) of the schedule that syncs Mirror imports which were not for a week.
        clock: the time, for tests to replace.

    Raises:
        ConfigurationError: an import is there twice, `follow` is of no known kind, or a time is none.
    """

    imports: Sequence[SyncedImport]
    mixpanel: MixpanelResource = field(default_factory=MixpanelResource)
    warehouse: WarehouseResource = field(default_factory=WarehouseResource)
    follow: Follow = "run"
    lake: str | None = None
    timeout_hours: float = 24.0
    mirror_at: str = "0 5 * * *"
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        ids = [item.import_id for item in self.imports]
        twice = sorted({number for number in ids if ids.count(number) > 1})
        if twice:
            raise ConfigurationError(f"imports: {twice[0]} is there twice; each import is one asset")
        if self.follow not in get_args(Follow):
            raise ConfigurationError(f"follow {self.follow!r} is not one of {', '.join(get_args(Follow))}")
        if not isinstance(self.timeout_hours, int | float) or self.timeout_hours <= 0:
            raise ConfigurationError(f"timeout_hours {self.timeout_hours!r} is no number of hours; write it like 24")

    @property
    def pool(self) -> str:
        """One for all imports of a project: what they share is its budget of five triggers an hour."""
        return self.mixpanel.pool("warehouse_sync")

    def syncs(self, mixpanel: Mixpanel) -> Syncs:
        return Syncs(
            mixpanel,
            self.lake or mixpanel.settings.lake,
            ends_within=timedelta(hours=self.timeout_hours),
            clock=self.clock,
        )


def sync_asset(sync: WarehouseSync, item: SyncedImport) -> dg.AssetsDefinition:
    """The asset of an import."""

    @dg.multi_asset(
        specs=[_spec(sync, item)],
        name=item.name,
        pool=sync.pool,
        # Once more after a trigger that proved not to have arrived; every other failure says that it is final.
        retry_policy=dg.RetryPolicy(max_retries=1),
    )
    def warehouse_sync(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[Any]]:
        with as_failure(), sync.mixpanel.client(context.log, deadline=DEADLINE) as mixpanel:
            syncs = sync.syncs(mixpanel)
            by = context.run.root_run_id or context.run.run_id
            asked = syncs.request(item.import_id, by, _written_at(context.instance, item.spec))
            if sync.follow == "sensor" and asked.phase != "ended":
                context.log.info(f"{asked}; the sensor {sensor_name(sync)} follows it")
                return
            ended = syncs.follow(asked, context.log.info)
            syncs.close(ended)
        if ended.problem:
            raise dg.Failure(str(ended), metadata=sync_metadata(ended), allow_retries=ended.may_retry)
        yield dg.MaterializeResult(metadata=sync_metadata(ended))

    return warehouse_sync


def sensor_name(sync: WarehouseSync) -> str:
    return f"{sync.pool}s"


def sync_metadata(sync: Sync) -> dict[str, Any]:
    """What the UI shows of a sync that has ended."""
    times = {"started": sync.started_at, "ended": sync.ended_at, "previous_sync_started": sync.previous_started_at}
    known: dict[str, Any] = {
        "mixpanel_etl/import_id": sync.import_id,
        "mixpanel_etl/status": sync.status or "no run",
        "mixpanel_etl/rows_imported": sync.rows,
        "mixpanel_etl/run_id": sync.run_id,
        "mixpanel_etl/was_running_already": sync.adopted,
        **{f"mixpanel_etl/{name}": dg.MetadataValue.timestamp(moment) for name, moment in times.items() if moment},
    }
    if sync.started_at and sync.ended_at:
        known["mixpanel_etl/seconds"] = (sync.ended_at - sync.started_at).total_seconds()
    return {name: value for name, value in known.items() if value is not None}


def materialized_at(instance: dg.DagsterInstance, key: dg.AssetKey) -> datetime | None:
    """When an asset was last materialized (aware), as far as Dagster knows."""
    event = instance.get_latest_materialization_event(key)
    return datetime.fromtimestamp(event.timestamp, UTC) if event else None


def _spec(sync: WarehouseSync, item: SyncedImport) -> dg.AssetSpec:
    spec = item.spec.replace_attributes(skippable=sync.follow == "sensor").merge_attributes(
        kinds={"mixpanel"}, metadata={"mixpanel_etl/import_id": item.import_id}
    )
    if item.sync_mode == "mirror_mode" and spec.freshness_policy is None:
        policy = dg.FreshnessPolicy.time_window(fail_window=_MIRROR_LIMIT, warn_window=_MIRROR_LATE)
        return spec.replace_attributes(freshness_policy=policy)
    return spec


def _written_at(instance: dg.DagsterInstance, spec: dg.AssetSpec) -> datetime | None:
    """When the assets that feed the source were last materialized, as far as Dagster knows."""
    known = [materialized_at(instance, dependency.asset_key) for dependency in spec.deps]
    return max((moment for moment in known if moment), default=None)
