"""The warehouse as a Dagster resource: where its URL is, never what it is."""

# Dagster reads the annotations of components, so they must be types, not strings.
from dataclasses import dataclass
from typing import Annotated, Any

import dagster as dg
from pydantic import Field

from mixpanel_etl.dagster.component import MixpanelComponent
from mixpanel_etl.dagster.fields import resource_resolver
from mixpanel_etl.dagster.resource import registered
from mixpanel_etl.settings import DEFAULT_PREFIX, Hidden, Settings
from mixpanel_etl.warehouse import Warehouse

NO_DATABASE = "duckdb://"  # for queries over Parquet files, the lake's among them


class WarehouseResource(dg.ConfigurableResource[Warehouse]):
    """A warehouse whose URL is an environment variable, `MIXPANEL_WAREHOUSE_URL`.

    No password passes through Dagster's configuration, so none can show in its UI or storage.

    Example:
        .. code-block:: python

            @dg.asset
            def orders(mixpanel_warehouse: WarehouseResource) -> int:
                return mixpanel_warehouse.warehouse().count("SELECT * FROM orders")
    """

    env_prefix: str = Field(
        default=DEFAULT_PREFIX,
        description="Prefix of the variable: MIXPANEL_ by default, MIXPANEL_EU_ for MIXPANEL_EU_WAREHOUSE_URL.",
    )

    @property
    def resource_key(self) -> str:
        """Key under which components register this resource: `mixpanel_warehouse`, `mixpanel_eu_warehouse`."""
        return f"{(self.env_prefix or DEFAULT_PREFIX).lower().rstrip('_')}_warehouse"

    def warehouse(self) -> Warehouse:
        """The warehouse; DuckDB without a database where no URL is set, for queries over Parquet files.

        Raises:
            SettingsError: a variable is malformed.
            WarehouseError: the kind of the URL is unknown.
        """
        url = Settings.load(self.env_prefix).warehouse_url
        return Warehouse(Hidden(url.get_secret_value()) if url else NO_DATABASE)


@dataclass(kw_only=True)
class WarehouseComponent(MixpanelComponent):
    """A component that queries the warehouse."""

    warehouse: Annotated[
        WarehouseResource | None,
        resource_resolver(
            "warehouse",
            WarehouseResource,
            "The warehouse: prefix of the variable WAREHOUSE_URL, or a template variable that returns a "
            "WarehouseResource of your own. Default: the prefix of `mixpanel`.",
            optional=True,
        ),
    ] = None

    @property
    def warehouse_resource(self) -> WarehouseResource:
        """The warehouse, by default that of the project's variables."""
        return self.warehouse or WarehouseResource(env_prefix=self.mixpanel.env_prefix)

    def resources(self) -> dict[str, dg.ConfigurableResource[Any]]:
        """The project and the warehouse, by key."""
        warehouse = self.warehouse_resource
        return {**super().resources(), warehouse.resource_key: registered(warehouse)}
