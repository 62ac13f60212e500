-- Mixpanel's segmentation (GET /segmentation) from the lake: an event over time, by the values of a property.
--   FROM segmentation('checkout', '2026-01-01', '2026-01-31', "on" := property(properties, 'currency'));
-- unit: minute, hour, day, week, month. where, on: of a row of `events`. Units without events have no row; `users` is
-- Mixpanel's type unique, `events_per_user` its average.
CREATE OR REPLACE MACRO segmentation(event, from_date, to_date, unit := 'day', "where" := true, "on" := '$none') AS TABLE
SELECT
    date,
    segment,
    events,
    users,
    events / greatest(users, 1) AS events_per_user
FROM (
    SELECT
        date_trunc(unit, local_time) AS date,
        CASE WHEN typeof("on") = 'VARCHAR' AND "on"::VARCHAR = '$none' THEN event_name ELSE segment_name("on") END
            AS segment,
        count(*) AS events,
        count(DISTINCT person) AS users
    FROM project_events(from_date, to_date)
    WHERE event_name = event AND "where"
    GROUP BY ALL
)
ORDER BY date, events DESC, segment;
