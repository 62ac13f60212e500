"""Counts over time, by segment: `{"data": {"series": [...], "values": {segment: {date: n}}}, "legend_size": n}`."""

from __future__ import annotations

from collections import defaultdict

from mixpanel_etl.sandbox.apis.query.segments import most_common
from mixpanel_etl.sandbox.engine.buckets import Buckets


class Series:
    """Counts events or users by segment in the intervals of `buckets`.

    `kind`: general counts events, unique users, average events per user. Events may have no user.
    """

    def __init__(self, buckets: Buckets, kind: str) -> None:
        self._buckets, self._kind = buckets, kind
        self._totals: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        self._users: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))

    def add(self, segment: str, time_ms: int, user: str | None) -> None:
        label = self._buckets.label(time_ms)
        self._totals[segment][label] += 1
        if user is not None and self._kind != "general":
            self._users[segment][label].add(user)

    def values(self, limit: int | None = None) -> dict[str, dict[str, float]]:
        """The counts of all segments, or of the `limit` largest, by date; only dates with events."""
        values = {
            segment: {label: self._measure(segment, label) for label in sorted(totals)}
            for segment, totals in self._totals.items()
        }
        ranked = [(sum(counts.values()), segment) for segment, counts in values.items()]
        kept = most_common(ranked, limit if limit is not None else len(ranked))
        return {segment: values[segment] for segment in kept}

    def _measure(self, segment: str, label: str) -> float:
        total, users = self._totals[segment][label], len(self._users[segment][label])
        return measure(self._kind, total, users)


def measure(kind: str, total: int, users: int) -> float:
    return {"general": total, "unique": users, "average": total / max(users, 1)}[kind]


def over_time(buckets: Buckets, values: dict[str, dict[str, float]]) -> dict[str, object]:
    """The reply of segmentation and of the event breakdowns."""
    return {"data": {"series": list(dict.fromkeys(buckets.labels)), "values": values}, "legend_size": len(values)}
