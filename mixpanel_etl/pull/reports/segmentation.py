"""Counts, sums and averages over time. Source: mixpanel-api.md#query-segmentation."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from datetime import tzinfo
from typing import Annotated, Any

import pyarrow as pa
from pydantic import Field

from mixpanel_etl.client import Counting, NumericResults, NumericUnit, Query
from mixpanel_etl.client import Segmentation as Series
from mixpanel_etl.client.query.parameters import MAX_VALUES
from mixpanel_etl.pull.published import Column
from mixpanel_etl.pull.reports.calendar import Days, timestamp_of
from mixpanel_etl.pull.reports.report import (
    EVENT,
    MEASURE,
    MEASURED,
    SEGMENT,
    TIME,
    VALUE,
    Count,
    Counted,
    Expression,
    Fact,
    Name,
    TimeSeries,
)
from mixpanel_etl.pull.reports.segment_limits import BySegment, On, is_cut

_RANGE = re.compile(r"(-?[\d,.]+(?:e[+-]?\d+)?) - (-?[\d,.]+(?:e[+-]?\d+)?)")


class Segmentation(Counted, On):
    """How often an event happened, or how many users did it, over time; by the values of `on`, if you like."""

    kind = "segmentation"
    counted = "value"
    columns = (TIME, EVENT, SEGMENT, MEASURE, VALUE)
    impersonal = ("time", "event", "measure", "value")

    event: Name = Field(description="Name of the event.")
    where: Expression | None = Field(default=None, description="Expression that the events satisfy.")

    def ask(self, query: Query, days: Days) -> Series:
        limit = MAX_VALUES if self.on else None
        return query.segmentation(
            self.event, *days, on=self.on, where=self.where, unit=self.unit, type=self.type, limit=limit
        )

    def is_cut(self, reply: Series) -> bool:
        return self.is_segmented and is_cut(reply)

    def facts(self, reply: Series, zone: tzinfo) -> Iterator[Fact]:
        for name, counts in reply.values.items():
            segment = name if self.on else None
            for label, value in counts.items():
                yield Fact(label, (timestamp_of(label, zone), self.event, segment, self.type, value))


class _Numbers(TimeSeries):
    """What the reports on a number share."""

    event: Name = Field(description="Name of the event.")
    on: Expression = Field(description="Expression whose value is a number.")
    where: Expression | None = Field(default=None, description="Expression that the events satisfy.")
    unit: NumericUnit = Field(default="day", description="Of the time series: hour or day.")


class SegmentationNumeric(_Numbers, BySegment):
    """How often an event happened over time, by ranges of a number."""

    kind = "segmentation_numeric"
    counted = "value"
    columns = (
        TIME,
        EVENT,
        Column("segment", pa.string(), "Range of the number, as Mixpanel writes it: `2,000 - 2,100`."),
        Column("low", pa.float64(), "Where the range begins; null if the string is not a range."),
        Column("high", pa.float64(), "Where it ends."),
        MEASURE,
        VALUE,
    )
    impersonal = ("time", "event", "measure", "value")

    type: Counting = Field(default="general", description="What is counted; `unique` users not by hour.")
    width: Annotated[float, Field(gt=0)] | None = Field(
        default=None,
        description="Width of the ranges, which begin at its multiples: they are the same in all partitions, and a run "
        "takes one query. Without it Mixpanel chooses the ranges of each partition, which takes a query for each.",
    )
    buckets: Count | None = Field(default=None, description="How many ranges; Mixpanel decides by default.")

    @property
    def measured(self) -> str:
        return MEASURED[self.type]

    def contradictions(self) -> Iterator[str]:
        yield from super().contradictions()
        if self.type == "unique" and self.unit == "hour":
            yield "type is 'unique' and unit is 'hour': count users by day"
        if self.width and self.buckets:
            yield "width and buckets are given: give one of them"

    @property
    def is_asked_by_partition(self) -> bool:
        return self.width is None  # the ranges are cut to the numbers of the days asked for

    def ask(self, query: Query, days: Days) -> Series:
        how: dict[str, Any] = {"where": self.where, "unit": self.unit, "type": self.type}
        if self.width is None:
            return query.segmentation_numeric(self.event, *days, self.on, buckets=self.buckets, **how)
        return query.segmentation(self.event, *days, on=_multiple(self.on, self.width), limit=MAX_VALUES, **how)

    def is_cut(self, reply: Series) -> bool:
        return self.width is not None and is_cut(reply)

    def facts(self, reply: Series, zone: tzinfo) -> Iterator[Fact]:
        for told, counts in reply.values.items():
            name = told if self.width is None else _range(told, self.width)
            if name is None:
                continue
            low, high = _bounds(name)
            for label, value in counts.items():
                yield Fact(label, (timestamp_of(label, zone), self.event, name, low, high, self.type, value))


class SegmentationSum(_Numbers):
    """The sum of a number over the events of each unit of time; non-numeric values count as 0."""

    kind = "segmentation_sum"
    columns = (TIME, EVENT, MEASURE._replace(description="`sum`."), VALUE)
    impersonal = ("time", "event", "measure", "value")

    @property
    def measured(self) -> str:
        return "sum"

    def ask(self, query: Query, days: Days) -> NumericResults:
        return query.segmentation_sum(self.event, *days, self.on, where=self.where, unit=self.unit)

    def facts(self, reply: NumericResults, zone: tzinfo) -> Iterator[Fact]:
        for label, value in reply.results.items():
            yield Fact(label, (timestamp_of(label, zone), self.event, "sum", value))


class SegmentationAverage(_Numbers):
    """The average of a number over the events of each unit of time; non-numeric values count as 0."""

    kind = "segmentation_average"
    columns = (TIME, EVENT, MEASURE._replace(description="`average`."), VALUE)
    impersonal = ("time", "event", "measure", "value")

    @property
    def measured(self) -> str:
        return "average"

    def ask(self, query: Query, days: Days) -> NumericResults:
        return query.segmentation_average(self.event, *days, self.on, where=self.where, unit=self.unit)

    def facts(self, reply: NumericResults, zone: tzinfo) -> Iterator[Fact]:
        for label, value in reply.results.items():
            yield Fact(label, (timestamp_of(label, zone), self.event, "average", value))


def _multiple(on: str, width: float) -> str:
    """An expression for the number of whole widths below a number."""
    quotient = f"({on}) / {width:.12g}"
    # 0.3 / 0.1 is a little less than 3 in binary fractions.
    return f"floor({quotient})" if width == int(width) else f"floor({quotient} + 0.000000001)"


def _range(multiple: str, width: float) -> str | None:
    """The range as Mixpanel writes it; None for the segment of values that are not numbers."""
    try:
        low = float(multiple) * width
    except ValueError:
        return None
    return f"{low:,.12g} - {low + width:,.12g}" if math.isfinite(low) else None


def _bounds(text: str) -> tuple[float | None, float | None]:
    """The numbers in `2,000 - 2,100`."""
    match = _RANGE.fullmatch(text.strip())
    if match is None:
        return None, None
    low, high = (float(number.replace(",", "")) for number in match.groups())
    return low, high
