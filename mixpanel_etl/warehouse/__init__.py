"""The team's own warehouse: rows of a SQL query as Arrow batches, through ADBC. Knows no Mixpanel and no Dagster."""
