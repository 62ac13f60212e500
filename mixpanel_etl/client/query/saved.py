"""Saved cohorts and saved Insights reports. Source: mixpanel-api.md#query-cohorts, #query-insights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from mixpanel_etl.client.operations.replies import Reply, typed
from mixpanel_etl.client.query.base import QueryApi, query_operations
from mixpanel_etl.client.query.frames import data_frame, leaves
from mixpanel_etl.client.query.parameters import optional_integers

if TYPE_CHECKING:
    import polars as pl

cohort_operation = query_operations("query-cohorts")
insights_operation = query_operations("query-insights")


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
    """Timestamps with the project's offset, or days."""

    from_date: str | None = None
    to_date: str | None = None


class Insights(Reply, frozen=True, kw_only=True):
    """A saved Insights report.

    Args:
        series: numbers by unit of time, by event, and by the other breakdowns of the report.
        headers: meaning of the levels of `series`.
        computed_at: time of the computation; reports can be cached.
        date_range: first and last day.
    """

    series: dict[str, Any]
    headers: list[str] = msgspec.field(default_factory=list)
    computed_at: str | None = None
    date_range: DateRange | None = None

    def to_polars(self) -> pl.DataFrame:
        """The numbers of the report: a column for each level of `series`, and value. Needs `mixpanel_etl[lake]`.

        Levels have the names of `headers` if there is one for each level but the last, which is the unit of time.
        """
        found = list(leaves(self.series))
        depth = max((len(path) for path, _ in found), default=0)
        levels = [*self.headers, "time"]
        if len(set(levels)) != depth:
            levels = [f"level_{number}" for number in range(1, depth + 1)]
        rows = ((*path, *[None] * (depth - len(path)), value) for path, value in found)
        return data_frame({**dict.fromkeys(levels, str), "value": float}, rows)


class SavedQueries(QueryApi):
    """Cohorts and Insights reports that are saved in Mixpanel."""

    @cohort_operation("POST", "/cohorts/list", idempotent=True)
    def list_cohorts(self) -> list[Cohort]:
        """The project's saved cohorts."""
        reply = self._json(form={})
        return typed([_shaped(cohort) for cohort in reply] if isinstance(reply, list) else reply, list[Cohort])

    @insights_operation("GET", "/insights")
    def insights(self, bookmark_id: int) -> Insights:
        """A saved Insights report; its id is in the report's URL (`report-12345`)."""
        return typed(self._json(query=optional_integers(bookmark_id=bookmark_id)), Insights)


def _shaped(cohort: Any) -> Any:
    """A cohort with a string as id and a boolean `is_visible`: both also come as integers."""
    if not isinstance(cohort, dict):
        return cohort
    visible = {"is_visible": bool(cohort["is_visible"])} if cohort.get("is_visible") in (0, 1) else {}
    return {**cohort, **({"id": str(cohort["id"])} if "id" in cohort else {}), **visible}
