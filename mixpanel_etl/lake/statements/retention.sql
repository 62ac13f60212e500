-- Mixpanel's retention (GET /retention) from the lake: of the users who begin on a date, how many return when.
--   FROM retention('2026-01-01', '2026-01-31', born_event := 'sign up', event := 'checkout', interval_count := 7);
-- retention_type: birth (each user begins once, with the first born_event in the dates) or compounded (with the first
-- `event` of every date). Without `event` anything is a return. unit: day, week, month; interval: how many of them.
-- Interval k is what lies k to k + 1 intervals after the user's own first event (a day is 24 hours, a month 30 days),
-- beyond to_date, too. `on` is of the returning event. Every date has all intervals; the
-- `segment` of all users together is NULL, as in the lake's reports.
CREATE OR REPLACE MACRO retention(
    from_date, to_date, born_event := NULL, event := NULL, retention_type := 'birth', unit := 'day', "interval" := 1,
    interval_count := 1, unbounded := false, born_where := true, "where" := true, "on" := '$none'
) AS TABLE
WITH sizes AS (
    SELECT "interval" * CASE unit WHEN 'day' THEN 86400000 WHEN 'week' THEN 604800000 ELSE 2592000000 END AS interval_ms
),
acts AS (
    SELECT
        person, day, period_of(day, from_date, unit, "interval") AS period, ms, segment, begins, returns,
        row_number() OVER (PARTITION BY person ORDER BY ms, date, file_row_number) AS place
    FROM (
        SELECT
            *,
            segment_name("on") AS segment,
            coalesce((event IS NULL OR event_name = event) AND "where", false) AS returns,
            CASE retention_type
                WHEN 'birth' THEN coalesce(
                    event_name = coalesce(born_event, error('retention_type birth needs a born_event')) AND born_where,
                    false
                )
                WHEN 'compounded' THEN returns
                ELSE error('retention_type is ' || retention_type || ': use birth or compounded')
            END AS begins
        FROM project_events(
            from_date,
            to_date::DATE + ((interval_count + 1) * "interval" * CASE unit WHEN 'day' THEN 1 WHEN 'week' THEN 7 ELSE 30 END + 1)::INTEGER
        )
    )
    WHERE person IS NOT NULL AND (begins OR returns)
),
begun AS (
    SELECT person, period AS date, place, ms
    FROM acts
    WHERE begins AND day <= to_date::DATE
    QUALIFY row_number() OVER (
        PARTITION BY person, CASE WHEN retention_type = 'compounded' THEN period END ORDER BY place
    ) = 1
),
returned AS (
    SELECT DISTINCT begun.person, begun.date, acts.segment, (acts.ms - begun.ms) // interval_ms AS number
    FROM begun
    JOIN acts ON acts.person = begun.person AND acts.place > begun.place
    CROSS JOIN sizes
    WHERE acts.returns AND acts.ms - begun.ms < interval_ms * (interval_count + 1)
),
by_segment AS (
    SELECT DISTINCT person, date, '$overall' AS segment, number FROM returned
    UNION ALL
    SELECT person, date, segment, number FROM returned WHERE segment <> '$none'
),
retained AS (
    SELECT date, segment, number, count(*) AS users
    FROM (
        SELECT person, date, segment, number FROM by_segment WHERE NOT unbounded
        UNION ALL
        SELECT person, date, segment, unnest(range(max(number) + 1)) AS number
        FROM by_segment
        WHERE unbounded
        GROUP BY person, date, segment
    )
    GROUP BY ALL
),
dates AS (
    SELECT date, count(begun.person) AS first
    FROM (
        SELECT DISTINCT period_of(day::DATE, from_date, unit, "interval") AS date
        FROM generate_series(from_date::TIMESTAMP, to_date::TIMESTAMP, INTERVAL 1 DAY) AS days(day)
    )
    LEFT JOIN begun USING (date)
    GROUP BY date
),
grid AS (
    SELECT date, first, segment, number
    FROM dates,
    (SELECT '$overall' AS segment UNION SELECT segment FROM by_segment),
    (SELECT unnest(range(interval_count + 1)) AS number)
)
SELECT
    grid.date,
    nullif(grid.segment, '$overall') AS segment,
    grid.number AS "interval",
    coalesce(users, 0) AS count,
    grid.first
FROM grid
LEFT JOIN retained USING (date, segment, number)
ORDER BY grid.date, segment NULLS FIRST, grid.number;
