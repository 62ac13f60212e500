"""The Warehouse Connectors API: imports and their runs."""
