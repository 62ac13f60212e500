"""Days of events arrive whole or not at all, also when Mixpanel or the network fails."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from unittest.mock import patch
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixpanel_etl.client import (
    Clock,
    CredentialError,
    FutureDate,
    IncompleteResponse,
    Mixpanel,
    MixpanelError,
    PlanError,
    ReplyError,
    Timeouts,
)
from mixpanel_etl.lake import (
    DaysHeldBack,
    DaysMalformed,
    DaysMissing,
    EventsTable,
    MalformedLine,
    OutsideWindow,
    PublishedDay,
    TerminatedEarly,
)
from mixpanel_etl.pull import EventFilter, Progress, pull_events, reconcile, windows
from mixpanel_etl.pull import event_export as events_module
from mixpanel_etl.sandbox import Fault, Project, Sandbox
from mixpanel_etl.settings import Settings

from ..conftest import FIRST
from ..lakehouse import assert_equals_store, assert_only_whole_files, days_from

DAYS = days_from(FIRST, 100)
EVENTS = 4_000


@pytest.fixture
def shop(mixpanel: Sandbox) -> Sandbox:
    """A hundred days of a small shop."""
    mixpanel.generate(EVENTS, DAYS[0], DAYS[-1], duplicates=0.05)
    return mixpanel


def exports(sandbox: Sandbox) -> int:
    return sum(request.path.endswith("/export") for request in sandbox.requests)


def test_100_days_cost_one_request(client: Mixpanel, table: EventsTable, shop: Sandbox) -> None:
    published = list(pull_events(client, table, DAYS))
    assert exports(shop) == 1
    assert sorted(day.day for day in published) == DAYS
    assert sum(day.rows + day.duplicates for day in published) == EVENTS
    assert_equals_store(table, shop, DAYS)
    assert_only_whole_files(table_root(table))


def test_each_run_of_contiguous_days_costs_one_request(client: Mixpanel, table: EventsTable, shop: Sandbox) -> None:
    wanted = [*DAYS[:3], *DAYS[50:53]]
    list(pull_events(client, table, wanted))
    assert exports(shop) == 2
    assert table.days() == wanted


# What stops a request at first, and then lets it through: the pull must end well.
@pytest.mark.parametrize(
    ("fault", "requests"),
    [
        pytest.param(Fault("/export", "rate_limited", count=2), 3, id="429"),
        pytest.param(
            Fault("/export", "rate_limited", count=1, retry_after="seconds", seconds=5), 2, id="429 with header"
        ),
        pytest.param(Fault("/export", "server_error", count=2, status=503), 3, id="5xx"),
        pytest.param(Fault("/export", "reset", count=1), 2, id="reset before the reply"),
        pytest.param(Fault("/export", "cut", count=1, after=30_000), 3, id="connection cut in the body"),
        pytest.param(Fault("/export", "truncated", count=1, after=30_000), 3, id="gzip cut, HTTP clean"),
        pytest.param(Fault("/export", "unterminated", count=1, after=30_000), 3, id="chunked body without an end"),
        pytest.param(Fault("/export", "terminated_early", count=1), 3, id="terminated early"),
        pytest.param(Fault("/export", "terminated_early", longer_than_days=25), 7, id="terminated early over 25 days"),
        pytest.param(Fault("/export", "server_error", status=504, longer_than_days=25), 7, id="504 over 25 days"),
        pytest.param(Fault("/export", "server_error", status=504, count=1), 3, id="504 once"),
        pytest.param(Fault("/export", "slow", count=1, seconds=0.1), 1, id="slow first byte"),
        pytest.param(Fault("/export", "late_rows", rows=50), 1, id="late rows"),
        pytest.param(Fault("/export", "merged_rows", rows=5), 1, id="rows rewritten by a merge"),
    ],
)
def test_a_passing_fault_loses_and_invents_nothing(
    client: Mixpanel, table: EventsTable, shop: Sandbox, fault: Fault, requests: int
) -> None:
    shop.add_fault(fault)
    list(pull_events(client, table, DAYS))
    assert exports(shop) == requests
    assert_equals_store(table, shop, DAYS)
    assert_only_whole_files(table_root(table))


def test_a_window_that_times_out_is_halved_and_not_asked_for_again(table: EventsTable, shop: Sandbox) -> None:
    shop.add_fault(Fault("/export", "slow", seconds=1.0, longer_than_days=60))
    with Mixpanel(Settings.load(), timeouts=Timeouts(5, 0.5)) as impatient:
        list(pull_events(impatient, table, DAYS))
    assert exports(shop) == 3
    assert_equals_store(table, shop, DAYS)


def test_rows_that_arrive_twice_are_held_once(client: Mixpanel, table: EventsTable, shop: Sandbox) -> None:
    shop.add_fault(Fault("/export", "duplicate_rows", rows=300))
    published = list(pull_events(client, table, DAYS))
    assert sum(day.rows + day.duplicates for day in published) == EVENTS + 300
    held = table.scan().filter(pl.col("insert_id").is_not_null()).collect()
    stored = [kept for kept in shop.deduplicated(DAYS[0], DAYS[-1]) if kept.insert_id is not None]
    assert len(held) == len(stored)
    assert set(held["insert_id"]) == {kept.insert_id for kept in stored}


# What does not pass: the pull must fail with the right error, and leave the lake as it was.
@pytest.mark.parametrize(
    ("fault", "error"),
    [
        pytest.param(Fault("/export", "future_date"), FutureDate, id="future date"),
        pytest.param(Fault("/export", "payment_required"), PlanError, id="402"),
        pytest.param(Fault("/export", "unable_to_authenticate"), CredentialError, id="400 authentication"),
        pytest.param(Fault("/export", "error_in_200"), (ReplyError, MalformedLine), id="error in a 200"),
        pytest.param(Fault("/export", "cut", after=500), IncompleteResponse, id="always cut"),
        pytest.param(Fault("/export", "truncated", after=500), IncompleteResponse, id="always truncated"),
        pytest.param(Fault("/export", "terminated_early"), TerminatedEarly, id="always terminated early"),
    ],
)
def test_a_lasting_fault_leaves_the_lake_as_it_was(
    client: Mixpanel,
    table: EventsTable,
    shop: Sandbox,
    fault: Fault,
    error: type[Exception] | tuple[type[Exception], ...],
) -> None:
    list(pull_events(client, table, DAYS[:40]))
    before = table.scan().collect()
    mixpanel_changes(shop)
    shop.add_fault(fault)
    with pytest.raises(error):
        list(pull_events(client, table, DAYS))
    assert table.scan().collect().equals(before)
    assert_only_whole_files(table_root(table))


def mixpanel_changes(sandbox: Sandbox) -> None:
    sandbox.generate(200, DAYS[0], DAYS[-1], seed=2)


def test_the_days_before_a_day_that_does_not_arrive_stay(client: Mixpanel, table: EventsTable, shop: Sandbox) -> None:
    shop.add_fault(Fault("/export", "terminated_early", skip=0, longer_than_days=50, after=0))
    shop.add_fault(Fault("/export", "terminated_early", skip=1, after=0))
    published: list[PublishedDay] = []
    with pytest.raises(TerminatedEarly):
        published.extend(pull_events(client, table, DAYS))
    assert table.days() == DAYS[:50]
    assert_equals_store(table, shop, DAYS[:50])


def test_a_day_that_never_arrives_whole_keeps_no_other_back(
    client: Mixpanel, table: EventsTable, shop: Sandbox
) -> None:
    shop.add_fault(Fault("/export", "terminated_early", day=DAYS[2], after=1))
    with pytest.raises(TerminatedEarly):
        list(pull_events(client, table, DAYS[:10]))
    assert table.days() == [day for day in DAYS[:10] if day != DAYS[2]]
    assert_equals_store(table, shop, table.days())


def test_days_are_missing_for_several_reasons_and_all_are_told(
    client: Mixpanel, table: EventsTable, shop: Sandbox
) -> None:
    shop.add_fault(Fault("/export", "terminated_early", day=DAYS[2], after=1))
    shop.add_fault(Fault("/export", "extra_lines", day=DAYS[9], lines=[b"<html>"]))
    with pytest.raises(DaysMissing) as raised:
        list(pull_events(client, table, DAYS[:10]))
    assert set(raised.value.days) == {DAYS[2], DAYS[9]}
    assert set(table.days()) == set(DAYS[:10]) - set(raised.value.days)
    assert "ended early" in str(raised.value)
    assert "<html>" in str(raised.value)


def test_when_no_day_arrives_the_budget_is_not_spent_on_the_others(
    client: Mixpanel, table: EventsTable, shop: Sandbox
) -> None:
    shop.add_fault(Fault("/export", "terminated_early", after=1))
    with pytest.raises(TerminatedEarly):
        list(pull_events(client, table, DAYS))
    assert exports(shop) < 20
    assert table.days() == []


def test_an_odd_line_is_set_aside_and_counted_where_that_is_wanted(
    client: Mixpanel, table: EventsTable, shop: Sandbox
) -> None:
    odd = b'{"event":"signed up","properties":{"time":%d,"plan":"a\tb"}}' % (days_ms(DAYS[0]),)
    shop.add_fault(Fault("/export", "extra_lines", lines=[odd], after=3))
    published = list(pull_events(client, table, DAYS, set_aside_malformed=True))
    assert [(day.day, day.malformed) for day in published if day.malformed] == [(DAYS[0], 1)]
    assert table.malformed() == {DAYS[0]: [odd]}
    assert_equals_store(table, shop, DAYS)


def days_ms(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)


def test_a_request_has_as_many_days_as_the_setting_allows(client: Mixpanel, table: EventsTable, shop: Sandbox) -> None:
    list(pull_events(client, table, DAYS[:10], days_per_request=4))
    assert exports(shop) == 3
    with pytest.raises(ValueError, match="days_per_request must be from 1 to 100, not 0"):
        list(pull_events(client, table, DAYS[:10], days_per_request=0))


def test_the_size_of_a_request_follows_what_a_day_holds(client: Mixpanel, table: EventsTable, shop: Sandbox) -> None:
    """Forty events a day, and a request that should bring four hundred."""
    with patch.object(events_module, "MAX_ROWS", 400):
        list(pull_events(client, table, DAYS))
        first = exports(shop)
        assert 8 <= first <= 20
        assert_equals_store(table, shop, DAYS)
        list(pull_events(client, table, DAYS))
    # The days of the lake tell the size before anything is asked for.
    assert exports(shop) - first <= first
    assert_equals_store(table, shop, DAYS)


def test_a_single_day_that_ends_early_once_is_asked_for_again(
    client: Mixpanel, table: EventsTable, shop: Sandbox
) -> None:
    shop.add_fault(Fault("/export", "terminated_early", count=1, after=1))
    list(pull_events(client, table, DAYS[:1]))
    assert exports(shop) == 2
    assert_equals_store(table, shop, DAYS[:1])


def test_errors_name_the_line_and_show_no_value_of_it(client: Mixpanel, table: EventsTable, shop: Sandbox) -> None:
    secret = b'{"event":"signed up","properties":{"$email":"ann@example.com","age":44,"time":"never"}}'
    shop.add_fault(Fault("/export", "extra_lines", lines=[secret], after=7))
    with pytest.raises(DaysMalformed, match="line 8 of the export") as raised:
        list(pull_events(client, table, DAYS))
    assert "$email" in str(raised.value)
    assert "ann@" not in str(raised.value)
    assert "44" not in str(raised.value)


def test_fewer_events_than_the_lake_holds_are_held_back_and_other_days_published(
    mixpanel: Sandbox, client: Mixpanel, table: EventsTable
) -> None:
    mixpanel.generate(300, DAYS[0], DAYS[2])
    list(pull_events(client, table, DAYS[:3]))
    rows = {day: published.rows for day in DAYS[:3] if (published := table.day(day))}
    mixpanel.reset([Project(enforce_budgets=False)])
    mixpanel.generate(30, DAYS[1], DAYS[1])  # the other two days have lost everything
    mixpanel.generate(400, DAYS[3], DAYS[3])
    others: list[PublishedDay] = []
    with pytest.raises(DaysHeldBack) as raised:
        others.extend(pull_events(client, table, DAYS[:4]))
    assert raised.value.days == {DAYS[0]: (rows[DAYS[0]], 0), DAYS[1]: (rows[DAYS[1]], 30), DAYS[2]: (rows[DAYS[2]], 0)}
    assert "allow_shrink" in str(raised.value)
    assert [day.day for day in others] == [DAYS[3]]
    assert {day: kept.rows for day in DAYS[:3] if (kept := table.day(day))} == rows
    list(pull_events(client, table, DAYS[:4], allow_shrink=True))
    assert_equals_store(table, mixpanel, DAYS[:4])


def test_pulls_of_overlapping_days_at_once_end_in_the_same_lake(
    client: Mixpanel, table: EventsTable, shop: Sandbox
) -> None:
    ranges = [DAYS[:60], DAYS[40:], DAYS[20:80]]
    with ThreadPoolExecutor(3) as pool:
        for done in pool.map(lambda days: list(pull_events(client, table, days)), ranges):
            assert done
    assert_equals_store(table, shop, DAYS)
    assert_only_whole_files(table_root(table))


def test_a_later_request_is_not_undone_by_an_earlier_one(client: Mixpanel, table: EventsTable, shop: Sandbox) -> None:
    with client.export(DAYS[0], DAYS[0]) as early:
        requested_early = early.requested_at
    shop.generate(100, DAYS[0], DAYS[0], seed=3)
    list(pull_events(client, table, DAYS[:1]))
    day = table.day(DAYS[0])
    assert day
    assert datetime.fromisoformat(day.provenance["requested_at"]) > requested_early
    assert_equals_store(table, shop, DAYS[:1])


def test_only_the_named_events_are_pulled(client: Mixpanel, table: EventsTable, shop: Sandbox) -> None:
    list(pull_events(client, table, DAYS, EventFilter(events=("page view",))))
    assert table.scan().collect()["event_name"].unique().to_list() == ["page view"]
    day = table.day(DAYS[0])
    assert day
    assert day.provenance["events"] == ["page view"]


def test_progress_counts_rows_and_bytes(client: Mixpanel, table: EventsTable, shop: Sandbox) -> None:
    seen: list[Progress] = []
    list(pull_events(client, table, DAYS, on_progress=seen.append))
    assert seen[-1].rows == EVENTS
    assert seen[-1].wire_bytes > 100_000
    assert [now.rows for now in seen] == sorted(now.rows for now in seen)


class TestProjectCreatedBefore2023:
    """Its exports cut days in project time, and show times shifted into it."""

    ZONE = "America/Los_Angeles"

    @pytest.fixture
    def mixpanel_project(self) -> Project:
        return Project(timezone=self.ZONE, created_before_2023=True, enforce_budgets=False)

    # Clocks go forward on 2026-03-08 and back on 2025-11-02.
    @pytest.mark.parametrize("change", [date(2026, 3, 8), date(2025, 11, 2)], ids=["spring", "autumn"])
    def test_days_are_project_days_and_times_utc_across_a_dst_change(
        self, mixpanel: Sandbox, client: Mixpanel, table: EventsTable, change: date
    ) -> None:
        days = days_from(change - timedelta(days=2), 5)
        mixpanel.generate(2_000, days[0], days[-1])
        published = list(pull_events(client, table, days))
        assert sum(day.rows + day.duplicates for day in published) == 2_000
        stored = {kept.insert_id: kept.time_ms for kept in mixpanel.deduplicated(days[0], days[-1]) if kept.insert_id}
        for day in days:
            for insert_id, time in table.scan([day]).select("insert_id", "time").collect().iter_rows():
                local = time.astimezone(ZoneInfo(self.ZONE))
                assert local.date() == day
                if insert_id:
                    wall = datetime.fromtimestamp(stored[insert_id] / 1000, UTC).replace(tzinfo=None)
                    assert local.replace(tzinfo=None, fold=0) == wall
                    assert local.fold == 0  # of an hour that occurs twice, the first

    @pytest.mark.parametrize(("setting", "zone"), [("true", ZONE), ("false", "UTC")])
    def test_events_of_other_days_are_explained_by_the_zone_that_the_settings_give(
        self, mixpanel: Sandbox, table: EventsTable, monkeypatch: pytest.MonkeyPatch, setting: str, zone: str
    ) -> None:
        mixpanel.generate(500, DAYS[0], DAYS[4])
        monkeypatch.setenv("MIXPANEL_CREATED_BEFORE_2023", setting)
        strays = [_event(datetime(2025, 12, 31, 20, tzinfo=UTC))] * 50
        mixpanel.add_fault(Fault("/export", "extra_lines", lines=strays))
        with Mixpanel(Settings.load()) as client, pytest.raises(OutsideWindow) as raised:
            list(pull_events(client, table, DAYS[:5]))
        assert f"50 events lie outside the days asked for (2026-01-01..2026-01-05, cut in {zone})" in str(raised.value)
        assert "MIXPANEL_CREATED_BEFORE_2023" in str(raised.value)
        assert table.days() == []

    @pytest.mark.parametrize(("setting", "right"), [("true", True), ("false", False)])
    def test_the_wrong_setting_shows_in_the_comparison_with_mixpanels_counts(
        self, mixpanel: Sandbox, table: EventsTable, monkeypatch: pytest.MonkeyPatch, setting: str, right: bool
    ) -> None:
        mixpanel.generate(500, DAYS[0], DAYS[4])
        monkeypatch.setenv("MIXPANEL_CREATED_BEFORE_2023", setting)
        with Mixpanel(Settings.load()) as client:
            list(pull_events(client, table, DAYS[:5]))
            found = reconcile(client, table, DAYS[1:4])
        assert found.days
        assert (not found.beyond(0)) is right


def _event(time: datetime) -> bytes:
    return b'{"event":"x","properties":{"time":%d,"distinct_id":"a"}}' % (time.timestamp() * 1000)


@given(st.sets(st.dates(date(2024, 1, 1), date(2025, 12, 31)), max_size=300), st.integers(1, 100))
def test_windows_cover_exactly_the_days_in_few_requests(days: set[date], most: int) -> None:
    found = windows(days, most=most)
    assert [day for window in found for day in window] == sorted(days)
    assert all(len(window) <= most for window in found)
    # No two windows could have been one.
    for one, other in pairwise(found):
        assert len(one) == most or other.first - one.last > timedelta(days=1)


def test_a_mixpanel_error_is_not_retried_in_halves(client: Mixpanel, table: EventsTable, shop: Sandbox) -> None:
    shop.add_fault(Fault("/export", "payment_required"))
    with pytest.raises(MixpanelError):
        list(pull_events(client, table, DAYS))
    assert exports(shop) == 1


def test_the_budget_is_waited_for_and_the_wait_announced(mixpanel: Sandbox, table: EventsTable) -> None:
    waits: list[str] = []
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds
        mixpanel.clock.advance(timedelta(seconds=seconds))

    start = datetime.now(UTC)
    clock = Clock(sleep=sleep, monotonic=lambda: now[0], now=lambda: start + timedelta(seconds=now[0]))
    mixpanel.reset([Project()])
    mixpanel.generate(100, DAYS[0], DAYS[0])
    mixpanel.add_fault(Fault("/export", "rate_limited", count=1, retry_after="seconds", seconds=30))
    with Mixpanel(Settings.load(), on_wait=lambda wait: waits.append(wait.reason), clock=clock) as client:
        list(pull_events(client, table, DAYS[:1]))
    assert waits
    assert now[0] >= 30
    assert_equals_store(table, mixpanel, DAYS[:1])


def table_root(table: EventsTable) -> Path:
    return Path(table.uri)
