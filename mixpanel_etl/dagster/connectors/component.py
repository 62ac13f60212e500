"""`type: mixpanel_etl.MixpanelConnectors`: syncs of Mixpanel's warehouse connectors."""

# Dagster reads the annotations of components, so they must be types, not strings.
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, ClassVar, get_args

import dagster as dg

from mixpanel_etl.client import Clock, Mixpanel
from mixpanel_etl.connectors.syncs import Syncs
from mixpanel_etl.dagster.connectors.assets import ConnectorImport, Follow, import_asset, run_sync
from mixpanel_etl.dagster.connectors.checks import rows_match_source
from mixpanel_etl.dagster.connectors.schedules import mirror_schedules
from mixpanel_etl.dagster.connectors.sensors import sync_sensor, sync_succeeded
from mixpanel_etl.dagster.fields import CronSchedule
from mixpanel_etl.dagster.recording import as_failure
from mixpanel_etl.dagster.warehouse import WarehouseComponent
from mixpanel_etl.lake import ConfigurationError

#: Mixpanel may delete the snapshots of a Mirror import that did not run for two weeks (mixpanel-api.md#connectors).
_MIRROR_POLICY = dg.FreshnessPolicy.time_window(fail_window=timedelta(days=14), warn_window=timedelta(days=10))


@dataclass(kw_only=True)
class MixpanelConnectors(WarehouseComponent):
    """Syncs of Mixpanel's warehouse connectors, one asset per import: triggered, and followed to their end.

    The service account must be admin or owner of the project. `mixpanel-etl connectors` prints the YAML with all
    imports of a project.

    Example: a subclass that syncs only while the models are green

        .. code-block:: python

            class CarefulConnectors(MixpanelConnectors):
                def execute(self, context, item):
                    check_models(item.asset.deps)
                    yield from super().execute(context, item)
    """

    group: ClassVar[str] = "mixpanel_connectors"
    #: The time, for tests to replace.
    clock: ClassVar[Clock] = Clock()

    imports: Annotated[
        Sequence[ConnectorImport],
        dg.Resolver.default(
            description="The imports that Dagster syncs.",
            examples=[[{"id": 101, "asset": {"key": "mixpanel/orders", "deps": ["shop/orders"]}}]],
        ),
    ]
    follow: Annotated[
        Follow,
        dg.Resolver.default(
            description="`run`: the run lasts as long as the sync. `sensor`: the run ends when the sync is triggered, "
            "and a sensor records the materialization."
        ),
    ] = "run"
    timeout_hours: Annotated[
        float, dg.Resolver.default(description="Hours that a sync may take, waiting for its turn included.")
    ] = 24.0
    cron_schedule: CronSchedule = "0 5 * * *"

    def __post_init__(self) -> None:
        ids = [item.id for item in self.imports]
        repeated = sorted({number for number in ids if ids.count(number) > 1})
        if repeated:
            raise ConfigurationError(f"imports: id {repeated[0]} occurs more than once; each import is one asset")
        if self.follow not in get_args(Follow):
            raise ConfigurationError(f"follow is {self.follow!r}; allowed: {', '.join(get_args(Follow))}")
        if not isinstance(self.timeout_hours, int | float) or self.timeout_hours <= 0:
            raise ConfigurationError(f"timeout_hours is {self.timeout_hours!r}; it must be a number > 0, e.g. 24")

    def get_asset_spec(self, item: ConnectorImport) -> dg.AssetSpec:
        """Spec of an import's asset. Override it to change tags, metadata or the freshness policy.

        Args:
            item: the import.

        Example:
            .. code-block:: python

                class TaggedConnectors(MixpanelConnectors):
                    def get_asset_spec(self, item):
                        return super().get_asset_spec(item).merge_attributes(tags={"import": str(item.id)})
        """
        spec = item.asset.replace_attributes(
            skippable=self.follow == "sensor", group_name=item.asset.group_name or self.group
        ).merge_attributes(kinds={"mixpanel"}, metadata={"mixpanel_etl/import_id": item.id})
        if item.sync_mode == "mirror_mode" and spec.freshness_policy is None:
            return spec.replace_attributes(freshness_policy=_MIRROR_POLICY)
        return spec

    def execute(self, context: dg.AssetExecutionContext, item: ConnectorImport) -> Iterator[dg.MaterializeResult[Any]]:
        """Trigger a sync, and follow it to its end (with `follow: sensor`, only trigger it).

        Override it to do something before or after.

        Args:
            context: context of the run.
            item: the import.
        """
        with as_failure():
            yield from run_sync(context, self, item)

    def build(self) -> dg.Definitions:
        """An asset and checks per import; with `follow: sensor` the sensor; for Mirror imports job and schedule."""
        by_sensor = self.follow == "sensor"
        checks = [rows_match_source(self, item) for item in self.imports if item.source_count]
        if by_sensor:
            checks += [sync_succeeded(self, item) for item in self.imports]
        return dg.Definitions(
            assets=[import_asset(self, item) for item in self.imports],
            asset_checks=checks,
            sensors=[sync_sensor(self)] if by_sensor else [],
            schedules=mirror_schedules(self),
        )

    @property
    def pool(self) -> str:
        """One for all imports of a project: they share its budget of five triggers an hour."""
        return self.mixpanel.pool("connectors")

    def syncs(self, mixpanel: Mixpanel) -> Syncs:
        """The syncs of the project, as the lake keeps them."""
        return Syncs(mixpanel, self.lake_uri, ends_within=timedelta(hours=self.timeout_hours), clock=self.clock)
