"""The lake's counts against Mixpanel's own, in project time, for two queries."""

from __future__ import annotations

import pytest

from mixpanel_etl.client import Mixpanel
from mixpanel_etl.lake import EventsTable
from mixpanel_etl.pull import EventFilter, pull_events, reconcile
from mixpanel_etl.sandbox import Project, Sandbox

from ..conftest import FIRST
from ..lakehouse import days_from

DAYS = days_from(FIRST, 100)


def queries(sandbox: Sandbox) -> int:
    return sum("/query/" in request.path for request in sandbox.requests)


def pull(client: Mixpanel, table: EventsTable, sandbox: Sandbox, events: int = 3_000) -> None:
    sandbox.generate(events, DAYS[0], DAYS[-1], duplicates=0.05)
    list(pull_events(client, table, DAYS))


def test_a_whole_lake_agrees_to_the_event_for_two_queries(
    mixpanel: Sandbox, client: Mixpanel, table: EventsTable
) -> None:
    pull(client, table, mixpanel)
    found = reconcile(client, table, DAYS)
    assert [counts.day for counts in found.days] == DAYS
    assert found.beyond(0) == []
    assert found.lake_total == found.mixpanel_total == len(table.scan().collect())
    assert found.queries == queries(mixpanel) == 2


def test_events_that_the_lake_lacks_are_found_on_their_day(
    mixpanel: Sandbox, client: Mixpanel, table: EventsTable
) -> None:
    pull(client, table, mixpanel)
    mixpanel.generate(20, DAYS[7], DAYS[7], seed=9, duplicates=0)
    (worst,) = reconcile(client, table, DAYS).beyond(0.01)
    assert worst.day == DAYS[7]
    assert worst.mixpanel_total - worst.lake_total == 20


def test_an_event_missing_cannot_hide_behind_another_that_is_extra(
    mixpanel: Sandbox, client: Mixpanel, table: EventsTable
) -> None:
    noon = 1767268800000  # of the 1st of January 2026
    line = b'{"event":"%s","properties":{"time":%d,"distinct_id":"a","$insert_id":"i"}}'
    mixpanel.load([line % (b"bought", noon)])
    list(pull_events(client, table, DAYS[:1]))
    mixpanel.reset([Project(enforce_budgets=False)])
    mixpanel.load([line % (b"sold", noon)])
    (day,) = reconcile(client, table, DAYS[:1]).days
    assert day.lake == {"bought": 1}
    assert day.mixpanel == {"sold": 1}
    assert day.lake_total == day.mixpanel_total
    assert not day.within(0.5)


def test_a_restricted_table_is_compared_by_its_own_names_for_one_query(
    mixpanel: Sandbox, client: Mixpanel, table: EventsTable
) -> None:
    mixpanel.generate(500, DAYS[0], DAYS[-1])
    list(pull_events(client, table, DAYS, EventFilter(events=("page view",))))
    found = reconcile(client, table, DAYS, ["page view"])
    assert found.beyond(0) == []
    assert {name for day in found.days for name in day.mixpanel} == {"page view"}
    assert queries(mixpanel) == 1


def test_nothing_is_asked_for_when_there_is_nothing_to_compare(
    mixpanel: Sandbox, client: Mixpanel, table: EventsTable
) -> None:
    assert reconcile(client, table, DAYS).days == []
    assert queries(mixpanel) == 0


@pytest.mark.parametrize("zone", ["America/Los_Angeles", "Asia/Tokyo", "Asia/Kolkata"])
class TestProjectOutsideUTC:
    """Its exports are cut in UTC, its queries in project time."""

    @pytest.fixture
    def mixpanel_project(self, zone: str) -> Project:
        return Project(timezone=zone, enforce_budgets=False)

    def test_rows_are_counted_by_project_day_and_days_at_the_edge_left_out(
        self, mixpanel: Sandbox, client: Mixpanel, table: EventsTable, zone: str
    ) -> None:
        pull(client, table, mixpanel)
        found = reconcile(client, table, DAYS)
        assert found.beyond(0) == []
        assert len(found.days) == 99
        assert len(found.edges) == 2
        # A day in the middle that is not there takes both project days that touch it with it.
        del_day = table.day(DAYS[50])
        assert del_day
        _remove(del_day.uri)
        again = reconcile(client, table, DAYS)
        assert again.beyond(0) == []
        assert len(again.days) == 97


class TestProjectCreatedBefore2023:
    @pytest.fixture
    def mixpanel_project(self) -> Project:
        return Project(timezone="America/Los_Angeles", created_before_2023=True, enforce_budgets=False)

    def test_its_days_are_project_days_already(self, mixpanel: Sandbox, client: Mixpanel, table: EventsTable) -> None:
        pull(client, table, mixpanel)
        found = reconcile(client, table, DAYS)
        assert [counts.day for counts in found.days] == DAYS
        assert found.beyond(0) == []
        assert found.edges == []


def _remove(path: str) -> None:
    from pathlib import Path

    Path(path).unlink()
