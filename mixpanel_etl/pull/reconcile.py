"""Does the lake hold what Mixpanel counts? Two queries for a whole range, compared day by day and event by event."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from mixpanel_etl.client import Mixpanel
from mixpanel_etl.lake import EventsTable

#: Characters of event names that one query may carry in its URL.
_NAMES_CHARS = 6_000


@dataclass(frozen=True)
class DayCounts:
    """Events of one day of the project's time zone, by name, in the lake and in Mixpanel."""

    day: date
    lake: dict[str, int]
    mixpanel: dict[str, int]

    @property
    def lake_total(self) -> int:
        return sum(self.lake.values())

    @property
    def mixpanel_total(self) -> int:
        return sum(self.mixpanel.values())

    @property
    def differing(self) -> int:
        """Events on one side only, summed over names: one that is missing cannot hide behind another that is extra."""
        names = self.lake.keys() | self.mixpanel.keys()
        return sum(abs(self.lake.get(name, 0) - self.mixpanel.get(name, 0)) for name in names)

    def within(self, tolerance: float) -> bool:
        """Whether the difference is at most this share of the day's events."""
        return self.differing <= tolerance * max(self.lake_total, self.mixpanel_total)


@dataclass(frozen=True)
class Reconciliation:
    """The comparison of lake and Mixpanel.

    Attributes:
        days: the days compared, in project time.
        edges: days that were not compared because a neighbouring day of the lake is missing.
        not_compared: event names that did not fit into the query, the rarest ones.
        queries: how many were spent.
    """

    days: Sequence[DayCounts]
    edges: Sequence[date] = ()
    not_compared: Sequence[str] = ()
    queries: int = 0

    @property
    def lake_total(self) -> int:
        return sum(day.lake_total for day in self.days)

    @property
    def mixpanel_total(self) -> int:
        return sum(day.mixpanel_total for day in self.days)

    def beyond(self, tolerance: float) -> list[DayCounts]:
        """The days that differ by more than this share of their events, the worst first."""
        found = [day for day in self.days if not day.within(tolerance)]
        return sorted(found, key=lambda day: day.differing, reverse=True)


def reconcile(
    mixpanel: Mixpanel, table: EventsTable, days: Iterable[date], names: Sequence[str] = ()
) -> Reconciliation:
    """Compare some days of the lake with Mixpanel's own counts, at the cost of at most two queries.

    Query API days are days of the project's time zone, so the lake's rows are counted by those; a day counts only when
    every day of the lake that it touches is there. Mixpanel deduplicates and resolves merged identities when it counts,
    which the lake did when it exported: a difference of a few rows is not a loss.

    Args:
        mixpanel: the project.
        table: its events.
        days: of the table.
        names: of the events that the table was restricted to; all by default.

    Raises:
        MixpanelError: a query failed.
    """
    zone, cut = mixpanel.settings.zone, ZoneInfo(mixpanel.settings.export_zone)
    present = set(table.days())
    touched = sorted({local for day in days if day in present for local in _overlapping(day, cut, zone)})
    compared = [day for day in touched if all(other in present for other in _overlapping(day, zone, cut))]
    edges = [day for day in touched if day not in set(compared)]
    if not compared:
        return Reconciliation([], edges)
    first, last = compared[0], compared[-1]
    lake = _lake_counts(table, sorted({d for day in compared for d in _overlapping(day, zone, cut)}), zone)
    asked, not_compared = _fitting(names or mixpanel.query.event_names(from_date=first, to_date=last), lake)
    queries = 1 if names else 2
    counts = mixpanel.query.events(asked, first, last).values if asked else {}
    return Reconciliation(
        [
            DayCounts(
                day,
                {name: n for name, n in lake.get(day, Counter()).items() if name in counts or name in asked},
                {name: int(n) for name, series in counts.items() if (n := series.get(str(day), 0))},
            )
            for day in compared
        ],
        edges,
        not_compared,
        queries if asked else queries - 1,
    )


def _overlapping(day: date, zone: ZoneInfo, other: ZoneInfo) -> list[date]:
    """The days of another zone that a day of this zone touches."""
    start = datetime.combine(day, time(), zone).astimezone(other)
    end = datetime.combine(day + timedelta(days=1), time(), zone).astimezone(other) - timedelta(microseconds=1)
    return [start.date() + timedelta(days=n) for n in range((end.date() - start.date()).days + 1)]


def _lake_counts(table: EventsTable, days: Iterable[date], zone: ZoneInfo) -> dict[date, Counter[str]]:
    import polars as pl  # a tenth of a second that loading Dagster's definitions should not cost

    counts: dict[date, Counter[str]] = {}
    local = pl.col("time").dt.convert_time_zone(zone.key).dt.date().alias("day")
    found = table.scan(days).group_by(local, pl.col("event_name").fill_null("")).len().collect()
    for day, name, number in found.iter_rows():
        counts.setdefault(day, Counter())[name] += number
    return counts


def _fitting(names: Iterable[str], lake: dict[date, Counter[str]]) -> tuple[list[str], list[str]]:
    """As many names as fit into one query: those that the lake lacks first, then the most common ones."""
    total: Counter[str] = sum(lake.values(), Counter())
    ordered = sorted({*names, *total} - {""}, key=lambda name: (total[name] > 0, -total[name]))
    asked: list[str] = []
    room = _NAMES_CHARS
    for name in ordered:
        room -= len(json.dumps(name).encode()) * 2
        if room < 0:
            break
        asked.append(name)
    return asked, ordered[len(asked) :]
