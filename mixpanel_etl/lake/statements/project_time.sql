-- What the reports stand on: a property, how Mixpanel calls its values, and the events in project time.

-- A property as JSON, for any characters in its name: property(properties, '$city') ->> '$' is its text.
CREATE OR REPLACE MACRO property(properties, name) AS
json_extract(properties, '/' || replace(replace(name, '~', '~0'), '/', '~1'));

-- What a reply of Mixpanel calls a value by which it breaks down: strings as they are, lists and objects as JSON.
CREATE OR REPLACE MACRO segment_name(value) AS
CASE
    WHEN value IS NULL THEN 'undefined'
    WHEN typeof(value) <> 'JSON' THEN value::VARCHAR
    WHEN json_type(value::JSON) = 'NULL' THEN 'null'
    WHEN json_type(value::JSON) = 'DOUBLE' AND abs((value::JSON ->> '$')::DOUBLE) < 9007199254740992
        AND (value::JSON ->> '$')::DOUBLE = trunc((value::JSON ->> '$')::DOUBLE)
    THEN (value::JSON ->> '$')::DOUBLE::BIGINT::VARCHAR
    WHEN json_type(value::JSON) = 'DOUBLE' THEN (value::JSON ->> '$')::DOUBLE::VARCHAR
    ELSE value::JSON ->> '$'
END;

-- The events of days of project time: `day`, `local_time` (the clock of the project's zone), `ms` (what durations are
-- measured in) and `person` (null for an empty distinct_id). Projects created before 2023 store project time as if it
-- were UTC (mixpanel-api.md#project-time).
CREATE OR REPLACE MACRO project_events(from_date, to_date) AS TABLE
SELECT *, local_time::DATE AS day
FROM (
    SELECT
        *,
        timezone(getvariable('timezone'), time) AS local_time,
        CASE WHEN getvariable('created_before_2023') THEN epoch_ms(local_time) ELSE epoch_ms(time) END AS ms,
        nullif(distinct_id, '') AS person
    FROM events
    -- The files are cut in UTC or in project time: the neighbouring days hold the rest.
    WHERE date BETWEEN from_date::DATE - 1 AND to_date::DATE + 1
)
WHERE local_time::DATE BETWEEN from_date::DATE AND to_date::DATE;

-- The first day of the period of `size` units (day, week, month) that holds a day, counted from the unit of from_date.
CREATE OR REPLACE MACRO period_of(day, from_date, unit, size) AS
CASE unit
    WHEN 'day' THEN from_date::DATE + (date_diff('day', from_date::DATE, day) // size * size)::INTEGER
    WHEN 'week' THEN date_trunc('week', from_date::DATE)::DATE
        + (date_diff('week', date_trunc('week', from_date::DATE), day) // size * size * 7)::INTEGER
    WHEN 'month' THEN (date_trunc('month', from_date::DATE)
        + to_months((date_diff('month', from_date::DATE, day) // size * size)::INTEGER))::DATE
    ELSE error('unit is ' || unit || ': use day, week or month')::DATE
END;
