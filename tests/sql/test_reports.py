"""Segmentation, funnel and retention from the lake are what Mixpanel answers for the same events."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any, NamedTuple

import duckdb
import pytest

from mixpanel_etl.client import Counting, Interval, LengthUnit, Mixpanel, RetentionCohort, RetentionType, Unit
from mixpanel_etl.client import FunnelStep as Step
from mixpanel_etl.lake import EventsTable, connect
from mixpanel_etl.pull import pull_events
from mixpanel_etl.sandbox import Funnel, FunnelStep, Project, Sandbox
from mixpanel_etl.settings import Settings

from ..lakehouse import days_from
from .awkward import awkward_lines

FUNNELS = {
    7: Funnel(7, "Three steps", ["open", "look", "buy"]),
    8: Funnel(8, "The same event twice", ["look", "look"]),
    9: Funnel(9, "A condition", [FunnelStep("open", where='properties["colour"] == "red"'), "leave"]),
}
CONDITIONS = {
    7: "['open', 'look', 'buy']",
    8: "['look', 'look']",
    9: "[event_name = 'open' AND properties ->> 'colour' = 'red', event_name = 'leave']",
}
FORMS: dict[Unit, str] = {"day": "%Y-%m-%d", "week": "%Y-%m-%d", "month": "%Y-%m-%d", "hour": "%Y-%m-%d %H:%M:%S"}
COUNTED: dict[Counting, str] = {"general": "events", "unique": "users", "average": "events_per_user"}
PERIODS: list[Interval] = ["day", "week", "month"]
LENGTHS: list[tuple[int, LengthUnit]] = [(1, "day"), (3, "hour"), (1, "second"), (14, "day")]
SIZES: list[tuple[Interval, int]] = [("day", 1), ("day", 2), ("week", 1), ("month", 1)]
ALL = 10_000
#: By date and segment (None: all together): the numbers of each step; the size, and the returns of each interval.
Steps = dict[tuple[str, str | None], list[tuple[Any, ...]]]
Cohorts = dict[tuple[str, str | None], tuple[int | None, list[int]]]

# Days in which clocks change, at midnight even, or by half an hour; and a project that stores project time.
SCENES = {
    "UTC": ("UTC", False, date(2026, 1, 29)),
    "spring in Berlin": ("Europe/Berlin", False, date(2026, 3, 26)),
    "autumn in New York": ("America/New_York", False, date(2025, 10, 30)),
    "midnight twice in Havana": ("America/Havana", False, date(2025, 10, 31)),
    "no midnight in Beirut": ("Asia/Beirut", False, date(2026, 3, 27)),
    "half an hour on Lord Howe": ("Australia/Lord_Howe", False, date(2026, 4, 2)),
    "project time in Berlin": ("Europe/Berlin", True, date(2025, 10, 23)),
}


class Scene(NamedTuple):
    """The same events in the sandbox and in the lake, and the days to ask about."""

    client: Mixpanel
    sql: duckdb.DuckDBPyConnection
    first: date
    last: date

    def ask(self, call: str, columns: str = "*") -> list[tuple[Any, ...]]:
        days = {"first": self.first, "last": self.last}
        return self.sql.execute(f"SELECT {columns} FROM {call}", days).fetchall()


@pytest.fixture(params=enumerate(SCENES), ids=list(SCENES))
def chosen(request: pytest.FixtureRequest) -> tuple[str, bool, date, int]:
    seed, name = request.param
    return *SCENES[name], seed


@pytest.fixture
def mixpanel_project(chosen: tuple[str, bool, date, int]) -> Project:
    zone, early, *_ = chosen
    return Project(timezone=zone, created_before_2023=early, enforce_budgets=False, funnels=list(FUNNELS.values()))


@pytest.fixture
def scene(chosen: tuple[str, bool, date, int], mixpanel: Sandbox, client: Mixpanel, table: EventsTable) -> Scene:
    zone, early, first, seed = chosen
    mixpanel.load(awkward_lines(seed, first, 6, zone, project_time=early))
    list(pull_events(client, table, days_from(first - timedelta(days=1), 10)))
    settings = Settings.load()
    sql = connect(settings.lake, timezone=settings.timezone, created_before_2023=settings.created_before_2023)
    return Scene(client, sql, first + timedelta(days=1), first + timedelta(days=3))


def test_segmentation_counts_events_users_and_events_per_user_by_every_unit(scene: Scene) -> None:
    for unit, form in FORMS.items():
        if unit == "hour" and scene.client.settings.timezone == "Australia/Lord_Howe":
            continue  # the sandbox counts hours from midnight: after half an hour's change they begin at half past
        for kind, column in COUNTED.items():
            if kind == "unique" and unit == "hour":
                continue  # Mixpanel has no hourly users
            reply = scene.client.query.segmentation("look", scene.first, scene.last, unit=unit, type=kind)
            rows = scene.ask(f"segmentation('look', $first, $last, unit := '{unit}')", f"date, segment, {column}")
            assert {(f"{when:{form}}", name): value for when, name, value in rows} == flat(reply.values)


@pytest.mark.parametrize("name", ["colour", "$odd/~name"])
def test_segmentation_breaks_down_by_values_of_any_type(scene: Scene, name: str) -> None:
    reply = scene.client.query.segmentation(
        "buy", scene.first, scene.last, on=f'properties["{name}"]', type="unique", limit=ALL
    )
    rows = scene.ask(f"""segmentation('buy', $first, $last, "on" := property(properties, '{name}'))""")
    assert {(str(when.date()), segment): users for when, segment, _, users, _ in rows} == flat(reply.values)


def test_segmentation_counts_only_what_the_condition_holds_for(scene: Scene) -> None:
    reply = scene.client.query.segmentation("buy", scene.first, scene.last, where='properties["colour"] == "red"')
    rows = scene.ask("""segmentation('buy', $first, $last, "where" := properties ->> 'colour' = 'red')""")
    assert {(str(when.date()), name): events for when, name, events, *_ in rows} == flat(reply.values)


@pytest.mark.parametrize("funnel", FUNNELS)
def test_a_funnel_has_the_users_times_and_ratios_of_every_step(scene: Scene, funnel: int) -> None:
    for length, unit in LENGTHS:
        for period in PERIODS:
            reply = scene.client.query.funnels(
                funnel, scene.first, scene.last, length=length, length_unit=unit, unit=period
            )
            window = f"""INTERVAL {length} {unit}, unit := '{period}'"""
            rows = scene.ask(f"""funnel({CONDITIONS[funnel]}, $first, $last, "length" := {window})""")
            assert steps_of(rows) == {(day, None): numbers(data.steps) for day, data in reply.data.items()}


def test_a_funnel_breaks_down_by_the_values_at_its_first_step(scene: Scene) -> None:
    reply = scene.client.query.funnels(7, scene.first, scene.last, on='properties["colour"]', limit=ALL)
    rows = scene.ask(f"""funnel({CONDITIONS[7]}, $first, $last, "on" := property(properties, 'colour'))""")
    expected: Steps = {(day, None): numbers(data.steps) for day, data in reply.data.items()}
    for day, data in reply.data.items():
        expected |= {(day, name): numbers(steps) for name, steps in data.segments.items()}
    assert steps_of(rows) == expected


@pytest.mark.parametrize("kind", ["birth", "compounded"])
@pytest.mark.parametrize("unbounded", [False, True])
def test_retention_has_the_users_of_every_interval(scene: Scene, kind: RetentionType, unbounded: bool) -> None:
    for unit, size in SIZES:
        for event in ("look", None):
            reply = scene.client.query.retention(
                scene.first,
                scene.last,
                born_event="open",
                event=event,
                retention_type=kind,
                interval=size,
                interval_count=3,
                unit=unit,
                unbounded_retention=unbounded,
            )
            returning = f"'{event}'" if event else "NULL"
            rows = scene.ask(
                f"""retention($first, $last, born_event := 'open', event := {returning}, retention_type := '{kind}',
                unit := '{unit}', "interval" := {size}, interval_count := 3, unbounded := {unbounded})"""
            )
            assert cohorts_of(rows) == {(day, None): counted(cohort) for day, cohort in reply.items()}


def test_retention_breaks_down_by_the_values_of_the_returning_event(scene: Scene) -> None:
    reply = scene.client.query.retention(
        scene.first,
        scene.last,
        born_event="open",
        born_where='properties["$odd/~name"] == "x"',
        event="look",
        where='properties["$odd/~name"] == "y"',
        interval_count=2,
        on='properties["colour"]',
        limit=ALL,
    )
    rows = scene.ask("""retention($first, $last, born_event := 'open', event := 'look', interval_count := 2,
        born_where := property(properties, '$odd/~name') ->> '$' = 'x',
        "where" := property(properties, '$odd/~name') ->> '$' = 'y', "on" := property(properties, 'colour'))""")
    expected: Cohorts = {(day, None): counted(cohort) for day, cohort in reply.items()}
    for day, cohort in reply.items():
        expected |= {(day, name): counted(part) for name, part in cohort.segments.items()}
    assert cohorts_of(rows) == expected


def flat(values: dict[str, dict[str, float]]) -> dict[tuple[str, str | None], float]:
    return {(day, name): count for name, days in values.items() for day, count in days.items()}


def numbers(steps: Iterable[Step]) -> list[tuple[Any, ...]]:
    return [
        (step.count, step.avg_time, step.avg_time_from_start, step.step_conv_ratio, step.overall_conv_ratio)
        for step in steps
    ]


def steps_of(rows: Iterable[tuple[Any, ...]]) -> Steps:
    found: Steps = {}
    for when, segment, _, *values in rows:
        found.setdefault((str(when), segment), []).append(tuple(values))
    return found


def counted(cohort: RetentionCohort) -> tuple[int | None, list[int]]:
    return cohort.first, cohort.counts


def cohorts_of(rows: Iterable[tuple[Any, ...]]) -> Cohorts:
    found: Cohorts = {}
    for when, segment, _, count, first in rows:
        found.setdefault((str(when), segment), (first, []))[1].append(count)
    return found
