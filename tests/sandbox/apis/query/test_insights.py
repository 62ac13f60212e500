"""`GET /insights`. Source: mixpanel-api.md#query-insights."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from mixpanel_etl.sandbox import Insight, Project, Sandbox

from ...http_calls import HttpCall, exported_line

JAN_1 = 1_704_067_200  # 2024-01-01 00:00 UTC
BIG = 'properties["price"] > 10'
BUYERS = [("ann", 5), ("bob", 50), ("zoe", 50)]


@pytest.fixture
def insight(sandbox: Sandbox) -> Callable[..., Any]:
    def ask(**parameters: Any) -> Any:
        project = sandbox.projects[0]
        url = f"{sandbox.url}/api/query/insights"
        query = {"project_id": project.project_id, **parameters}
        return requests.get(url, params=query, auth=project.account[:2], timeout=10).json()

    return ask


def test_an_insights_report_has_iso_dates_with_the_offset_of_the_project(
    sandbox: Sandbox, insight: Callable[..., Any]
) -> None:
    week = {"from_date": "2024-03-09", "to_date": "2024-03-10"}  # New York's clocks go forward on the 10th
    report = {"bookmark_id": 7, "name": "Use", "events": ["Login", "Pay"], **week}
    sandbox.reset([Project(timezone="America/New_York", insights=[report])])  # type: ignore[list-item]
    sandbox.clock.set(datetime(2024, 3, 12, 9, 30, 0, 251_314, tzinfo=UTC), frozen=True)
    sandbox.load([exported_line("Login", int(datetime(2024, 3, 10, 4, 59, tzinfo=UTC).timestamp()))])
    sandbox.load([exported_line("Login", int(datetime(2024, 3, 11, 3, 59, tzinfo=UTC).timestamp()))])
    assert insight(bookmark_id=7) == {
        "computed_at": "2024-03-12T09:30:00.251314+00:00",
        "date_range": {"from_date": "2024-03-09T00:00:00-05:00", "to_date": "2024-03-10T23:59:59.999000-04:00"},
        "headers": ["$event"],
        "series": {
            "Login": {"2024-03-09T00:00:00-05:00": 1, "2024-03-10T00:00:00-05:00": 1},
            "Pay": {"2024-03-09T00:00:00-05:00": 0, "2024-03-10T00:00:00-05:00": 0},
        },
    }


def test_an_insights_report_filters_breaks_down_and_counts_users_of_the_last_days(
    sandbox: Sandbox, insight: Callable[..., Any]
) -> None:
    sandbox.clock.set(datetime(2024, 1, 2, 12, tzinfo=UTC))
    sandbox.load([exported_line("Buy", JAN_1, distinct_id=name, insert_id=name, price=price) for name, price in BUYERS])
    by_price = Insight(1, "Buys", ["Buy"], type="unique", last_days=2, where=BIG, on='properties["price"]')
    sandbox.save_report(by_price)
    reply = insight(bookmark_id=1)
    assert reply["headers"] == ["$event", 'properties["price"]']
    counts = {"2024-01-01T00:00:00+00:00": 2, "2024-01-02T00:00:00+00:00": 0}
    assert reply["series"] == {"Buy": {"$overall": counts, "50": counts}}


def test_an_unknown_report_is_400(query: HttpCall) -> None:
    response = query("/insights", bookmark_id=5)
    assert (response.status_code, response.json()["error"]) == (
        400,
        "bookmark_id 5 is not a saved report of this project; known: []",
    )
