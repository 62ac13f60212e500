-- The events in BigQuery. `mixpanel-etl external-tables bigquery` prints this for every table of your lake.
-- BigQuery reads S3 through a BigQuery Omni connection (https://cloud.google.com/bigquery/docs/omni-aws-create-connection):
-- put its region and name in WITH CONNECTION, and make the dataset in the same region. For a copy in Cloud Storage leave
-- the line out and write gs:// instead. Properties are text for JSON_VALUE(properties, '$.plan').
CREATE SCHEMA IF NOT EXISTS mixpanel OPTIONS (location = 'aws-us-east-1');

CREATE OR REPLACE EXTERNAL TABLE `mixpanel.events` (
  `event_name` STRING,
  `time` TIMESTAMP,
  `distinct_id` STRING,
  `insert_id` STRING,
  `device_id` STRING,
  `user_id` STRING,
  `processing_time` TIMESTAMP,
  `properties` STRING,
  `properties_as_sent` STRING
)
WITH CONNECTION `aws-us-east-1.mixpanel_lake`
WITH PARTITION COLUMNS (`date` DATE)
OPTIONS (
  format = 'PARQUET',
  enable_list_inference = true,
  hive_partition_uri_prefix = 's3://bucket/lake/events',
  uris = ['s3://bucket/lake/events/*']
);
