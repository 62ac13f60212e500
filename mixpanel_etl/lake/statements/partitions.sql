-- Every file of the lake as it is now: `table_name` as in FROM, `key` of the partition.
CREATE VIEW lake.partitions AS
SELECT table_name, url_decode(split_part(parse_path(file)[-2], '=', 2)) AS key, file
FROM lake.folders
JOIN glob({files}) AS files(file) ON starts_with(file, {root} || '/' || folder || '/' || partition_column || '=')
ORDER BY ALL;

CREATE VIEW lake.tables AS
SELECT table_name, partition_column, count(key) AS partitions, min(key) AS first, max(key) AS last
FROM lake.folders
LEFT JOIN lake.partitions USING (table_name)
GROUP BY ALL
ORDER BY table_name;

-- The newest snapshot of a table that is partitioned by date, though it be without rows:
--   FROM latest('profiles');  FROM latest('catalogue.annotations');
CREATE MACRO latest("table") AS TABLE
SELECT *
FROM query_table("table")
WHERE date = (
    SELECT max(key)::DATE
    FROM lake.partitions
    WHERE replace(table_name, '"', '') = replace("table", '"', '')
);
