-- The view of one table of the lake, with what is in braces filled in for each folder that is found. The partition is
-- that of the table's own folder: one of the folders above the lake may be called `date=...`, too. No file is opened
-- that a condition on the partition excludes.
CREATE VIEW {view} AS
SELECT
    COLUMNS(lambda name: name NOT IN ('_lake_file', {column})),
    url_decode(parse_path(_lake_file)[-2][{start}:])::{type} AS {quoted}{more}
FROM read_parquet({files}, hive_partitioning = false, filename = '_lake_file', {columns});
