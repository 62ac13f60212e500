"""The kinds of reports by name, and their parameters as YAML has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from pydantic import ValidationError

from mixpanel_etl.errors import MixpanelEtlError
from mixpanel_etl.expressions import ExpressionError
from mixpanel_etl.pull.reports.activity_stream import ActivityStream
from mixpanel_etl.pull.reports.event_counts import (
    EventNames,
    EventProperties,
    Events,
    PropertyValues,
    TopEvents,
    TopProperties,
)
from mixpanel_etl.pull.reports.funnels import Funnel
from mixpanel_etl.pull.reports.insights import Insights
from mixpanel_etl.pull.reports.jql import Jql, JqlByDate
from mixpanel_etl.pull.reports.report import RangeReport, Report, Snapshot
from mixpanel_etl.pull.reports.retention import Addiction, Retention
from mixpanel_etl.pull.reports.segmentation import (
    Segmentation,
    SegmentationAverage,
    SegmentationNumeric,
    SegmentationSum,
)

KINDS: Mapping[str, type[RangeReport] | type[Snapshot]] = {
    kind.kind: kind
    for kind in (
        Segmentation,
        SegmentationNumeric,
        SegmentationSum,
        SegmentationAverage,
        Funnel,
        Retention,
        Addiction,
        Events,
        EventProperties,
        TopEvents,
        EventNames,
        TopProperties,
        PropertyValues,
        Insights,
        ActivityStream,
        Jql,
        JqlByDate,
    )
}


class Problem(NamedTuple):
    """What is wrong with a parameter: where, and what to do."""

    path: tuple[str | int, ...]
    message: str


class InvalidReport(MixpanelEtlError, ValueError):
    """Parameters of a report that can't work."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(problem.message for problem in problems))
        self.problems = problems


def report_of(kind: str, parameters: Mapping[str, Any]) -> RangeReport | Snapshot:
    """A report of a kind.

    Args:
        kind: one of `KINDS`.
        parameters: those of the kind.

    Raises:
        InvalidReport: the kind is unknown, or parameters are missing, unknown, malformed or contradict each other.
    """
    if kind not in KINDS:
        raise InvalidReport([Problem(("kind",), f"kind is {kind!r}: give one of {', '.join(KINDS)}")])
    try:
        return KINDS[kind].model_validate(dict(parameters))
    except ValidationError as error:
        problems = list(_problems(KINDS[kind], error))
    raise InvalidReport(problems)


def _problems(kind: type[Report], error: ValidationError) -> Iterator[Problem]:
    for detail in error.errors(include_url=False):
        path = tuple(detail["loc"])
        name = str(path[0]) if path else ""
        field = kind.model_fields.get(name)
        said = detail["msg"].removeprefix("Value error, ")
        if detail["type"] == "extra_forbidden":
            said = f"unknown parameter {name} for kind {kind.kind}; allowed: {', '.join(kind.model_fields)}"
            said += f". {_INSTEAD[name]}" if name in _INSTEAD else ""
        elif detail["type"] == "missing":
            said = f"{name} is missing: {field.description if field else ''}"
        elif path and isinstance(detail.get("ctx", {}).get("error"), ExpressionError):
            said = f"{name} must be a segmentation expression: {said}"
        elif path:
            said = f"{'.'.join(map(str, path))} is {detail['input']!r}: {said}. {field.description if field else ''}"
        yield Problem(path, said.strip())


_INSTEAD = {
    "interval": "Partitions are whole units of the calendar: give a unit",
    "from_date": "Partitions decide which days are asked for",
    "to_date": "Partitions decide which days are asked for",
    "date": "For a script over days, give kind jql_by_date",
}
