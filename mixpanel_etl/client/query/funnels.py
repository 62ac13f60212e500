"""Saved funnels. Source: mixpanel-api.md#query-funnels."""

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
    MAX_VALUES,
    MAX_WINDOW,
    Interval,
    LengthUnit,
    filters,
    optional_choices,
    optional_integers,
)

if TYPE_CHECKING:
    import polars as pl

operation = query_operations("query-funnels")

SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 7 * 86400, "month": 30 * 86400}


class FunnelStep(Reply, frozen=True, kw_only=True):
    """One step of a funnel. Times are in seconds, and null for the first step."""

    count: int
    event: str | None = None
    goal: str | None = None
    step_label: str | None = None
    avg_time: Number | None = None
    avg_time_from_start: Number | None = None
    step_conv_ratio: Number | None = None
    overall_conv_ratio: Number | None = None
    custom_event: bool | None = None
    custom_event_id: int | None = None


class FunnelAnalysis(Reply, frozen=True, kw_only=True):
    """Users who entered and who completed the funnel, and the step with the highest loss."""

    completion: int | None = None
    starting_amount: int | None = None
    steps: int | None = None
    worst: int | None = None


class FunnelDay(Reply, frozen=True, kw_only=True):
    """The funnel of the users who entered it in one interval. `segments` has the steps by value of `on`."""

    steps: list[FunnelStep] = msgspec.field(default_factory=list)
    analysis: FunnelAnalysis | None = None
    segments: dict[str, list[FunnelStep]] = msgspec.field(default_factory=dict)


class Funnel(Reply, frozen=True, kw_only=True):
    """A funnel by the first day of each interval. An old day can still grow: later completions count."""

    dates: list[str]
    data: dict[str, FunnelDay]

    def to_polars(self) -> pl.DataFrame:
        """The steps by day and segment, which is null for all users together. Needs `mixpanel_etl[lake]`.

        Returns:
            A data frame with the columns date, segment, step (from 1), event, count, avg_time (seconds),
            step_conv_ratio and overall_conv_ratio.
        """
        facts = {"event": str, "count": int, "avg_time": float, "step_conv_ratio": float, "overall_conv_ratio": float}
        rows = (
            (date, segment, number, *(step[name] for name in facts))
            for date, day in self.data.items()
            for segment, steps in [(None, day.steps), *day.segments.items()]
            for number, step in enumerate(steps, 1)
        )
        return data_frame({"date": str, "segment": str, "step": int, **facts}, rows)


class SavedFunnel(Reply, frozen=True, kw_only=True):
    """Id and name of a saved funnel."""

    funnel_id: int
    name: str | None = None


class FunnelQueries(QueryApi):
    """Funnels."""

    @operation("GET", "/funnels", "length of 90 days", "limit of 10,000 values")
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
    ) -> Funnel:
        """A saved funnel, by the day on which users entered it.

        Completions after `to_date` count as long as they are within the funnel's window, so that a day may change
        until the window has passed.

        Args:
            funnel_id: id of a saved funnel, see `list_funnels`.
            from_date: first day, a date or a string like `2026-01-31`.
            to_date: last day, included.
            length: window from the first step to the last, up to 90 days; the saved one by default.
            length_unit: unit of `length`; required with it.
            interval: days in a bucket.
            unit: unit of a bucket, instead of `interval`.
            on: segmentation expression whose values segment the users, such as `properties["plan"]`.
            where: segmentation expression that filters the events, such as `properties["plan"] == "pro"`.
            limit: maximum number of values of `on` (255 by default, up to 10,000).
        """
        if interval is not None and unit is not None:
            raise InvalidRequest("both interval and unit", advice="Give one of them.")
        query = {
            "funnel_id": str(parameters.integer("funnel_id", funnel_id)),
            **parameters.window(from_date, to_date),
            **_window_length(length, length_unit),
            **optional_integers(interval=interval),
            **optional_choices(unit=(unit, Interval)),
            **filters(on=on, where=where, limit=limit, maximum=MAX_VALUES),
        }
        return typed(_shaped(self._json(query=query)), Funnel)

    @operation("GET", "/funnels/list")
    def list_funnels(self) -> list[SavedFunnel]:
        """The project's saved funnels."""
        return typed(self._json(), list[SavedFunnel])


def _window_length(length: int | None, length_unit: LengthUnit | None) -> dict[str, str]:
    """Window of a funnel: both or neither, and at most 90 days."""
    if length is None and length_unit is None:
        return {}
    if length is None or length_unit is None:
        raise InvalidRequest("only one of length and length_unit", advice="Give both or none.")
    query = {**optional_integers(length=length), **optional_choices(length_unit=(length_unit, LengthUnit))}
    if length * SECONDS[length_unit] > MAX_WINDOW.total_seconds():
        raise InvalidRequest(f"length is {length} {length_unit}s", advice=f"Give at most {MAX_WINDOW.days} days.")
    return query


def _shaped(reply: Any) -> Any:
    """Days as objects: documented as a list of steps, an object with `steps`, and lists of steps by segment."""
    if not isinstance(reply, dict) or not isinstance(reply.get("data"), dict):
        return reply
    meta = reply.get("meta")
    rest = {name: value for name, value in reply.items() if name not in ("meta", "data")}
    dates = meta.get("dates") if isinstance(meta, dict) else None
    return {
        **rest,
        "dates": dates if dates is not None else sorted(reply["data"]),
        "data": {day: _shaped_day(value) for day, value in reply["data"].items()},
    }


def _shaped_day(value: Any) -> Any:
    if isinstance(value, list):
        return {"steps": [_shaped_step(step) for step in value]}
    # With segments there is always `$overall`; one of them may be called `steps`.
    if not isinstance(value, dict) or ("$overall" not in value and isinstance(value.get("steps"), list)):
        return value
    segments = {name: _steps_of(steps) for name, steps in value.items()}
    return {"steps": segments.pop("$overall", []), "segments": segments}


def _steps_of(value: Any) -> Any:
    return value["steps"] if isinstance(value, dict) and "steps" in value else value


def _shaped_step(step: Any) -> Any:
    """The older shape calls the event `name`."""
    return (
        {**step, "event": step["name"]} if isinstance(step, dict) and "event" not in step and "name" in step else step
    )
