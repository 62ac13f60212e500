"""Rate limits, per project, in rolling windows of the sandbox's clock. Source: mixpanel-api.md#rate-limits."""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import pytest

from mixpanel_etl.sandbox import Clock, Project, Sandbox
from mixpanel_etl.sandbox.engine.budgets import MAX_INGESTION_EVENTS_PER_MINUTE, Budgets, Family
from mixpanel_etl.sandbox.engine.responses import ApiError

from ..http_calls import HttpCall

NOON = datetime(2024, 6, 1, 12, tzinfo=UTC)


@pytest.fixture
def limited(sandbox: Sandbox) -> Sandbox:
    sandbox.reset([Project(1), Project(2)])
    sandbox.clock.set(NOON, frozen=True)
    return sandbox


def spend_export(sandbox: Sandbox, export: HttpCall, count: int) -> None:
    for _ in range(count):
        assert export().status_code == 200
        sandbox.clock.advance(timedelta(seconds=1))


def test_the_61st_export_of_an_hour_is_rejected_until_the_first_is_an_hour_old(
    limited: Sandbox, export: HttpCall
) -> None:
    spend_export(limited, export, 60)
    assert export().status_code == 429
    limited.clock.set(NOON + timedelta(hours=1) - timedelta(milliseconds=1), frozen=True)
    assert export().status_code == 429
    limited.clock.set(NOON + timedelta(hours=1), frozen=True)
    assert export().status_code == 200
    assert export().status_code == 429


def test_the_fourth_export_of_a_second_is_rejected(limited: Sandbox, export: HttpCall) -> None:
    assert [export().status_code for _ in range(4)] == [200, 200, 200, 429]
    limited.clock.advance(timedelta(seconds=1))
    assert export().status_code == 200


def test_each_project_and_each_api_has_its_own_budget(limited: Sandbox, export: HttpCall, query: HttpCall) -> None:
    spend_export(limited, export, 60)
    assert export(project_id=2).status_code == 200
    assert query("/events/names", type="general").status_code == 200


def test_a_rejected_request_uses_nothing(limited: Sandbox, export: HttpCall) -> None:
    assert [export().status_code for _ in range(5)] == [200, 200, 200, 429, 429]
    limited.clock.advance(timedelta(seconds=1))
    spend_export(limited, export, 57)
    assert export().status_code == 429


def test_a_request_with_a_wrong_parameter_uses_budget(limited: Sandbox, export: HttpCall) -> None:
    assert [export(limit=0).status_code for _ in range(4)] == [400, 400, 400, 429]


def test_the_61st_query_of_an_hour_is_rejected_with_the_observed_text(limited: Sandbox, query: HttpCall) -> None:
    for _ in range(60):
        assert query("/events/names", type="general").status_code == 200
    rejected = query("/events/names", type="general")
    assert rejected.status_code == 429
    assert rejected.json()["request"].startswith("/api/query/events/names?")
    assert rejected.json()["error"] == (
        "Query rate limit exceeded for project_id: 1. 1/5 queries running concurrently "
        "and 61/60 queries running in the last hour."
    )


def test_budgets_can_be_forgotten_and_can_be_off(limited: Sandbox, export: HttpCall) -> None:
    assert [export().status_code for _ in range(4)][-1] == 429
    limited.reset_budgets()
    assert export().status_code == 200
    limited.reset([Project(enforce_budgets=False)])
    assert {export().status_code for _ in range(10)} == {200}


def test_retry_after_is_absent_or_in_seconds_or_a_date_as_the_project_says(sandbox: Sandbox, export: HttpCall) -> None:
    def rejected(project: Project) -> str | None:
        sandbox.reset([project])
        sandbox.clock.set(NOON, frozen=True)
        spend_export(sandbox, export, 60)
        return export().headers.get("Retry-After")

    assert rejected(Project()) is None
    assert rejected(Project(retry_after="seconds")) == str(3600 - 60)
    wait = parsedate_to_datetime(rejected(Project(retry_after="date")) or "") - datetime.now(UTC)
    assert timedelta(minutes=58) < wait <= timedelta(minutes=59)


@pytest.mark.parametrize(("family", "most"), [("export", 100), ("query", 5)])
def test_more_concurrent_requests_than_allowed_are_rejected_until_one_ends(family: Family, most: int) -> None:
    clock = Clock()
    clock.set(NOON, frozen=True)
    budgets, project = Budgets(clock), Project()
    running = []
    for _ in range(most):
        clock.advance(timedelta(minutes=1))  # so that no other limit is met
        running.append(budgets.enter(project, family))
    clock.advance(timedelta(minutes=1))
    with pytest.raises(ApiError, match=f"{most + 1}/{most} queries running"):
        budgets.enter(project, family)
    running.pop()()
    budgets.enter(project, family)


def test_ingestion_limits_events_per_minute_valid_or_not() -> None:
    clock = Clock()
    clock.set(NOON, frozen=True)
    budgets, project = Budgets(clock), Project()
    budgets.ingest(project, 1, MAX_INGESTION_EVENTS_PER_MINUTE)
    with pytest.raises(ApiError) as rejected:
        budgets.ingest(project, 1, 1)
    assert rejected.value.status == 429
    clock.advance(timedelta(minutes=1))
    budgets.ingest(project, 2_000_000_000, 1)
    with pytest.raises(ApiError):
        budgets.ingest(project, 1, 1)
    budgets.ingest(Project(2), 1, 1)


def test_an_export_frees_its_place_when_its_last_byte_is_sent(sandbox: Sandbox, export: HttpCall) -> None:
    sandbox.reset([Project()])
    sandbox.clock.set(NOON, frozen=True)
    assert {export().status_code for _ in range(3)} == {200}
    assert "1/100 queries running concurrently" in export().text
