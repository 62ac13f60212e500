"""What a saved report answers: Insights, funnels and retention have one envelope.

Source: mixpanel-api.md#query-insights.

A number stands at the end of a path of keys: the metric, then values of breakdowns and a date, in an order that the
kind of report decides. `$overall` is all segments together, `all` and `$average` are all of the time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, tzinfo
from typing import Any, NamedTuple

from mixpanel_etl.client import Insights
from mixpanel_etl.pull.reports.calendar import timestamp_of

OVERALL = "$overall"
_ALL_OF_THE_TIME = {"all", "$average"}
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}([T ].*)?")
_STEP = re.compile(r"(\d+)\. (.*)", re.DOTALL)
#: Blocks beside `series`, which have a `series` of their own: counts behind rates, what a report is compared with.
_PARTS = ("secondary", "time_comparison", "lift_comparison")


class Number(NamedTuple):
    """One number of a saved report.

    Attributes:
        metric: first level of the series.
        segments: values of the breakdowns, in their order; None for all together.
        time: where the unit of time begins (UTC); None for all of the time.
        value: the number; None where Mixpanel has none.
        part: block of the reply.
        measure: what the number is, in a report that has several: `count`, `step_conv_ratio`, `first`, `rates` ...
        position: step of a funnel from 1, interval of a retention from 0.
        label: what the step is called.
        detail: what is not a number, as Mixpanel sent it.
    """

    metric: str
    segments: tuple[str | None, ...]
    time: datetime | None
    value: float | None
    part: str = "series"
    measure: str | None = None
    position: int | None = None
    label: str | None = None
    detail: Any = None


def numbers(reply: Insights, zone: tzinfo) -> Iterator[Number]:
    """All that the series of a reply hold.

    Args:
        reply: the client's.
        zone: of the project, for dates without an offset.
    """
    yield from _series("series", reply.series, zone)
    for part in _PARTS:
        block = reply.get(part)
        if isinstance(block, Mapping):
            found = block.get("series", block)
            yield from _series(part, found if isinstance(found, Mapping) else {part: found}, zone)
        elif block is not None:
            yield Number("", (), None, None, part, detail=block)
    yield from _incomplete(reply.get("meta"), zone)


def _series(part: str, series: Mapping[str, Any], zone: tzinfo) -> Iterator[Number]:
    for metric, node in series.items():
        found = [(path, one._replace(part=part, metric=metric)) for path, one in _leaves(node, ())]
        is_date_first = _begins_with_dates([path for path, _ in found])
        placed = [one._replace(**_place(path, zone, date_first=is_date_first)) for path, one in found]
        depth = max((len(one.segments) for one in placed), default=0)
        for one in placed:  # `$overall` stops early: what it leaves out is all together, too
            yield one._replace(segments=one.segments + (None,) * (depth - len(one.segments)))


def _leaves(node: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Number]]:
    """What stands at the end of each path, whichever kind of report it is."""
    if not isinstance(node, Mapping):
        yield path, _number(node)
    elif _is_cohort(node):
        for name, found in node.items():
            for position, value in enumerate(found) if isinstance(found, list) else ((None, found),):
                yield path, _number(value)._replace(measure=name, position=position)
    elif _is_funnel(node):
        for measure, steps in node.items():
            yield from _steps(measure, steps, path)
    else:
        for key, inner in node.items():
            yield from _leaves(inner, (*path, key))


def _is_cohort(node: Mapping[str, Any]) -> bool:
    """Whether it is a cohort of a retention: `{"first": 50, "counts": [50, 20], "rates": [1.0, 0.4]}`."""
    return any(isinstance(node.get(name), list) for name in ("counts", "rates"))


def _is_funnel(node: Mapping[str, Any]) -> bool:
    """Whether it is the table of a funnel's steps: `{"count": {"1. Sign up": {"all": 100}}}`."""
    steps = node.get("count")
    return isinstance(steps, Mapping) and bool(steps) and all(_STEP.fullmatch(key) for key in steps)


def _steps(measure: str, steps: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Number]]:
    if not isinstance(steps, Mapping):
        yield path, _number(steps)._replace(measure=measure)
        return
    for key, found in steps.items():
        match = _STEP.fullmatch(key)
        step = {"position": int(match[1]), "label": match[2]} if match else {"label": key}
        by_time = found if isinstance(found, Mapping) and all(map(_is_time, found)) else {"all": found}
        for time, value in by_time.items():
            where = path if time == "all" else (*path, time)
            yield where, _number(value)._replace(measure=measure, **step)


def _number(value: Any) -> Number:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return Number("", (), None, value if is_number else None, detail=None if is_number else value)


def _begins_with_dates(paths: Sequence[tuple[str, ...]]) -> bool:
    """Whether dates are the first level, above the segments: both orders are on record for retention."""
    return all(map(_is_time, {path[0] for path in paths if path})) and any(
        len(path) > 1 and not _is_time(path[-1]) for path in paths
    )


def _place(path: tuple[str, ...], zone: tzinfo, *, date_first: bool) -> dict[str, Any]:
    keys = list(path)
    time: str | None = None
    if keys and date_first:
        time = keys.pop(0)
    elif keys and _is_time(keys[-1]):
        time = keys.pop()
    start = None if time is None or time in _ALL_OF_THE_TIME else timestamp_of(time, zone)
    return {"time": start, "segments": tuple(None if key == OVERALL else key for key in keys)}


def _is_time(key: str) -> bool:
    if key in _ALL_OF_THE_TIME:
        return True
    try:
        return _DATE.fullmatch(key) is not None and datetime.fromisoformat(key) is not None
    except ValueError:
        return False


def _incomplete(meta: Any, zone: tzinfo) -> Iterator[Number]:
    """Which intervals of which cohorts of a retention over time are not over yet, and when they will be."""
    sections = meta.get("report_sections") if isinstance(meta, Mapping) else None
    shows = sections.get("show") if isinstance(sections, Mapping) else None
    for show in shows if isinstance(shows, list) else ():
        buckets = show.get("incomplete_buckets") if isinstance(show, Mapping) else None
        for date, intervals in buckets.items() if isinstance(buckets, Mapping) else ():
            time = timestamp_of(date, zone) if _is_time(date) and date not in _ALL_OF_THE_TIME else None
            for position, until in enumerate(intervals) if isinstance(intervals, list) else ():
                if until is not None:
                    metric = str(show.get("metric_key") or "")
                    yield Number(metric, (), time, None, "incomplete_buckets", None, position, detail=until)
