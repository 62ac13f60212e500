"""Saved Insights reports. Specification 5.7; api-facts 3.7."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, tzinfo
from typing import Any

import pyarrow as pa
from pydantic import Field

from mixpanel_etl.client.query import Query
from mixpanel_etl.client.query_replies import Insights as Reply
from mixpanel_etl.pull.reports.calendar import moment_of
from mixpanel_etl.pull.reports.report import MOMENT, VALUE, Column, Count, Fact, Snapshot, is_date


class Insights(Snapshot):
    """A saved Insights report as it shows today; which days it covers is saved with it."""

    kind = "insights"
    picture = "line"
    columns = (
        Column("metric", pa.string(), "First level of the report: an event, or the name of a metric."),
        Column("segments", pa.list_(pa.string()), "Values of its breakdowns, in their order; empty without any."),
        Column("time", MOMENT, "Where the unit of time begins, as a UTC moment; null where the report has no time."),
        VALUE,
    )
    impersonal = ("metric", "time", "value")

    bookmark_id: Count = Field(description="Number of the saved report; it is in the report's URL.")

    def ask(self, query: Query) -> Reply:
        return query.insights(self.bookmark_id)

    def facts(self, reply: Reply, zone: tzinfo) -> Iterator[Fact]:
        for metric, series in reply.series.items():
            for path, value in _leaves(series):
                *segments, last = path or ("",)
                moment: datetime | None = moment_of(last, zone) if is_date(last) else None
                # A report without time has `all`, or a segment, where others have the date.
                beyond = [last] if moment is None and last not in ("", "all") else []
                yield Fact(None, (metric, [*segments, *beyond], moment, value))


def _leaves(series: Any) -> Iterator[tuple[tuple[str, ...], float]]:
    """The numbers, and the keys that lead to each."""
    if isinstance(series, dict):
        for name, inner in series.items():
            for path, value in _leaves(inner):
                yield (name, *path), value
    elif isinstance(series, int | float) and not isinstance(series, bool):
        yield (), series
