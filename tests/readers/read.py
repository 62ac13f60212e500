"""Read a lake with one of the libraries of an environment of its own: `read.py LIBRARY FOLDER`. Prints JSON.

Knows nothing of this package: it does what its users do.
"""

# It runs with other versions of the libraries than those that are checked.
# mypy: ignore-errors
import json
import sys


def with_polars(folder):
    import polars as pl

    frame = pl.scan_parquet(f"{folder}/*/*.parquet", hive_partitioning=True).sort("time").collect()
    plan = frame["properties"].str.json_path_match("$.plan")
    frame = frame.with_columns(pl.col("time").dt.timestamp("ms"), pl.col("date").cast(pl.Utf8), plan.alias("plan"))
    return pl.__version__, frame.to_dicts(), str(frame["properties"].dtype)


def with_pyarrow(folder):
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.dataset as ds

    table = ds.dataset(folder, format="parquet", partitioning="hive").to_table().sort_by("time")
    kind = str(table.schema.field("properties").type)
    times = pc.cast(table["time"], pa.int64())
    rows = table.set_column(table.schema.get_field_index("time"), "time", times).to_pylist()
    return pa.__version__, rows, kind


def with_pandas(folder):
    import pandas as pd

    frame = pd.read_parquet(folder).sort_values("time")
    rows = [
        {**row, "time": int(row["time"].timestamp() * 1000), "date": str(row["date"])}
        for row in frame.to_dict("records")
    ]
    return pd.__version__, rows, type(frame["properties"].iloc[0]).__name__


def with_duckdb(folder):
    import duckdb

    query = (
        "SELECT event_name, epoch_ms(time) AS time, distinct_id, properties, amount, date::VARCHAR AS date, "
        "json_extract_string(properties, '$.plan') AS plan, typeof(properties) AS kind "
        f"FROM read_parquet('{folder}/*/*.parquet', hive_partitioning = true) ORDER BY time"
    )
    cursor = duckdb.connect().execute(query)
    names = [column[0] for column in cursor.description]
    rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return duckdb.__version__, rows, rows[0]["kind"]


if __name__ == "__main__":
    version, rows, kind = globals()[f"with_{sys.argv[1]}"](sys.argv[2])
    names = ["event_name", "time", "distinct_id", "properties", "amount", "date"]
    found = [[None if row[name] != row[name] else row[name] for name in names] for row in rows]
    plans = [row["plan"] for row in rows] if "plan" in rows[0] else None
    sys.stdout.write(json.dumps({"version": version, "rows": found, "properties": kind, "plans": plans}))
