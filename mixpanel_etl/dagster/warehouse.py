"""The warehouse as a Dagster resource: where its URL is, never what it is."""

from __future__ import annotations

import dagster as dg
from pydantic import Field

from mixpanel_etl.settings import DEFAULT_PREFIX, Hidden, Settings
from mixpanel_etl.warehouse import Warehouse

NO_DATABASE = "duckdb://"  # for queries over Parquet files, the lake's among them


class WarehouseResource(dg.ConfigurableResource[Warehouse]):
    """A warehouse whose URL is an environment variable, `MIXPANEL_WAREHOUSE_URL`.

    No password passes through Dagster's configuration, so none can show in its UI or storage.

    Example:
        .. code-block:: python

            @dg.asset
            def orders(warehouse: WarehouseResource) -> int:
                return warehouse.warehouse().count("SELECT * FROM orders")
    """

    env_prefix: str = Field(
        default=DEFAULT_PREFIX,
        description="What the variable begins with: MIXPANEL_ by default, MIXPANEL_EU_ for MIXPANEL_EU_WAREHOUSE_URL.",
    )

    def warehouse(self) -> Warehouse:
        """The warehouse; DuckDB without a database where no URL is set, for queries over Parquet files.

        Raises:
            SettingsError: a variable is malformed.
            WarehouseError: the URL is of no known kind.
        """
        url = Settings.load(self.env_prefix).warehouse_url
        return Warehouse(Hidden(url.get_secret_value()) if url else NO_DATABASE)
