-- Events and people of each day, by event name. DuckDB; run where the lake is, or replace the path.
SELECT date, event_name, count(*) AS events, count(DISTINCT distinct_id) AS people
FROM read_parquet('.demo/lake/events/*/*.parquet', hive_partitioning = true)
GROUP BY ALL
ORDER BY date DESC, events DESC
LIMIT 10;
