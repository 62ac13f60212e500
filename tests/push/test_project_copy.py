"""Events of one project's lake into another project: what both show is the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest

from mixpanel_etl.client import Clock, Mixpanel
from mixpanel_etl.dagster.push.assets import window_of
from mixpanel_etl.gdpr.suppression_list import Suppression
from mixpanel_etl.lake import EventsTable
from mixpanel_etl.lake.event_columns import CORE_SCHEMA
from mixpanel_etl.pull import pull_events
from mixpanel_etl.push.event_batches import Seen, event_batches
from mixpanel_etl.push.project_copy import OVERWRITTEN, CopiedEvents, ProjectMapping
from mixpanel_etl.push.push_error import PushError
from mixpanel_etl.push.query_push import QueryPush
from mixpanel_etl.push.row_push import PushedRows
from mixpanel_etl.sandbox import Fault, Project, Sandbox
from mixpanel_etl.settings import Settings
from mixpanel_etl.warehouse import Warehouse

from ..conftest import FIRST

OLD, NEW = 11, 22
DAYS = [FIRST + timedelta(days=n) for n in range(2)]
NOW = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.fixture
def projects(mixpanel: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Sandbox:
    """A project with two days of events, which are in its lake, too, and an empty one elsewhere."""
    mixpanel.reset(
        [
            Project(project_id=OLD, token="old", enforce_budgets=False),
            Project(project_id=NEW, token="new", enforce_budgets=False, id_merge="original"),
        ]
    )
    for prefix, project in (("MIXPANEL_", OLD), ("MIXPANEL_NEW_", NEW)):
        for name, value in mixpanel.environment(project, prefix).items():
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("MIXPANEL_NEW_LAKE", str(tmp_path / "new"))
    monkeypatch.setenv("MIXPANEL_NEW_BUDGET_URL", str(tmp_path / "budget.sqlite"))
    mixpanel.generate(3_000, DAYS[0], DAYS[-1], project_id=OLD)
    settings = Settings.load()
    with Mixpanel(settings) as client:
        list(pull_events(client, EventsTable(settings.lake), DAYS))
    return mixpanel


@pytest.fixture
def new(projects: Sandbox) -> Iterator[Mixpanel]:
    with Mixpanel(Settings.load("MIXPANEL_NEW_"), clock=Clock(sleep=lambda _: None)) as client:
        yield client


@pytest.fixture
def push(projects: Sandbox) -> QueryPush:
    return QueryPush("copy", "", ProjectMapping(Settings.load().lake))


def send(push: QueryPush, client: Mixpanel, day: date, **options: Any) -> PushedRows:
    window = window_of(str(day), client.settings.zone)
    told = push.send(client, Warehouse("duckdb://"), client.settings.lake, str(day), window, **options)
    assert isinstance(told, PushedRows)
    return told


def shown(mixpanel: Sandbox, project: int) -> list[tuple[Any, ...]]:
    """What a project shows, without what Mixpanel writes on arrival, and ids of events that had none."""
    given = {event.insert_id for event in mixpanel.deduplicated(DAYS[0], DAYS[-1], OLD)}
    found = []
    for event in mixpanel.deduplicated(DAYS[0], DAYS[-1], project):
        properties = json.loads(event.properties)
        for name in (*OVERWRITTEN, "$insert_id"):
            properties.pop(name, None)
        insert_id = event.insert_id if event.insert_id in given else None
        text = json.dumps(properties, sort_keys=True)
        found.append((event.event, event.time_ms, str(event.distinct_id), str(insert_id), text))
    return sorted(found)


def test_both_projects_show_the_same_events_however_often_they_are_copied(
    projects: Sandbox, new: Mixpanel, push: QueryPush
) -> None:
    for _ in range(2):
        for day in DAYS:
            told = send(push, new, day)
            assert told.rejected == 0
            assert told.sent == told.rows == EventsTable(Settings.load().lake).day(day).rows  # type: ignore[union-attr]
    assert shown(projects, NEW) == shown(projects, OLD)
    assert len(shown(projects, NEW)) > 1_000


def test_fields_that_mixpanel_writes_itself_are_left_out_and_counted(
    projects: Sandbox, new: Mixpanel, push: QueryPush
) -> None:
    told = send(push, new, DAYS[0])
    assert told.overwritten["mp_processing_time_ms"] == told.rows
    arrived = [json.loads(event.properties) for event in projects.deduplicated(DAYS[0], DAYS[0], NEW)]
    assert (
        min(event["mp_processing_time_ms"] for event in arrived) > 1_770_000_000_000
    )  # not those of the first arrival


def test_a_dry_run_shows_events_and_what_is_overwritten_and_sends_nothing(
    projects: Sandbox, new: Mixpanel, push: QueryPush
) -> None:
    window = window_of(str(DAYS[0]), new.settings.zone)
    told = push.preview(Warehouse("duckdb://"), new.settings.lake, str(DAYS[0]), window)
    assert isinstance(told, PushedRows)
    assert len(told.first) == 5
    assert told.overwritten["mp_processing_time_ms"] == told.rows == push.count(Warehouse("duckdb://"), window)
    assert projects.count(NEW) == 0


def test_only_new_events_are_sent_by_choice(projects: Sandbox, new: Mixpanel, push: QueryPush) -> None:
    push = replace(push, only_new=True)
    first = send(push, new, DAYS[0])
    again = send(push, new, DAYS[0])
    assert (again.sent, again.skipped) == (0, first.sent)


@pytest.mark.parametrize("prefix", ["MIXPANEL_", "MIXPANEL_NEW_"])
def test_a_person_who_was_deleted_from_either_project_is_not_copied(
    projects: Sandbox, new: Mixpanel, push: QueryPush, prefix: str
) -> None:
    there = projects.deduplicated(DAYS[0], DAYS[0], OLD)
    person = next(event.distinct_id for event in there if event.distinct_id and len(event.distinct_id) > 3)
    Suppression(Settings.load(prefix).lake).add([person], datetime.now(UTC) + timedelta(days=30))
    told = send(push, new, DAYS[0])
    assert 0 < told.rows < len(there)
    assert person not in {event.distinct_id for event in projects.deduplicated(DAYS[0], DAYS[0], NEW)}


def test_a_copy_that_breaks_off_is_run_again(projects: Sandbox, new: Mixpanel, push: QueryPush) -> None:
    projects.add_fault(Fault("/import", "rate_limited", count=2, retry_after="seconds", seconds=2))
    projects.add_fault(Fault("/import", "truncated", count=1, after=1))
    for day in DAYS:
        send(push, new, day)
    assert shown(projects, NEW) == shown(projects, OLD)


def test_a_day_that_was_not_exported_is_told(new: Mixpanel, push: QueryPush) -> None:
    with pytest.raises(PushError, match="has no 2025-12-31: export that day first"):
        send(push, new, date(2025, 12, 31))


def test_a_project_is_not_copied_into_itself(projects: Sandbox, push: QueryPush) -> None:
    with Mixpanel(Settings.load()) as client, pytest.raises(PushError, match="exported from project 11"):
        send(push, client, DAYS[0])
    assert not [request for request in projects.requests if request.path == "/import"]


def encoded(**columns: Any) -> tuple[dict[str, Any], str | None, str | None]:
    """The event of a row of the lake, and what is wrong."""
    row = {"event_name": "e", "time": DAY, "distinct_id": "u1", "insert_id": "i1", "properties": "{}", **columns}
    batch = pa.RecordBatch.from_pylist([row], pa.schema([f for f in CORE_SCHEMA if f.name != "properties"]))
    text = pa.array([row["properties"]], pa.string())
    batch = batch.append_column("properties", text)
    ((line, name, message),) = CopiedEvents().encode(batch, NOW).select("line", "field", "message").iter_rows()
    return json.loads(line), name, message


DAY = datetime(2026, 2, 1, 12, tzinfo=UTC)


def test_an_event_is_sent_as_it_was() -> None:
    properties = (
        b'{"time":1769947200,"distinct_id":"u1","$insert_id":"i1",'
        b'"$city":"Rom","n":1.10,"o":{"a":[1,null]},"$import":true}'
    )
    event, _, message = encoded(properties=properties.decode())
    assert message is None
    assert event == {
        "event": "e",
        "properties": {
            **{k: v for k, v in msgspec.json.decode(properties).items() if k != "$import"},
            "time": int(DAY.timestamp() * 1000),
            "ip": "0",
        },
    }


def test_an_insert_id_that_mixpanel_would_reject_becomes_another_one_that_is_always_the_same() -> None:
    given = [None, "x" * 37, "under_score", "null"]
    for insert_id in given:
        first, again = (encoded(insert_id=insert_id)[0]["properties"]["$insert_id"] for _ in range(2))
        assert first == again != insert_id
        assert len(first) <= 36


@pytest.mark.parametrize(
    ("columns", "name", "said"),
    [
        ({"event_name": ""}, "event", "no name"),
        ({"time": datetime(1970, 6, 1, tzinfo=UTC)}, "time", "before 1971"),
        ({"time": NOW + timedelta(hours=2)}, "time", "in the future"),
        ({"distinct_id": None}, "distinct_id", "distinct_id is missing"),
        ({"distinct_id": "Anonymous"}, "distinct_id", "placeholder id"),
        ({"properties": json.dumps({f"p{n}": n for n in range(252)})}, "", "255 properties"),
        ({"properties": json.dumps({"p": list(range(255))})}, "p", "255 elements"),
        ({"properties": json.dumps({"p": "x" * 1_100_000})}, "", "smaller than 1 MB"),
    ],
)
def test_what_mixpanel_would_reject_is_not_sent(columns: dict[str, Any], name: str, said: str) -> None:
    _, field, message = encoded(**columns)
    assert field == name
    assert said in str(message)


def test_a_copy_leaves_out_identity_events_that_the_project_does_not_take_and_counts_them() -> None:
    names = ["Order", "$identify", "$merge", "$identify"]
    rows = [
        {"event_name": name, "time": DAY, "distinct_id": "u1", "insert_id": f"i{n}", "properties": "{}"}
        for n, name in enumerate(names)
    ]
    table = pa.Table.from_pylist(rows, pa.schema([f for f in CORE_SCHEMA if f.name in rows[0]]))
    seen, rejected = Seen(), list[Any]()
    (batch,) = event_batches(
        table.to_reader(), CopiedEvents(), NOW, rejected.append, seen=seen, foreign=lambda: {"$identify", "$merge"}
    )
    assert (batch.count, rejected, dict(seen.left_out)) == (1, [], {"$identify": 2, "$merge": 1})
