"""What the Query API answers, in both of the shapes that are documented. Source: mixpanel-api.md#query."""

from __future__ import annotations

from typing import Any

import msgspec

from mixpanel_etl.client.operations.replies import Reply

Number = int | float
Counts = dict[str, Number]  # by unit of time, as Mixpanel writes it


class EventCounts(Reply, frozen=True, kw_only=True):
    """How often each event happened in each unit of time.

    Args:
        series: the units of time, in the project's zone, as Mixpanel writes them (`2026-01-31` for days).
        values: for each event, counts by unit of time.
        legend_size: number of events.
    """

    series: list[str]
    values: dict[str, Counts]
    legend_size: int | None = None


class Segmentation(Reply, frozen=True, kw_only=True):
    """A count over time, for each value of a property (for the event, when not segmented).

    Args:
        series: the units of time, in the project's zone; in no order.
        values: by value, numeric range (`2,000 - 2,100`) or event, counts by unit of time.
        legend_size: number of values.
    """

    series: list[str]
    values: dict[str, Counts]
    legend_size: int | None = None


class NumericResults(Reply, frozen=True, kw_only=True):
    """A sum or an average by unit of time; `computed_at` because results can be cached."""

    results: Counts
    status: str | None = None
    computed_at: str | None = None


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
    """Users who came in and who came through, and the step with the highest loss."""

    completion: int | None = None
    starting_amount: int | None = None
    steps: int | None = None
    worst: int | None = None


class FunnelDay(Reply, frozen=True, kw_only=True):
    """A funnel of those who entered it in one interval. `segments` has the steps by value of `on`."""

    steps: list[FunnelStep] = msgspec.field(default_factory=list)
    analysis: FunnelAnalysis | None = None
    segments: dict[str, list[FunnelStep]] = msgspec.field(default_factory=dict)


class Funnel(Reply, frozen=True, kw_only=True):
    """A funnel by the first day of each interval. An old day can still grow: completions after it count."""

    dates: list[str]
    data: dict[str, FunnelDay]


class SavedFunnel(Reply, frozen=True, kw_only=True):
    """A funnel that somebody saved."""

    funnel_id: int
    name: str | None = None


class RetentionCohort(Reply, frozen=True, kw_only=True):
    """Users who began in one interval: how many came back in each one after it.

    Args:
        first: how many they are.
        counts: how many came back; the first element is the interval in which they began.
        percents: the same as shares, where Mixpanel gives them.
        segments: cohorts by value of `on`.
    """

    first: int | None = None
    counts: list[int] = msgspec.field(default_factory=list)
    percents: list[Number] | None = None
    segments: dict[str, RetentionCohort] = msgspec.field(default_factory=dict)


class Addiction(Reply, frozen=True, kw_only=True):
    """By interval, users who were active in at least 1, 2, 3 ... of its parts; by value of `on` when segmented."""

    data: dict[str, list[int] | dict[str, list[int]]]


class TopEvent(Reply, frozen=True, kw_only=True):
    """An event of today, and by how much it changed since yesterday."""

    event: str
    amount: Number
    percent_change: Number | None = None


class TopEvents(Reply, frozen=True, kw_only=True):
    """Today's most common events."""

    events: list[TopEvent]
    type: str | None = None


class Cohort(Reply, frozen=True, kw_only=True):
    """A saved cohort. `created` is a time in the project's zone, as Mixpanel writes it."""

    id: str
    name: str | None = None
    count: int | None = None
    description: str | None = None
    created: str | None = None
    is_visible: bool | None = None
    project_id: int | None = None
    data_group_id: str | int | None = None


class DateRange(Reply, frozen=True, kw_only=True):
    """Moments with the project's offset, or days."""

    from_date: str | None = None
    to_date: str | None = None


class Insights(Reply, frozen=True, kw_only=True):
    """A saved Insights report.

    Args:
        headers: what the levels of `series` mean.
        series: by event, and by what else the report breaks down, numbers by unit of time.
        computed_at: when; reports can be cached.
    """

    series: dict[str, Any]
    headers: list[str] = msgspec.field(default_factory=list)
    computed_at: str | None = None
    date_range: DateRange | None = None


class StreamEvent(Reply, frozen=True, kw_only=True):
    """An event of a person's history. `time` is also among the properties where Mixpanel puts it there."""

    event: str
    properties: dict[str, Any]
    time: Number | None = None


class Profile(Reply, frozen=True, kw_only=True):
    """A user or a group, by its id, with properties."""

    distinct_id: str = msgspec.field(name="$distinct_id")
    properties: dict[str, Any] = msgspec.field(name="$properties", default_factory=dict)


PAGE_SIZE = 1000


class ProfilePage(Reply, frozen=True, kw_only=True):
    """A page of profiles. Mixpanel's own documents disagree on what `total` counts: see `client.profile_pages`."""

    results: list[Profile]
    page: int | None = None
    page_size: int | None = None
    session_id: str | None = None
    total: int | None = None
    status: str | None = None


def unwrapped(reply: Any) -> Any:
    """What is in `data`, together with what is beside it."""
    if isinstance(reply, dict) and isinstance(data := reply.get("data"), dict):
        return {**{name: value for name, value in reply.items() if name != "data"}, **data}
    return reply


def funnel_shape(reply: Any) -> Any:
    """Days as objects: documented as a list of steps, an object with `steps`, and lists of steps by segment."""
    if not isinstance(reply, dict) or not isinstance(reply.get("data"), dict):
        return reply
    meta = reply.get("meta")
    rest = {name: value for name, value in reply.items() if name not in ("meta", "data")}
    dates = meta.get("dates") if isinstance(meta, dict) else None
    return {
        **rest,
        "dates": dates if dates is not None else sorted(reply["data"]),
        "data": {day: _funnel_day(value) for day, value in reply["data"].items()},
    }


def _funnel_day(value: Any) -> Any:
    if isinstance(value, list):
        return {"steps": [_step(step) for step in value]}
    # With segments there is always `$overall`; one of them may be called `steps`.
    if not isinstance(value, dict) or ("$overall" not in value and isinstance(value.get("steps"), list)):
        return value
    segments = {name: _steps_of(steps) for name, steps in value.items()}
    return {"steps": segments.pop("$overall", []), "segments": segments}


def _steps_of(value: Any) -> Any:
    return value["steps"] if isinstance(value, dict) and "steps" in value else value


def _step(step: Any) -> Any:
    """The older shape calls the event `name`."""
    return (
        {**step, "event": step["name"]} if isinstance(step, dict) and "event" not in step and "name" in step else step
    )


def retention_shape(reply: Any) -> Any:
    """Cohorts by day: they come bare, or in `data`."""
    days = reply["data"] if isinstance(reply, dict) and isinstance(reply.get("data"), dict) else reply
    return {day: _cohort(value) for day, value in days.items()} if isinstance(days, dict) else days


def _cohort(value: Any) -> Any:
    if not isinstance(value, dict) or isinstance(value.get("counts"), list):
        return value
    segments = dict(value)
    overall = segments.pop("$overall", {})
    return {**overall, "segments": segments} if isinstance(overall, dict) else value


def stream_shape(reply: Any) -> Any:
    """Events: a list in `results`, or in `results.events`."""
    results = reply.get("results") if isinstance(reply, dict) else reply
    return results.get("events") if isinstance(results, dict) else results


def cohort_shape(reply: Any) -> Any:
    """Cohorts with text ids and true or false, whichever kind they came in."""
    return [_named(cohort) for cohort in reply] if isinstance(reply, list) else reply


def _named(cohort: Any) -> Any:
    if not isinstance(cohort, dict):
        return cohort
    seen = {"is_visible": bool(cohort["is_visible"])} if cohort.get("is_visible") in (0, 1) else {}
    return {**cohort, **({"id": str(cohort["id"])} if "id" in cohort else {}), **seen}
