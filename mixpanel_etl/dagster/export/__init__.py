"""Raw events: one Parquet file per day."""
