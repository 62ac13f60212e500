"""Counts, sums and averages over time. Specification 5.1; api-facts 3.1."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import tzinfo
from typing import Annotated, ClassVar

import pyarrow as pa
from pydantic import Field

from mixpanel_etl.client.query import Query
from mixpanel_etl.client.query_parameters import MOST_VALUES, Counting, NumericUnit
from mixpanel_etl.client.query_replies import NumericResults
from mixpanel_etl.client.query_replies import Segmentation as Series
from mixpanel_etl.pull.reports.calendar import Days, moment_of
from mixpanel_etl.pull.reports.report import (
    EVENT,
    MEASURE,
    SEGMENT,
    TIME,
    VALUE,
    Column,
    Count,
    Counted,
    Expression,
    Fact,
    Name,
    Picture,
    RangeReport,
)

_RANGE = re.compile(r"(-?[\d,.]+(?:e[+-]?\d+)?) - (-?[\d,.]+(?:e[+-]?\d+)?)")


class Segmentation(Counted):
    """How often an event happened, or how many users did it, over time; by the values of `on`, if you like."""

    kind = "segmentation"
    columns = (TIME, EVENT, SEGMENT, MEASURE, VALUE)
    impersonal = ("time", "event", "measure", "value")

    event: Name = Field(description="Name of the event.")
    on: Expression | None = Field(default=None, description="Expression to segment by.")
    where: Expression | None = Field(default=None, description="Expression that the events satisfy.")
    limit: Annotated[int, Field(ge=1, le=MOST_VALUES)] | None = Field(
        default=None, description="Most values of `on` (Mixpanel's default: 60; at most 10,000)."
    )

    def contradictions(self) -> Iterator[str]:
        yield from super().contradictions()
        if self.limit and not self.on:
            yield "limit is given without `on`, whose values it limits: give `on`, or no limit"

    def ask(self, query: Query, days: Days) -> Series:
        return query.segmentation(
            self.event, *days, on=self.on, where=self.where, unit=self.unit, type=self.type, limit=self.limit
        )

    def facts(self, reply: Series, zone: tzinfo) -> Iterator[Fact]:
        for name, counts in reply.values.items():
            segment = name if self.on else None
            for label, value in counts.items():
                yield Fact(label, (moment_of(label, zone), self.event, segment, self.type, value))


class _Numbers(RangeReport):
    """What the reports on a number share."""

    picture: ClassVar[Picture | None] = "line"

    event: Name = Field(description="Name of the event.")
    on: Expression = Field(description="Expression whose value is a number.")
    where: Expression | None = Field(default=None, description="Expression that the events satisfy.")
    unit: NumericUnit = Field(default="day", description="Of the time series: hour or day.")


class SegmentationNumeric(_Numbers):
    """How often an event happened over time, by ranges of a number."""

    kind = "segmentation_numeric"
    columns = (
        TIME,
        EVENT,
        Column("segment", pa.string(), "Range of the number, as Mixpanel writes it: `2,000 - 2,100`."),
        Column("low", pa.float64(), "Where the range begins; null where the text is no range."),
        Column("high", pa.float64(), "Where it ends."),
        MEASURE,
        VALUE,
    )
    impersonal = ("time", "event", "measure", "value")

    type: Counting = Field(default="general", description="What is counted; `unique` users not by hour.")
    buckets: Count | None = Field(default=None, description="How many ranges; Mixpanel decides by default.")

    def contradictions(self) -> Iterator[str]:
        if self.type == "unique" and self.unit == "hour":
            yield "type is 'unique' and unit is 'hour': count users by day"

    def ask(self, query: Query, days: Days) -> Series:
        return query.segmentation_numeric(
            self.event, *days, self.on, where=self.where, unit=self.unit, type=self.type, buckets=self.buckets
        )

    def facts(self, reply: Series, zone: tzinfo) -> Iterator[Fact]:
        for name, counts in reply.values.items():
            low, high = _bounds(name)
            for label, value in counts.items():
                yield Fact(label, (moment_of(label, zone), self.event, name, low, high, self.type, value))


class SegmentationSum(_Numbers):
    """The sum of a number over the events of each unit of time; what is no number counts as 0."""

    kind = "segmentation_sum"
    columns = (TIME, EVENT, MEASURE._replace(description="`sum`."), VALUE)
    impersonal = ("time", "event", "measure", "value")

    def ask(self, query: Query, days: Days) -> NumericResults:
        return query.segmentation_sum(self.event, *days, self.on, where=self.where, unit=self.unit)

    def facts(self, reply: NumericResults, zone: tzinfo) -> Iterator[Fact]:
        for label, value in reply.results.items():
            yield Fact(label, (moment_of(label, zone), self.event, "sum", value))


class SegmentationAverage(_Numbers):
    """The average of a number over the events of each unit of time; what is no number counts as 0."""

    kind = "segmentation_average"
    columns = (TIME, EVENT, MEASURE._replace(description="`average`."), VALUE)
    impersonal = ("time", "event", "measure", "value")

    def ask(self, query: Query, days: Days) -> NumericResults:
        return query.segmentation_average(self.event, *days, self.on, where=self.where, unit=self.unit)

    def facts(self, reply: NumericResults, zone: tzinfo) -> Iterator[Fact]:
        for label, value in reply.results.items():
            yield Fact(label, (moment_of(label, zone), self.event, "average", value))


def _bounds(text: str) -> tuple[float | None, float | None]:
    """The numbers in `2,000 - 2,100`."""
    match = _RANGE.fullmatch(text.strip())
    if match is None:
        return None, None
    low, high = (float(number.replace(",", "")) for number in match.groups())
    return low, high
