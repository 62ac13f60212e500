-- Mixpanel's funnel (GET /funnels) from the lake: how many users take the steps in order, within the length.
--   FROM funnel(['page view', 'add to cart', 'checkout'], '2026-01-01', '2026-01-31', "length" := INTERVAL 7 DAYS);
-- steps: names of events, or conditions on a row of `events`: [event_name = 'sign up' AND ..., ...]. unit: day, week, month.
-- A user enters once in each unit of time (with `on` also once for each value at step 1), with the first event of step 1
-- there; each further step is the first of its kind after the one before, beyond to_date, too.
-- Every date has all steps; the `segment` of all users together is NULL, as in the lake's reports.
CREATE OR REPLACE MACRO funnel(
    steps, from_date, to_date, "length" := INTERVAL 14 DAYS, unit := 'day', "where" := true, "on" := '$none'
) AS TABLE
WITH RECURSIVE acts AS (
    SELECT
        person, day, period_of(day, from_date, unit, 1) AS period, ms, segment, taken,
        row_number() OVER (PARTITION BY person ORDER BY ms, date, file_row_number) AS place
    FROM (
        SELECT
            *,
            segment_name("on") AS segment,
            list_transform(
                steps,
                lambda step: CASE
                    WHEN typeof(steps) = 'VARCHAR[]' THEN step::VARCHAR = event_name
                    ELSE coalesce(try_cast(step AS BOOLEAN), false)
                END
            ) AS taken
        FROM project_events(from_date, to_date::DATE + (ceil(epoch("length") / 86400)::INTEGER + 1))
        WHERE "where"
    )
    WHERE person IS NOT NULL AND list_contains(taken, true)
),
followers AS (  -- for each act and each step the first act after it that is such a step
    SELECT
        person, place, step,
        min(CASE WHEN taken[step] THEN place END) OVER later AS next_place,
        min(CASE WHEN taken[step] THEN ms END) OVER later AS next_ms
    FROM (SELECT *, unnest(range(1, len(taken) + 1)) AS step FROM acts)
    WINDOW later AS (
        PARTITION BY person, step ORDER BY place ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING
    )
),
entries AS (
    SELECT period, '$overall' AS segment, person, place, ms
    FROM acts
    WHERE taken[1] AND day <= to_date::DATE
    QUALIFY row_number() OVER (PARTITION BY person, period ORDER BY place) = 1
    UNION ALL
    SELECT period, segment, person, place, ms
    FROM acts
    WHERE taken[1] AND day <= to_date::DATE AND segment <> '$none'
    QUALIFY row_number() OVER (PARTITION BY person, period, segment ORDER BY place) = 1
),
ways AS (
    SELECT period, segment, person, 1::BIGINT AS step, place, ms, ms AS start_ms, NULL::BIGINT AS taken_ms
    FROM entries
    UNION ALL
    SELECT period, segment, person, followers.step, next_place, next_ms, start_ms, next_ms - ms
    FROM ways
    JOIN followers USING (person, place)
    WHERE followers.step = ways.step + 1 AND next_ms - start_ms <= epoch_ms("length")
),
reached AS (
    SELECT
        period AS date, segment, step,
        count(*) AS users,
        avg(taken_ms) / 1000 AS seconds,
        avg(ms - start_ms) / 1000 AS seconds_from_start
    FROM ways
    GROUP BY ALL
),
grid AS (
    SELECT date, segment, step
    FROM (
        SELECT DISTINCT period_of(day::DATE, from_date, unit, 1) AS date
        FROM generate_series(from_date::TIMESTAMP, to_date::TIMESTAMP, INTERVAL 1 DAY) AS days(day)
    ),
    (SELECT '$overall' AS segment UNION SELECT segment FROM entries),
    (SELECT unnest(range(1, len(steps) + 1)) AS step FROM (FROM events LIMIT 1))  -- of which steps may be conditions
)
SELECT
    grid.date,
    nullif(grid.segment, '$overall') AS segment,
    grid.step,
    coalesce(users, 0) AS count,
    round_even(seconds, 0)::BIGINT AS avg_time,
    round_even(seconds_from_start, 0)::BIGINT AS avg_time_from_start,
    CASE
        WHEN grid.step = 1 THEN 1
        ELSE coalesce(count / nullif(lag(count) OVER steps_of_date, 0), 0)
    END AS step_conv_ratio,
    CASE
        WHEN grid.step = 1 THEN 1
        ELSE coalesce(count / nullif(first_value(count) OVER steps_of_date, 0), 0)
    END AS overall_conv_ratio
FROM grid
LEFT JOIN reached USING (date, segment, step)
WINDOW steps_of_date AS (PARTITION BY grid.date, grid.segment ORDER BY grid.step)
ORDER BY grid.date, segment NULLS FIRST, grid.step;
