"""`type: mixpanel_etl.MixpanelPush`: rows of a warehouse into Mixpanel."""

# Dagster reads the annotations of components, so they must be types, not strings.
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import dagster as dg

from mixpanel_etl.dagster.fields import StartDate
from mixpanel_etl.dagster.push.assets import PushAsset, PushConfig, push_asset, push_parts
from mixpanel_etl.dagster.push.checks import rejected_rows_check
from mixpanel_etl.dagster.push.yaml_entries import Entry, resolve_pushes
from mixpanel_etl.dagster.recording import recorded
from mixpanel_etl.dagster.warehouse import WarehouseComponent
from mixpanel_etl.lake import ConfigurationError
from mixpanel_etl.push.project_copy import ProjectMapping
from mixpanel_etl.push.query_push import QueryPush


@dataclass(kw_only=True)
class MixpanelPush(WarehouseComponent):
    """Rows of a warehouse as events, links between ids, profiles of users and groups, and lookup tables in Mixpanel.

    Events of another project's lake, too.

    Example: a subclass that pushes only while the shop's books are closed

        .. code-block:: python

            class NightlyPush(MixpanelPush):
                def execute(self, context, item, config):
                    if books_are_open():
                        raise dg.Failure("the shop's books are open; push after 22:00")
                    yield from super().execute(context, item, config)

    Example: in Python

        .. code-block:: python

            MixpanelPush(
                pushes=[
                    PushAsset(
                        asset=dg.AssetSpec(["mixpanel", "orders"]),
                        push=QueryPush("orders", sql, EventMapping(event="Order", time="placed_at", key=["id"], ...)),
                    )
                ]
            ).definitions()
    """

    group: ClassVar[str] = "mixpanel_push"

    pushes: Annotated[
        Sequence[PushAsset],
        dg.Resolver(
            resolve_pushes,
            model_field_type=list[Entry],
            description="The pushes: name, asset, kind, query and the kind's attributes (docs/push.md).",
            examples=[
                [
                    {
                        "name": "orders",
                        "asset": {"key": "mixpanel/orders"},
                        "kind": "events",
                        "query": "sql/push/orders.sql",
                        "event": "Order placed",
                        "time": "ordered_at",
                        "key": ["order_id"],
                        "distinct_id": "customer_id",
                    }
                ]
            ],
        ),
    ]
    start_date: StartDate = None

    def __post_init__(self) -> None:
        names = [item.push.name for item in self.pushes]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ConfigurationError(f"two pushes have the name {repeated[0]!r}; names must be unique")

    def get_asset_spec(self, item: PushAsset) -> dg.AssetSpec:
        """Spec of a push's asset. Override it to change tags, metadata or the group.

        Args:
            item: the push.

        Example:
            .. code-block:: python

                class TaggedPush(MixpanelPush):
                    def get_asset_spec(self, item):
                        return super().get_asset_spec(item).merge_attributes(tags={"kind": item.push.name})
        """
        sql = item.push.sql
        return item.asset.replace_attributes(
            partitions_def=self.partitions(item.push), group_name=item.asset.group_name or self.group
        ).merge_attributes(
            kinds={"mixpanel", "sql"} if sql else {"mixpanel"},
            metadata={"mixpanel_etl/query": dg.MetadataValue.md(f"```sql\n{sql}\n```")} if sql else {},
        )

    def execute(
        self, context: dg.AssetExecutionContext, item: PushAsset, config: PushConfig
    ) -> Iterator[dg.MaterializeResult[Any]]:
        """Send the rows of the run's days; each day is recorded when it is sent, even if the run fails later.

        Override it to do something before or after.

        Args:
            context: context of the run.
            item: the push.
            config: what the launchpad says.
        """
        with recorded(context, item.asset.key) as done, self.mixpanel.client(context.log) as client:
            latest = None
            for part, metadata in push_parts(context, self, item.push, client, config):
                if item.push.by_day:
                    done[part] = metadata
                else:
                    latest = metadata
        yield dg.MaterializeResult(metadata=latest)

    def build(self) -> dg.Definitions:
        """An asset for each push, and the check of its rejected rows."""
        return dg.Definitions(
            assets=[push_asset(self, item) for item in self.pushes],
            asset_checks=[rejected_rows_check(self, item) for item in self.pushes],
        )

    def partitions(self, push: QueryPush) -> dg.DailyPartitionsDefinition | None:
        """The days in project time of a query with `$start` and `$end`; of a copied project those of its lake."""
        if not push.by_day:
            return None
        settings = self.mixpanel.settings()
        zone = push.mapping.time_zone if isinstance(push.mapping, ProjectMapping) else settings.timezone
        return dg.DailyPartitionsDefinition(str(self.start_date or settings.start_date), timezone=zone)
