"""Saved reports, which users create in Mixpanel's UI and the Query API reads: funnels, cohorts, Insights reports.

A project declares them (`Project(funnels=[...])`, its table in the projects file), or they are saved while the sandbox
runs (`Sandbox.save_report`, `POST /sandbox/funnels`). Their fields are invented. Source: mixpanel-api.md#query.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

import msgspec

from mixpanel_etl.expressions import ExpressionError, parse

LengthUnit = Literal["second", "minute", "hour", "day", "week", "month"]
SECONDS: dict[str, int] = {
    "second": 1,
    "minute": 60,
    "hour": 3600,
    "day": 86_400,
    "week": 7 * 86_400,
    "month": 30 * 86_400,
}
MAX_LENGTH_SECONDS = 90 * 86_400


class FunnelStep(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One step of a funnel.

    Args:
        event: name of the event.
        where: expression over the event, for example `properties["plan"] == "pro"`.
        label: name of the step; by default that of the event.
        custom_event_id: id of a custom event, instead of `event`.
        events: names of the events that the custom event stands for.
    """

    event: str = ""
    where: str | None = None
    label: str | None = None
    custom_event_id: int | None = None
    events: list[str] = []

    def __post_init__(self) -> None:
        _check_expression("where", self.where)
        if bool(self.event) == (self.custom_event_id is not None):
            raise ValueError("a step of a funnel must have an event, or a custom_event_id with its events")
        if (self.custom_event_id is None) == bool(self.events):
            raise ValueError("events are those of a custom_event_id: give both or none")

    @property
    def names(self) -> list[str]:
        return self.events or [self.event]

    @property
    def shown(self) -> str:
        return f"$custom_event:{self.custom_event_id}" if self.custom_event_id is not None else self.event


class Funnel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A saved funnel: its steps, and the maximum time from the first to the last."""

    funnel_id: int
    name: str
    steps: list[FunnelStep | str]
    length: int = 14
    length_unit: LengthUnit = "day"

    def __post_init__(self) -> None:
        if not self.steps:
            raise ValueError(f"funnel {self.funnel_id} has no steps")
        if not 0 < self.length * SECONDS[self.length_unit] <= MAX_LENGTH_SECONDS:
            wanted = "must be positive and at most 90 days"
            raise ValueError(f"length of funnel {self.funnel_id} {wanted}, not {self.length} {self.length_unit}")

    @property
    def stages(self) -> list[FunnelStep]:
        return [FunnelStep(step) if isinstance(step, str) else step for step in self.steps]


class Cohort(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A saved cohort: the users who satisfy all given conditions, of which there is at least one.

    Args:
        cohort_id: id of the cohort.
        name: name of the cohort.
        description: description in the list of cohorts.
        is_visible: visibility in the list of cohorts.
        created: time of creation in the list of cohorts, in project time; by default the current time.
        distinct_ids: condition: one of these ids, with or without profile.
        where: condition: expression over the profile, for example `user["plan"] == "pro"`.
        event: condition: the user did this event within `within_days`.
        event_where: expression over the event, for example `properties["price"] > 100`.
        within_days: number of days up to now.
    """

    cohort_id: int
    name: str
    description: str = ""
    is_visible: bool = True
    created: datetime | None = None
    distinct_ids: list[str] | None = None
    where: str | None = None
    event: str | None = None
    event_where: str | None = None
    within_days: int = 30

    def __post_init__(self) -> None:
        _check_expression("where", self.where)
        _check_expression("event_where", self.event_where)
        if self.distinct_ids is None and self.where is None and self.event is None:
            raise ValueError(f"cohort {self.cohort_id} has no condition: give distinct_ids, where or event")


class Insight(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A saved report: counts of events over time, a funnel, or a retention (mixpanel-api.md#query-insights).

    Args:
        bookmark_id: id of the report.
        name: name of the report.
        events: names of the events, each counted separately.
        type: general, unique or average.
        unit: unit of the time series.
        where: expression that filters events, for example `properties["plan"] == "pro"`.
        on: expression that breaks events down, for example `properties["plan"]`.
        from_date: first day, in project time; by default the `last_days` up to today are shown.
        to_date: last day, inclusive.
        last_days: number of days up to today, without from_date and to_date.
        report: `insights`; `funnel`, whose steps are the events; `retention`, of the users who did the first of two
            events and came back with the second.
        length: maximum days of a funnel.
        interval_count: number of intervals of a retention, each a `unit`, after the first one.
        dates_outside: whether a retention has its dates above its segments; both orders are observed.
    """

    bookmark_id: int
    name: str
    events: list[str]
    type: Literal["general", "unique", "average"] = "general"
    unit: Literal["hour", "day", "week", "month"] = "day"
    where: str | None = None
    on: str | None = None
    from_date: date | None = None
    to_date: date | None = None
    last_days: int = 30
    report: Literal["insights", "funnel", "retention"] = "insights"
    length: int = 14
    interval_count: int = 1
    dates_outside: bool = False

    def __post_init__(self) -> None:
        _check_expression("where", self.where)
        _check_expression("on", self.on)
        if self.report == "retention" and len(self.events) != 2:
            raise ValueError(f"insight {self.bookmark_id}: a retention has exactly two events, not {len(self.events)}")
        if (self.from_date is None) != (self.to_date is None):
            raise ValueError(f"insight {self.bookmark_id}: give from_date and to_date, or neither")


def _check_expression(name: str, text: str | None) -> None:
    if text is not None:
        try:
            parse(text)
        except ExpressionError as error:
            raise ValueError(f"{name}: {error}") from error
