"""The shop's warehouse: customers, companies, products and orders in a DuckDB file, for `demo/defs/pushes`."""

from __future__ import annotations

from datetime import date
from pathlib import Path

_TABLES = (
    """
    CREATE TABLE products AS
    SELECT
        'p' || i AS product_id,
        'Product ' || i AS title,
        ['books', 'garden', 'toys'][1 + i % 3] AS category,
        round(1 + i * 37 % 9_000 / 100, 2) AS price
    FROM range(1, 201) AS numbers(i)
    """,
    """
    CREATE TABLE companies AS
    SELECT
        'company-' || i AS company_id,
        ['Retail', 'Software', 'Health', 'Logistics'][1 + i % 4] AS industry,
        5 + i * 7 % 200 AS seats
    FROM range(40) AS numbers(i)
    """,
    """
    CREATE TABLE customers AS
    SELECT
        'u' || i AS customer_id,
        'customer' || i || '@example.com' AS email,
        ['free', 'pro', 'enterprise'][1 + i % 3] AS plan,
        'company-' || i % 40 AS company_id,
        i % 11 = 0 AS newsletter
    FROM range(2_000) AS numbers(i)
    """,
    """
    CREATE TABLE orders AS
    SELECT
        100_000 + i AS order_id,
        'u' || (i * 7919 % 2_000) AS customer_id,
        $last::TIMESTAMPTZ + INTERVAL 20 HOURS - to_seconds(i * 863) AS ordered_at,
        round((i * 31 % 20_000) / 100, 2)::DECIMAL(10, 2) AS amount,
        ['EUR', 'USD', 'JPY'][1 + i % 3] AS currency,
        1 + i % 5 AS items,
        CASE WHEN i % 6 = 0 THEN 'WELCOME' END AS coupon
    FROM range(9_000) AS numbers(i)
    """,
)


def shop_warehouse(path: Path, last: date) -> None:
    """Make the file again.

    Args:
        path: where.
        last: day of the last order; there are about a hundred a day before it.
    """
    import duckdb

    path.unlink(missing_ok=True)
    with duckdb.connect(str(path)) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for statement in _TABLES:
            connection.execute(statement, {"last": str(last)} if "$last" in statement else None)
