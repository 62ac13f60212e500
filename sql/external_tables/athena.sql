-- The events in Athena. `mixpanel-etl external-tables athena` prints this for every table of your lake.
-- Days are projected: new ones are seen at once, without a crawler. `time` is in UTC; properties are text for
-- json_extract_scalar(properties, '$.plan').
CREATE DATABASE IF NOT EXISTS mixpanel;

CREATE EXTERNAL TABLE mixpanel.events (
  `event_name` string,
  `time` timestamp,
  `distinct_id` string,
  `insert_id` string,
  `device_id` string,
  `user_id` string,
  `processing_time` timestamp,
  `properties` string,
  `properties_as_sent` string
)
PARTITIONED BY (`date` date)
STORED AS PARQUET
LOCATION 's3://bucket/lake/events/'
TBLPROPERTIES (
  'projection.enabled' = 'true',
  'projection.date.type' = 'date',
  'projection.date.format' = 'yyyy-MM-dd',
  'projection.date.range' = '2011-01-01,NOW+2DAYS',
  'storage.location.template' = 's3://bucket/lake/events/date=${date}/'
);
