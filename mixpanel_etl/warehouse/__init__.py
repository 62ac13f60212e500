"""A warehouse's rows as Arrow batches. Knows no Mixpanel, no Parquet, no Dagster.

    warehouse = Warehouse("postgresql://etl@db.example.com/shop")
    with warehouse.query("SELECT * FROM orders WHERE paid_at >= $start AND paid_at < $end", window) as batches:
        for batch in batches:
            ...

In all warehouses a parameter is written `$name`, and its value is bound, never put into the text.
"""

from mixpanel_etl.extras import require

require("lake")

from mixpanel_etl.warehouse.arrow_types import NumberType as NumberType
from mixpanel_etl.warehouse.driver_errors import WarehouseError as WarehouseError
from mixpanel_etl.warehouse.sql_parameters import columns_of as columns_of
from mixpanel_etl.warehouse.sql_parameters import parameters_of as parameters_of
from mixpanel_etl.warehouse.warehouse import Parameters as Parameters
from mixpanel_etl.warehouse.warehouse import Warehouse as Warehouse
