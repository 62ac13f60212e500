"""Funnels, by the day on which users entered them. Source: mixpanel-api.md#query-funnels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import timedelta, tzinfo
from typing import Any

import pyarrow as pa
from pydantic import Field

from mixpanel_etl.client import Funnel as Reply
from mixpanel_etl.client import FunnelStep, Interval, LengthUnit, Query
from mixpanel_etl.client.query.funnels import SECONDS
from mixpanel_etl.client.query.parameters import MAX_VALUES, MAX_WINDOW
from mixpanel_etl.pull.published import Column
from mixpanel_etl.pull.reports.calendar import Days
from mixpanel_etl.pull.reports.charts import Bars, Partitions, rows_of
from mixpanel_etl.pull.reports.report import SEGMENT, Count, Expression, Fact, units_in
from mixpanel_etl.pull.reports.segment_limits import On

#: What Mixpanel gives a new funnel, and what a report assumes that leaves `length` to the saved funnel.
USUAL_LENGTH = timedelta(days=14)


class Funnel(On):
    """How many users took each step of a saved funnel, by the day (week, month) on which they entered it.

    A partition changes until the funnel's `length` has passed since its last day, because completions count for the
    day of entry. The table has one row a step; with `on`, one for each value too.
    """

    kind = "funnel"
    counted = "count"
    has_totals = True
    columns = (
        SEGMENT,
        Column("step", pa.int32(), "Number of the step, from 1."),
        Column("event", pa.string(), "Event of the step."),
        Column("label", pa.string(), "What the step is called in the funnel; null where Mixpanel does not say."),
        Column("count", pa.int64(), "Users who reached the step."),
        Column("step_conv_ratio", pa.float64(), "Share of those who reached the step before."),
        Column("overall_conv_ratio", pa.float64(), "Share of those who entered."),
        Column("avg_time", pa.float64(), "Average seconds since the step before; null in the first step."),
        Column("avg_time_from_start", pa.float64(), "Average seconds since entering."),
    )
    impersonal = tuple(column.name for column in columns if column is not SEGMENT)

    funnel_id: Count = Field(description="Number of the saved funnel; it is in the funnel's URL.")
    unit: Interval = Field(default="day", description="Of the entries: day, week or month.")
    length: Count | None = Field(
        default=None, description="How long users have to complete it, up to 90 days; as saved by default."
    )
    length_unit: LengthUnit = Field(default="day", description="Of `length`: second to month.")
    where: Expression | None = Field(default=None, description="Expression that the events satisfy.")

    def contradictions(self) -> Iterator[str]:
        yield from super().contradictions()
        if self.length is None and "length_unit" in self.model_fields_set:
            yield "length_unit is given without length: give both, or none"
        if self._window() > MAX_WINDOW:
            yield f"length is {self.length} {self.length_unit}s: give at most {MAX_WINDOW.days} days"

    def _window(self) -> timedelta:
        return USUAL_LENGTH if self.length is None else timedelta(seconds=self.length * SECONDS[self.length_unit])

    def _changing(self) -> int:
        # One more: who enters in a partition's last hour has the whole length from there.
        return units_in(self._window(), self.partition_unit) + 1

    def ask(self, query: Query, days: Days) -> Reply:
        return query.funnels(
            self.funnel_id,
            *days,
            length=self.length,
            length_unit=None if self.length is None else self.length_unit,
            unit=self.unit,
            on=self.on,
            where=self.where,
            limit=MAX_VALUES if self.on else None,
        )

    def is_cut(self, reply: Reply) -> bool:
        return len({segment for day in reply.data.values() for segment in day.segments}) >= MAX_VALUES

    @property
    def title(self) -> str:
        return f"funnel {self.funnel_id}"

    def chart(self, partitions: Partitions, zone: tzinfo) -> Bars:  # noqa: ARG002
        """Users at each step, all partitions together."""
        names: dict[int, str] = {}
        users: Counter[int] = Counter()
        for row in rows_of(partitions):
            if row["segment"] is None:
                names[row["step"]] = row["label"] or row["event"] or ""
                users[row["step"]] += row["count"]
        first, last = partitions[0][0], partitions[-1][0]
        note = f"entered {first}" if first == last else f"entered {first} to {last}"
        return Bars("users", [(names[step], users[step]) for step in sorted(names)], note)

    def size(self, row: dict[str, Any]) -> float:
        return float(row["count"]) if row["step"] == 1 else 0.0

    def facts(self, reply: Reply, zone: tzinfo) -> Iterator[Fact]:  # noqa: ARG002
        for label, day in reply.data.items():
            yield from _steps(label, None, day.steps)
            for segment, steps in day.segments.items():
                yield from _steps(label, segment, steps)


def _steps(label: str, segment: str | None, steps: Sequence[FunnelStep]) -> Iterator[Fact]:
    before = entered = steps[0].count if steps else 0
    for number, step in enumerate(steps, start=1):
        yield Fact(
            label,
            (
                segment,
                number,
                step.event or step.goal,
                step.step_label,
                step.count,
                _ratio(step.step_conv_ratio, step.count, before),
                _ratio(step.overall_conv_ratio, step.count, entered),
                step.avg_time if number > 1 else None,
                step.avg_time_from_start,
            ),
        )
        before = step.count


def _ratio(said: float | None, part: int, whole: int) -> float | None:
    """As Mixpanel says, or computed where it only counts (the older shape)."""
    if said is not None:
        return said
    return part / whole if whole else None
