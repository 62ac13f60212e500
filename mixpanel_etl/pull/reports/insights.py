"""Saved reports: Insights, funnels and retention. Source: mixpanel-api.md#query-insights."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import tzinfo
from typing import Any

import pyarrow as pa
from pydantic import Field

from mixpanel_etl.client import Insights as Reply
from mixpanel_etl.client import Query
from mixpanel_etl.lake.event_columns import TIMESTAMP, readable_json
from mixpanel_etl.pull.published import Column
from mixpanel_etl.pull.reports.charts import Lines, Partitions, Path, series_of
from mixpanel_etl.pull.reports.insights_shapes import numbers
from mixpanel_etl.pull.reports.report import VALUE, Count, Fact, Snapshot


class Insights(Snapshot):
    """A saved report (Insights, funnel or retention) as it shows today; which days it covers is saved with it."""

    kind = "insights"
    columns = (
        Column("metric", pa.string(), "First level of the report: an event, the name of a metric, a funnel."),
        Column(
            "segments",
            pa.list_(pa.string()),
            "Values of its breakdowns, in their order; null for all together. Empty without a breakdown.",
        ),
        Column("time", TIMESTAMP, "Where the unit of time begins, in UTC; null for all of the time."),
        VALUE._replace(description="The number; null where Mixpanel has none."),
        Column(
            "part",
            pa.string(),
            "Block of the reply: `series`, `secondary` (counts behind rates), `time_comparison`, `lift_comparison`, "
            "`incomplete_buckets` (intervals that are not over).",
        ),
        Column(
            "measure",
            pa.string(),
            "What the number is: `count`, `step_conv_ratio` ... of a funnel; `first`, `counts`, `rates` of a "
            "retention; null elsewhere.",
        ),
        Column("position", pa.int32(), "Step of a funnel from 1, interval of a retention from 0; null elsewhere."),
        Column("label", pa.string(), "What the step of a funnel is called."),
        Column("detail", pa.string(), "What is not a number, as JSON."),
    )
    impersonal = ("metric", "time", "value", "part", "measure", "position")

    bookmark_id: Count = Field(description="Number of the saved report; it is in the report's URL.")

    def ask(self, query: Query) -> Reply:
        return query.insights(self.bookmark_id)

    def is_cut(self, reply: Reply) -> bool:
        meta = reply.get("meta")
        return isinstance(meta, dict) and meta.get("is_segmentation_limit_hit") is True

    @property
    def title(self) -> str:
        return f"insights {self.bookmark_id}"

    def chart(self, partitions: Partitions, zone: tzinfo) -> Lines:  # noqa: ARG002
        """The report's own series; what its numbers are is not in the reply."""
        return Lines("", series_of(partitions, _path), self.shows_segments)

    def facts(self, reply: Reply, zone: tzinfo) -> Iterator[Fact]:
        for one in numbers(reply, zone):
            detail = None if one.detail is None else readable_json(one.detail)
            found = one._replace(detail=detail, segments=list(one.segments))  # type: ignore[arg-type]
            yield Fact(None, tuple(found))


def _path(row: dict[str, Any]) -> Path | None:
    """Metric, breakdowns, and measure with its position."""
    if row["part"] != "series":
        return None
    measured = [f"{row['measure']} {row['position']}"] if row["measure"] else []
    return (row["metric"], *(segment for segment in row["segments"] if segment is not None), *measured)
