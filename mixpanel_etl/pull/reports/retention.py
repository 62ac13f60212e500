"""Who comes back, and how often. Source: mixpanel-api.md#query-retention."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import date, tzinfo
from typing import Any

import pyarrow as pa
from pydantic import Field

from mixpanel_etl.client import Addiction as AddictionReply
from mixpanel_etl.client import Interval, NumericUnit, Query, RetentionCohort, RetentionType
from mixpanel_etl.client.query.parameters import MAX_VALUES
from mixpanel_etl.pull.published import Column
from mixpanel_etl.pull.reports.calendar import Days, later
from mixpanel_etl.pull.reports.charts import HeatMap, Partitions
from mixpanel_etl.pull.reports.report import SEGMENT, Count, Expression, Fact, Name
from mixpanel_etl.pull.reports.segment_limits import On


class Retention(On):
    """Of the users who began on a day (week, month): how many came back in each interval after it.

    Partitions are cohorts, by the day (week, month) on which users began, and intervals are of the same length. A
    cohort changes until its last interval has passed.
    """

    kind = "retention"
    counted = "count"
    has_totals = True
    columns = (
        SEGMENT._replace(description="Value of `on` for the returns; null for all together."),
        Column("interval", pa.int32(), "Number of the interval since the user's own beginning, from 0."),
        Column("count", pa.int64(), "Users who came back in it."),
        Column("first", pa.int64(), "Users who began: the size of the cohort."),
        Column("share", pa.float64(), "`count` of `first`, from 0 to 1; null in an empty cohort."),
    )
    impersonal = ("interval", "count", "first", "share")

    born_event: Name | None = Field(default=None, description="What makes a user begin; required unless compounded.")
    event: Name | None = Field(default=None, description="What counts as coming back; any event by default.")
    retention_type: RetentionType = Field(
        default="birth", description="`birth` for the first time, `compounded` for every time."
    )
    born_where: Expression | None = Field(default=None, description="Which events make a user begin.")
    where: Expression | None = Field(default=None, description="Which events count as coming back.")
    unit: Interval = Field(default="day", description="Of cohorts and intervals: day, week or month.")
    interval_count: Count = Field(default=1, description="Intervals after the one in which users began.")
    unbounded_retention: bool | None = Field(
        default=None, description="Count in an interval the users who came back in it or later."
    )
    on: Expression | None = Field(default=None, description="Expression to segment the returns by.")

    def contradictions(self) -> Iterator[str]:
        yield from super().contradictions()
        if self.retention_type == "birth" and not self.born_event:
            yield "born_event is missing: give it, or `retention_type: compounded`, which needs none"
        if self.retention_type == "compounded" and (self.born_event or self.born_where):
            yield "born_event and born_where are for retention_type 'birth': leave them out"

    @property
    def needs_the_past(self) -> bool:
        # Mixpanel takes for new who did not do the `born_event` within the days asked for.
        return self.retention_type == "birth"

    def _changing(self) -> int:
        # Interval 0 too has its whole length from each user's own beginning, be it the last minute of the partition.
        return self.interval_count + 2

    def ask(self, query: Query, days: Days) -> Mapping[str, RetentionCohort]:
        return query.retention(
            *days,
            born_event=self.born_event,
            event=self.event,
            retention_type=self.retention_type,
            born_where=self.born_where,
            where=self.where,
            interval_count=self.interval_count,
            unit=self.unit,
            unbounded_retention=self.unbounded_retention,
            on=self.on,
            limit=MAX_VALUES if self.on else None,
        )

    def chart(self, partitions: Partitions, zone: tzinfo) -> HeatMap:
        shares = [(key, self._shares(key, rows, zone)) for key, rows in partitions]
        return HeatMap(f"{self.unit}s after {self.born_event or 'any event'}", 0, shares)

    def _shares(self, key: str, rows: pa.Table, zone: tzinfo) -> list[float]:
        """Shares of a cohort by interval; NaN for intervals that had not begun, and for an empty cohort."""
        shares = []
        for row in rows.to_pylist():
            if row["segment"] is None:
                begins = later(date.fromisoformat(key), self.partition_unit, row["interval"])
                begun = begins <= row["computed_at"].astimezone(zone).date()
                shares.append(row["share"] if begun and row["share"] is not None else math.nan)
        return shares

    def is_cut(self, reply: Mapping[str, RetentionCohort]) -> bool:
        return len({segment for cohort in reply.values() for segment in cohort.segments}) >= MAX_VALUES

    def facts(self, reply: Mapping[str, RetentionCohort], zone: tzinfo) -> Iterator[Fact]:  # noqa: ARG002
        for label, cohort in reply.items():
            for segment, part in ((None, cohort), *cohort.segments.items()):
                first = next((size for size in (_first(part), _first(cohort)) if size is not None), None)
                for interval, count in enumerate(part.counts):
                    yield Fact(label, (segment, interval, count, first, _share(part, interval, first)))


def _first(cohort: RetentionCohort) -> int | None:
    """The size of a cohort: the specification's shape has counts and percents only."""
    if cohort.first is not None or not cohort.percents:
        return cohort.first
    # The largest percentage is the most exact one.
    percent, count = max(zip(cohort.percents, cohort.counts, strict=False), default=(0, 0))
    return round(count * 100 / percent) if percent else None


def _share(cohort: RetentionCohort, interval: int, first: int | None) -> float | None:
    if first:
        return cohort.counts[interval] / first
    return cohort.percents[interval] / 100 if cohort.percents and interval < len(cohort.percents) else None


class Addiction(On):
    """How often users came: in at least how many hours or days of each day, week or month they were active."""

    kind = "addiction"
    counted = "count"
    has_totals = True
    columns = (
        SEGMENT,
        Column("at_least", pa.int32(), "Number of hours or days (`addiction_unit`), from 1."),
        Column("count", pa.int64(), "Users who were active in at least this many of them."),
    )
    impersonal = ("at_least", "count")

    unit: Interval = Field(default="day", description="Day, week or month.")
    addiction_unit: NumericUnit = Field(default="hour", description="Its parts: hour or day.")
    event: Name | None = Field(default=None, description="What counts as being active; any event by default.")
    where: Expression | None = Field(default=None, description="Which events count.")

    def ask(self, query: Query, days: Days) -> AddictionReply:
        limit = MAX_VALUES if self.on else None
        return query.retention_addiction(
            *days, self.unit, self.addiction_unit, event=self.event, where=self.where, on=self.on, limit=limit
        )

    def chart(self, partitions: Partitions, zone: tzinfo) -> HeatMap:  # noqa: ARG002
        label = f"active in at least this many {self.addiction_unit}s, share of all active users"
        return HeatMap(label, 1, [(key, _active(rows)) for key, rows in partitions])

    def is_cut(self, reply: AddictionReply) -> bool:
        return len({name for found in reply.data.values() if isinstance(found, dict) for name in found}) > MAX_VALUES

    def size(self, row: dict[str, Any]) -> float:
        return float(row["count"]) if row["at_least"] == 1 else 0.0

    def facts(self, reply: AddictionReply, zone: tzinfo) -> Iterator[Fact]:  # noqa: ARG002
        for label, found in reply.data.items():
            rows = found if isinstance(found, dict) else {_OVERALL: found}
            for segment, counts in rows.items():
                for number, count in enumerate(counts, start=1):
                    yield Fact(label, (None if segment == _OVERALL else segment, number, count))


_OVERALL = "$overall"  # what Mixpanel calls all segments together


def _active(rows: pa.Table) -> list[float]:
    """Shares of those who came at all, up to the last number that has users."""
    counts = [row["count"] for row in rows.to_pylist() if row["segment"] is None]
    return [count / counts[0] for count in counts if count]
