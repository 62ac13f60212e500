"""Segmentation reports. Source: mixpanel-api.md#query-segmentation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mixpanel_etl.client.errors import InvalidRequest
from mixpanel_etl.client.operations.parameters import Day
from mixpanel_etl.client.operations.replies import Reply, typed
from mixpanel_etl.client.query.base import Counts, QueryApi, query_operations, unwrapped
from mixpanel_etl.client.query.frames import data_frame, series_frame
from mixpanel_etl.client.query.parameters import (
    MAX_VALUES,
    Counting,
    NumericUnit,
    Unit,
    event_window,
    filters,
    optional_choices,
    optional_integers,
)

if TYPE_CHECKING:
    import polars as pl

operation = query_operations("query-segmentation")


class Segmentation(Reply, frozen=True, kw_only=True):
    """A count over time, for each value of a property (for the event, if not segmented).

    Args:
        series: units of time, in the project's zone; in no order.
        values: counts by unit of time, by value, numeric range (`2,000 - 2,100`) or event.
        legend_size: number of values.
    """

    series: list[str]
    values: dict[str, Counts]
    legend_size: int | None = None

    def to_polars(self) -> pl.DataFrame:
        """The counts: columns segment, time (as Mixpanel writes it) and value. Needs `mixpanel_etl[lake]`."""
        return series_frame(self.values, "segment")


class NumericResults(Reply, frozen=True, kw_only=True):
    """A sum or an average by unit of time; `computed_at` because results can be cached."""

    results: Counts
    status: str | None = None
    computed_at: str | None = None

    def to_polars(self) -> pl.DataFrame:
        """The results: columns time (as Mixpanel writes it) and value. Needs `mixpanel_etl[lake]`."""
        return data_frame({"time": str, "value": float}, self.results.items())


class SegmentationQueries(QueryApi):
    """Segmentation."""

    @operation("GET", "/segmentation", "limit of 10,000 values, only with `on`")
    def segmentation(
        self,
        event: str,
        from_date: Day,
        to_date: Day,
        *,
        on: str | None = None,
        where: str | None = None,
        unit: Unit | None = None,
        type: Counting | None = None,  # noqa: A002
        interval: int | None = None,
        limit: int | None = None,
    ) -> Segmentation:
        """Counts of one event over time, by the values of a property if there is an `on`.

        Args:
            event: name of the event.
            from_date: first day, a date or a string like `2026-01-31`.
            to_date: last day, included.
            on: segmentation expression whose values segment the events, such as `properties["plan"]`.
            where: segmentation expression that filters the events, such as `properties["plan"] == "pro"`.
            unit: unit of the time series; day by default.
            type: `general` counts events (the default), `unique` users, `average` events per user.
            interval: days in a bucket, instead of `unit`, if `type` is not `general`.
            limit: maximum number of values of `on`, the most frequent ones (60 by default, up to 10,000).
        """
        if interval is not None and (unit is not None or type in (None, "general")):
            raise InvalidRequest(
                f"interval is {interval!r} beside unit {unit!r} and type {type!r}",
                advice="Give an interval instead of a unit, and for type 'unique' or 'average' only.",
            )
        query = {
            **event_window(event, from_date, to_date),
            **filters(on=on, where=where, limit=limit, maximum=MAX_VALUES),
            **optional_choices(unit=(unit, Unit), type=(type, Counting)),
            **optional_integers(interval=interval),
        }
        return typed(unwrapped(self._json(query=query)), Segmentation)

    @operation("GET", "/segmentation/numeric")
    def segmentation_numeric(
        self,
        event: str,
        from_date: Day,
        to_date: Day,
        on: str,
        *,
        where: str | None = None,
        unit: NumericUnit | None = None,
        type: Counting | None = None,  # noqa: A002
        buckets: int | None = None,
    ) -> Segmentation:
        """Counts of one event over time, by ranges of a number.

        Args:
            event: name of the event.
            from_date: first day, a date or a string like `2026-01-31`.
            to_date: last day, included.
            on: segmentation expression whose value is a number, such as `properties["price"]`.
            where: segmentation expression that filters the events.
            unit: unit of the time series; day by default.
            type: what is counted; `general` by default.
            buckets: number of ranges; only the specification has it, Mixpanel's own description does not.
        """
        query = {
            **event_window(event, from_date, to_date),
            **filters(on=on, where=where),
            **optional_choices(unit=(unit, NumericUnit), type=(type, Counting)),
            **optional_integers(buckets=buckets),
        }
        return typed(unwrapped(self._json(query=query)), Segmentation)

    @operation("GET", "/segmentation/sum")
    def segmentation_sum(
        self,
        event: str,
        from_date: Day,
        to_date: Day,
        on: str,
        *,
        where: str | None = None,
        unit: NumericUnit | None = None,
    ) -> NumericResults:
        """Sums of a number over time; other values count as 0."""
        return self._numbers(event_window(event, from_date, to_date), on, where, unit)

    @operation("GET", "/segmentation/average")
    def segmentation_average(
        self,
        event: str,
        from_date: Day,
        to_date: Day,
        on: str,
        *,
        where: str | None = None,
        unit: NumericUnit | None = None,
    ) -> NumericResults:
        """Averages of a number over time."""
        return self._numbers(event_window(event, from_date, to_date), on, where, unit)

    def _numbers(
        self, event_of_days: dict[str, str], on: str, where: str | None, unit: NumericUnit | None
    ) -> NumericResults:
        query = {**event_of_days, **filters(on=on, where=where), **optional_choices(unit=(unit, NumericUnit))}
        return typed(self._json(query=query), NumericResults)
