-- The events in Snowflake. `mixpanel-etl external-tables snowflake` prints this for every table of your lake.
-- Your account's storage integration stands for `lake_reader`. ALTER EXTERNAL TABLE ... REFRESH sees new days; with event
-- notifications of the bucket, AUTO_REFRESH = TRUE does it for you. Properties: properties:plan::VARCHAR.
CREATE SCHEMA IF NOT EXISTS mixpanel;
CREATE STAGE IF NOT EXISTS mixpanel_lake URL = 's3://bucket/lake/' STORAGE_INTEGRATION = lake_reader;

CREATE OR REPLACE EXTERNAL TABLE mixpanel.events (
  "DATE" DATE AS (SPLIT_PART(SPLIT_PART(METADATA$FILENAME, 'date=', 2), '/', 1)::DATE),
  "EVENT_NAME" VARCHAR AS (VALUE:"event_name"::VARCHAR),
  "TIME" TIMESTAMP_LTZ AS (VALUE:"time"::TIMESTAMP_LTZ),
  "DISTINCT_ID" VARCHAR AS (VALUE:"distinct_id"::VARCHAR),
  "INSERT_ID" VARCHAR AS (VALUE:"insert_id"::VARCHAR),
  "DEVICE_ID" VARCHAR AS (VALUE:"device_id"::VARCHAR),
  "USER_ID" VARCHAR AS (VALUE:"user_id"::VARCHAR),
  "PROCESSING_TIME" TIMESTAMP_LTZ AS (VALUE:"processing_time"::TIMESTAMP_LTZ),
  "PROPERTIES" VARIANT AS (PARSE_JSON(VALUE:"properties"::VARCHAR)),
  "PROPERTIES_AS_SENT" VARCHAR AS (VALUE:"properties_as_sent"::VARCHAR)
)
PARTITION BY ("DATE")
LOCATION = @mixpanel_lake/events/
AUTO_REFRESH = FALSE
PATTERN = '.*=[^/]*/[^/]*[.]parquet'
FILE_FORMAT = (TYPE = PARQUET USE_LOGICAL_TYPE = TRUE);
