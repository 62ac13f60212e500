-- The view of one table of the lake, with what is in braces filled in for each folder that is found.
CREATE VIEW {view} AS
SELECT *{more}
FROM read_parquet({files}, hive_partitioning = true, hive_types = {{{column}: {type}}}, union_by_name = true);
