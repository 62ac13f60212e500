"""Retention and frequency reports. Source: mixpanel-api.md#query-retention."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from mixpanel_etl.client.errors import InvalidRequest
from mixpanel_etl.client.operations import parameters
from mixpanel_etl.client.operations.parameters import Day
from mixpanel_etl.client.operations.replies import Reply, typed
from mixpanel_etl.client.query.base import Number, QueryApi, query_operations
from mixpanel_etl.client.query.frames import data_frame
from mixpanel_etl.client.query.parameters import (
    MAX_WINDOW,
    Interval,
    NumericUnit,
    RetentionType,
    filters,
    optional_choices,
    optional_flags,
    optional_integers,
    optional_strings,
)

if TYPE_CHECKING:
    import polars as pl

operation = query_operations("query-retention")


class RetentionCohort(Reply, frozen=True, kw_only=True):
    """Users who began in one interval, and how many of them came back in each later one.

    Args:
        first: number of users who began.
        counts: numbers of users who came back; the first element is the interval in which they began.
        percents: the same as shares, if Mixpanel gives them.
        segments: cohorts by value of `on`.
    """

    first: int | None = None
    counts: list[int] = msgspec.field(default_factory=list)
    percents: list[Number] | None = None
    segments: dict[str, RetentionCohort] = msgspec.field(default_factory=dict)


class Retention(dict[str, RetentionCohort]):
    """Cohorts by the first day of the interval in which they began."""

    def to_polars(self) -> pl.DataFrame:
        """The counts by cohort and segment, which is null for all users together. Needs `mixpanel_etl[lake]`.

        Returns:
            A data frame with the columns date, segment, size (users who began), interval (from 0) and count.
        """
        rows = (
            (date, segment, part.first, interval, count)
            for date, cohort in self.items()
            for segment, part in [(None, cohort), *cohort.segments.items()]
            for interval, count in enumerate(part.counts)
        )
        return data_frame({"date": str, "segment": str, "size": int, "interval": int, "count": int}, rows)


class Addiction(Reply, frozen=True, kw_only=True):
    """By interval, users who were active in at least 1, 2, 3 ... of its parts; by value of `on` if segmented."""

    data: dict[str, list[int] | dict[str, list[int]]]

    def to_polars(self) -> pl.DataFrame:
        """The users by interval and segment, which is null without `on`. Needs `mixpanel_etl[lake]`.

        Returns:
            A data frame with the columns date, segment, parts (in at least how many the users were active) and users.
        """
        rows = (
            (date, segment, parts, users)
            for date, found in self.data.items()
            for segment, counts in (found.items() if isinstance(found, dict) else [(None, found)])
            for parts, users in enumerate(counts, 1)
        )
        return data_frame({"date": str, "segment": str, "parts": int, "users": int}, rows)


class RetentionQueries(QueryApi):
    """Retention."""

    @operation("GET", "/retention", "interval of 90 days")
    def retention(
        self,
        from_date: Day,
        to_date: Day,
        *,
        born_event: str | None = None,
        event: str | None = None,
        retention_type: RetentionType = "birth",
        born_where: str | None = None,
        where: str | None = None,
        interval: int | None = None,
        interval_count: int | None = None,
        unit: Interval | None = None,
        unbounded_retention: bool | None = None,
        on: str | None = None,
        limit: int | None = None,
    ) -> Retention:
        """Cohorts of users by the interval in which they began, and how many came back.

        Args:
            from_date: first day on which users begin, a date or a string like `2026-01-31`.
            to_date: last day, included.
            born_event: event with which a user begins; required for `birth`.
            event: event with which a user comes back; any event by default.
            retention_type: `birth` for the first time, `compounded` for every time.
            born_where: segmentation expression that filters `born_event`, such as `properties["plan"] == "pro"`.
            where: segmentation expression that filters `event`.
            interval: units in a bucket (1 by default, up to 90 days).
            interval_count: number of buckets after the one in which users began (1 by default).
            unit: day (the default), week or month.
            unbounded_retention: whether users count in a bucket if they came back in it or later.
            on: segmentation expression whose values segment `event`, such as `properties["plan"]`.
            limit: maximum number of values of `on`.
        """
        optional_choices(retention_type=(retention_type, RetentionType))
        if retention_type == "birth" and not born_event:
            raise InvalidRequest("born_event is missing", advice="Give it, or retention_type='compounded'.")
        query = {
            **parameters.window(from_date, to_date),
            "retention_type": retention_type,
            **filters(on=on, where=where, born_where=born_where, limit=limit),
            **optional_choices(unit=(unit, Interval)),
            **optional_strings(born_event=born_event, event=event),
            **optional_integers(maximum=MAX_WINDOW.days if unit in (None, "day") else None, interval=interval),
            **optional_integers(interval_count=interval_count),
            **optional_flags(unbounded_retention=unbounded_retention),
        }
        return Retention(typed(_shaped(self._json(query=query)), dict[str, RetentionCohort]))

    @operation("GET", "/retention/addiction")
    def retention_addiction(
        self,
        from_date: Day,
        to_date: Day,
        unit: Interval,
        addiction_unit: NumericUnit,
        *,
        event: str | None = None,
        where: str | None = None,
        on: str | None = None,
        limit: int | None = None,
    ) -> Addiction:
        """Number of hours or days (`addiction_unit`) of each day, week or month (`unit`) in which users were active."""
        query = {
            **parameters.window(from_date, to_date),
            **optional_choices(unit=(unit, Interval), addiction_unit=(addiction_unit, NumericUnit)),
            **optional_strings(event=event),
            **filters(on=on, where=where, limit=limit),
        }
        reply = self._json(query=query)
        wrapped = reply if isinstance(reply, dict) and isinstance(reply.get("data"), dict) else {"data": reply}
        return typed(wrapped, Addiction)


def _shaped(reply: Any) -> Any:
    """Cohorts by day: they come bare, or in `data`."""
    days = reply["data"] if isinstance(reply, dict) and isinstance(reply.get("data"), dict) else reply
    return {day: _shaped_cohort(value) for day, value in days.items()} if isinstance(days, dict) else days


def _shaped_cohort(value: Any) -> Any:
    if not isinstance(value, dict) or isinstance(value.get("counts"), list):
        return value
    segments = dict(value)
    overall = segments.pop("$overall", {})
    return {**overall, "segments": segments} if isinstance(overall, dict) else value
