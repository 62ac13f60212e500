"""The saved reports that the Query API reads."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import TypeVar

from mixpanel_etl.sandbox.engine.projects import Project
from mixpanel_etl.sandbox.engine.saved_reports import Cohort, Funnel, Insight
from mixpanel_etl.sandbox.engine.state import State

Report = Funnel | Cohort | Insight
_R = TypeVar("_R", bound=Report)


class SavedReports:
    """Reports saved while the sandbox runs, and those that projects declare. The last one of an id is used."""

    def __init__(self, state: State) -> None:  # noqa: ARG002 - every part is made like this
        self._added: dict[int, list[Report]] = defaultdict(list)

    def add(self, project_id: int, report: Report) -> None:
        self._added[project_id].append(report)

    def funnels(self, project: Project) -> dict[int, Funnel]:
        return {report.funnel_id: report for report in self._all(project, Funnel, project.funnels)}

    def cohorts(self, project: Project) -> dict[int, Cohort]:
        return {report.cohort_id: report for report in self._all(project, Cohort, project.cohorts)}

    def insights(self, project: Project) -> dict[int, Insight]:
        return {report.bookmark_id: report for report in self._all(project, Insight, project.insights)}

    def _all(self, project: Project, kind: type[_R], declared: Iterable[_R]) -> list[_R]:
        return [*declared, *(report for report in self._added[project.project_id] if isinstance(report, kind))]
