"""Reports of the Query API: segmentation, funnels, retention.

Source: mixpanel-api.md#query-segmentation, #query-funnels, #query-retention.

All dates are days of the project's time zone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mixpanel_etl.client.errors import InvalidRequest
from mixpanel_etl.client.operations import parameters
from mixpanel_etl.client.operations.api import Group
from mixpanel_etl.client.operations.parameters import Day
from mixpanel_etl.client.operations.replies import plain, typed
from mixpanel_etl.client.query import replies
from mixpanel_etl.client.query.parameters import (
    LONGEST,
    MOST_VALUES,
    Counting,
    Interval,
    LengthUnit,
    NumericUnit,
    RetentionType,
    Unit,
    choices,
    event_window,
    filters,
    flag,
    text,
    whole,
    window_length,
)


class Reports(Group):
    """Segmentation, funnels and retention."""

    group = "query"

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
    ) -> replies.Segmentation:
        """Counts of one event over time, by the values of a property when there is an `on`.

        Args:
            event: its name.
            from_date: first day.
            to_date: last day, included.
            on: what to segment by.
            where: which events count.
            unit: of the time series; by day when left out.
            type: `general` counts events (the default), `unique` users, `average` events per user.
            interval: days in a bucket, instead of `unit`, where `type` is not `general`.
            limit: at most so many values of `on`, the most common ones (60 when left out, up to 10,000).
        """
        endpoint = self._endpoint("segmentation")
        if interval is not None and (unit is not None or type in (None, "general")):
            raise InvalidRequest(
                f"interval is {interval!r} beside unit {unit!r} and type {type!r}",
                endpoint=endpoint,
                advice="Give an interval instead of a unit, and for type 'unique' or 'average' only.",
            )
        query = {
            **event_window(event, from_date, to_date, endpoint),
            **filters(endpoint, on=on, where=where, limit=limit, most=MOST_VALUES),
            **choices(endpoint, unit=(unit, Unit), type=(type, Counting)),
            **whole(endpoint, interval=interval),
        }
        reply = self._get("segmentation", query)
        return typed(replies.Segmentation, replies.unwrapped(reply), endpoint=endpoint)

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
    ) -> replies.Segmentation:
        """Counts of one event over time, by ranges of a number.

        Args:
            event: its name.
            from_date: first day.
            to_date: last day, included.
            on: an expression whose value is a number.
            where: which events count.
            unit: of the time series; by day when left out.
            type: what is counted; events when left out.
            buckets: how many ranges; only the specification has it, Mixpanel's own description does not.
        """
        endpoint = self._endpoint("segmentation_numeric")
        query = {
            **event_window(event, from_date, to_date, endpoint),
            **filters(endpoint, on=on, where=where),
            **choices(endpoint, unit=(unit, NumericUnit), type=(type, Counting)),
            **whole(endpoint, buckets=buckets),
        }
        reply = self._get("segmentation_numeric", query)
        return typed(replies.Segmentation, replies.unwrapped(reply), endpoint=endpoint)

    def segmentation_sum(
        self,
        event: str,
        from_date: Day,
        to_date: Day,
        on: str,
        *,
        where: str | None = None,
        unit: NumericUnit | None = None,
    ) -> replies.NumericResults:
        """Sums of a number over time; what is no number counts as 0."""
        query = {
            **event_window(event, from_date, to_date, self._endpoint("segmentation_sum")),
            **filters(self._endpoint("segmentation_sum"), on=on, where=where),
        }
        return self._numbers_over_time("segmentation_sum", query, unit)

    def segmentation_average(
        self,
        event: str,
        from_date: Day,
        to_date: Day,
        on: str,
        *,
        where: str | None = None,
        unit: NumericUnit | None = None,
    ) -> replies.NumericResults:
        """Averages of a number over time."""
        query = {
            **event_window(event, from_date, to_date, self._endpoint("segmentation_average")),
            **filters(self._endpoint("segmentation_average"), on=on, where=where),
        }
        return self._numbers_over_time("segmentation_average", query, unit)

    def funnels(
        self,
        funnel_id: int,
        from_date: Day,
        to_date: Day,
        *,
        length: int | None = None,
        length_unit: LengthUnit | None = None,
        interval: int | None = None,
        unit: Interval | None = None,
        on: str | None = None,
        where: str | None = None,
        limit: int | None = None,
    ) -> replies.Funnel:
        """A saved funnel, by the day on which users entered it.

        Completions after `to_date` count as long as they are within the funnel's window, so that a day may change
        until the window has passed.

        Args:
            funnel_id: of a saved funnel, see `list_funnels`.
            from_date: first day.
            to_date: last day, included.
            length: how long users have from the first step to the last, up to 90 days; as saved when left out.
            length_unit: of `length`; goes with it.
            interval: days in a bucket.
            unit: a bucket, instead of `interval`.
            on: what to segment by.
            where: which events count.
            limit: at most so many values of `on` (255 when left out, up to 10,000).
        """
        endpoint = self._endpoint("funnels")
        if interval is not None and unit is not None:
            raise InvalidRequest("both interval and unit", endpoint=endpoint, advice="Give one of them.")
        query = {
            "funnel_id": parameters.whole("funnel_id", funnel_id, endpoint),
            **parameters.window(from_date, to_date, endpoint),
            **window_length(length, length_unit, endpoint),
            **whole(endpoint, interval=interval),
            **choices(endpoint, unit=(unit, Interval)),
            **filters(endpoint, on=on, where=where, limit=limit, most=MOST_VALUES),
        }
        return typed(replies.Funnel, replies.funnel_shape(self._get("funnels", query)), endpoint=endpoint)

    def list_funnels(self) -> list[replies.SavedFunnel]:
        """The project's saved funnels."""
        return plain(self._get("list_funnels"), list[replies.SavedFunnel], endpoint=self._endpoint("list_funnels"))

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
    ) -> dict[str, replies.RetentionCohort]:
        """Cohorts of users by the interval in which they began, and how many came back.

        Args:
            from_date: first day on which users begin.
            to_date: last one, included.
            born_event: what makes a user begin; required for `birth`.
            event: what counts as coming back; any event when left out.
            retention_type: `birth` for the first time, `compounded` for every time.
            born_where: which events make a user begin.
            where: which events count as coming back.
            interval: units in a bucket (1 when left out, up to 90 days).
            interval_count: buckets after the one in which users began (1 when left out).
            unit: day (the default), week or month.
            unbounded_retention: count in a bucket whoever came back in it or later.
            on: what to segment the second event by.
            limit: at most so many values of `on`.
        """
        endpoint = self._endpoint("retention")
        choices(endpoint, retention_type=(retention_type, RetentionType))
        if retention_type == "birth" and not born_event:
            raise InvalidRequest(
                "no born_event", endpoint=endpoint, advice="Give it, or retention_type='compounded', which needs none."
            )
        most = LONGEST.days if unit in (None, "day") else None
        query = {
            **parameters.window(from_date, to_date, endpoint),
            "retention_type": retention_type,
            **filters(endpoint, on=on, where=where, born_where=born_where, limit=limit),
            **choices(endpoint, unit=(unit, Interval)),
            **text(endpoint, born_event=born_event, event=event),
            **whole(endpoint, most=most, interval=interval),
            **whole(endpoint, interval_count=interval_count),
            **flag(unbounded_retention=unbounded_retention),
        }
        reply = replies.retention_shape(self._get("retention", query))
        return plain(reply, dict[str, replies.RetentionCohort], endpoint=endpoint)

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
    ) -> replies.Addiction:
        """In how many hours or days (`addiction_unit`) of each day, week or month (`unit`) users were active."""
        endpoint = self._endpoint("retention_addiction")
        query = {
            **parameters.window(from_date, to_date, endpoint),
            **choices(endpoint, unit=(unit, Interval), addiction_unit=(addiction_unit, NumericUnit)),
            **text(endpoint, event=event),
            **filters(endpoint, on=on, where=where, limit=limit),
        }
        reply = self._get("retention_addiction", query)
        wrapped = reply if isinstance(reply, dict) and isinstance(reply.get("data"), dict) else {"data": reply}
        return typed(replies.Addiction, wrapped, endpoint=endpoint)

    def _numbers_over_time(
        self, name: str, query: Mapping[str, str], unit: NumericUnit | None
    ) -> replies.NumericResults:
        endpoint = self._endpoint(name)
        reply = self._get(name, {**query, **choices(endpoint, unit=(unit, NumericUnit))})
        return typed(replies.NumericResults, reply, endpoint=endpoint)

    def _get(self, name: str, query: Mapping[str, str] | None = None, **parts: Any) -> Any:
        """Ask, in the data view of the settings if they name one."""
        return self._call(name, query={**(query or {}), **self._view()}, **parts)

    def _view(self) -> dict[str, str]:
        view = self._transport.settings.workspace_id
        return {"workspace_id": str(view)} if view else {}
