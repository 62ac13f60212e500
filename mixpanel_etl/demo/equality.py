"""Mixpanel's reports beside the same numbers counted from the lake's events, for the end of the demonstration."""

from __future__ import annotations

from datetime import date
from typing import NamedTuple

from mixpanel_etl.lake import connect

#: Report of `demo/defs/reports` -> its numbers as Mixpanel says (`theirs`), and from the events (`ours`). The range is
#: that of the partitions which were asked for; who is new in a week depends on all weeks before.
_COMPARED = {
    "purchases": """
        SELECT date, step AS part, count AS number FROM reports.purchases;
        SELECT date, step AS part, count AS number
        FROM funnel(['page view', 'add to cart', 'checkout'], $first, $last, "length" := INTERVAL 7 DAYS)
    """,
    "weekly_retention": """
        SELECT date, interval AS part, count AS number FROM reports.weekly_retention;
        SELECT date, interval AS part, count AS number
        FROM retention(
            date_trunc('week', (SELECT min(date) FROM events)::DATE + 6)::DATE, $last,
            born_event := 'sign up', unit := 'week', interval_count := 8
        ) WHERE date >= $first
    """,
    "checkouts_by_country": """
        SELECT date, segment AS part, value AS number FROM reports.checkouts_by_country
        WHERE segment <> '$overall' AND value > 0;
        SELECT date::DATE AS date, segment AS part, events AS number
        FROM segmentation('checkout', $first, $last, "on" := property(properties, 'mp_country_code'))
    """,
}
REPORTS = tuple(_COMPARED)


class Compared(NamedTuple):
    """How many numbers were compared, their sums, and how many differ."""

    numbers: int
    in_mixpanel: int
    in_lake: int
    differing: int


def compare(lake: str, report: str, first: date, last: date) -> Compared:
    """Compare a report of the lake with the events of the lake.

    Args:
        lake: path or URI.
        report: one of `REPORTS`, already materialized.
        first: first day of its first partition.
        last: last day of its last partition.
    """
    theirs, ours = _COMPARED[report].split(";")
    row = connect(lake).execute(
        f"""
        SELECT count(*), sum(theirs.number)::BIGINT, sum(ours.number)::BIGINT,
            count(*) FILTER (theirs.number IS DISTINCT FROM ours.number)
        FROM ({theirs}) AS theirs FULL JOIN ({ours}) AS ours USING (date, part)
        """,  # noqa: S608 - both are ours
        {"first": first, "last": last},
    )
    return Compared(*(row.fetchone() or (0, 0, 0, 0)))
