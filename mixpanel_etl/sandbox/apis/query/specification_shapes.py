"""Replies in the shape of the specification, for projects that answer in it. Source: mixpanel-api.md#query."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mixpanel_etl.sandbox.apis.query.segments import OVERALL


def _funnels(reply: Any) -> Any:
    def day(found: Any) -> Any:
        if isinstance(found.get("steps"), list):
            return [
                {"count": step["count"], "step": number, "name": step["event"]}
                for number, step in enumerate(found["steps"])
            ]
        return found

    return {"data": {date: day(found) for date, found in reply["data"].items()}}


def _retention(reply: Any) -> Any:
    def cohort(found: Any) -> Any:
        if OVERALL in found:
            return {name: cohort(part) for name, part in found.items()}
        first = found["first"] or 1
        return {"counts": found["counts"], "percents": [100 * count / first for count in found["counts"]]}

    return {"data": {date: cohort(found) for date, found in reply.items()}}


def _bare(reply: Any) -> Any:
    return reply["data"]


def _series(reply: Any) -> Any:
    return {"data": reply["data"]}


def _top_events(reply: Any) -> Any:
    return {"events": [{"event": one["event"], "amount": one["amount"]} for one in reply["events"]]}


def _top_properties(reply: Any) -> Any:
    highest = max((one["count"] for one in reply.values()), default=1)
    return {name: round(100 * one["count"] / highest, 1) for name, one in reply.items()}


def _engage(reply: Any) -> Any:
    return {name: value for name, value in reply.items() if name != "status"}


def _insights(reply: Any) -> Any:
    return {**{name: reply[name] for name in ("computed_at", "date_range")}, "series": _with_days(reply["series"])}


def _with_days(node: Any) -> Any:
    """The series with dates without time and offset."""
    if not isinstance(node, dict):
        return node
    return {key.partition("T")[0] if "T00:" in key else key: _with_days(inner) for key, inner in node.items()}


def _stream(reply: Any) -> Any:
    def event(found: Any) -> Any:
        properties = dict(found["properties"])
        for name in ("distinct_id", "$distinct_id"):
            properties.pop(name, None)
        return {"event": found["event"], "time": properties.pop("time"), "properties": properties}

    return {"results": [event(found) for found in reply["results"]["events"]]}


#: By path; other operations answer alike in both documents.
SHAPES: dict[str, Callable[[Any], Any]] = {
    "/segmentation": _series,
    "/segmentation/numeric": _series,
    "/events": _series,
    "/events/properties": _series,
    "/funnels": _funnels,
    "/retention": _retention,
    "/retention/addiction": _bare,
    "/events/top": _top_events,
    "/events/properties/top": _top_properties,
    "/engage": _engage,
    "/insights": _insights,
    "/stream/query": _stream,
}
