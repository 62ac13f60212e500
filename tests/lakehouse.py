"""Comparing a lake with the sandbox that it came from."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path

from mixpanel_etl.lake import EventsTable
from mixpanel_etl.sandbox import Sandbox


def days_from(first: date, number: int) -> list[date]:
    return [first + timedelta(days=n) for n in range(number)]


def assert_equals_store(table: EventsTable, sandbox: Sandbox, days: Iterable[date]) -> None:
    """Every one of the days is published, and holds exactly what a perfect lake would."""
    wanted = sorted(days)
    assert set(wanted) <= set(table.days())
    stored = sorted(tuple(kept) for kept in sandbox.deduplicated(wanted[0], wanted[-1]) if _day(kept.time_ms) in wanted)
    frame = table.scan(wanted).select("event_name", "time", "distinct_id", "insert_id", "properties").collect()
    held = sorted(
        (name, round(time.timestamp() * 1000), distinct_id, insert_id, properties)
        for name, time, distinct_id, insert_id, properties in frame.iter_rows()
    )
    assert [_comparable(row) for row in held] == [_comparable(row) for row in stored]


def assert_only_whole_files(lake: Path) -> None:
    """No draft, no partial file: only `date=.../events.parquet`, `_columns/events.json` and `_format.json`."""
    files = [path for path in lake.rglob("*") if path.is_file()]
    assert {path.name for path in files} <= {"events.parquet", "events.json", "_format.json"}, files


def _day(milliseconds: int) -> date:
    return date(1970, 1, 1) + timedelta(milliseconds=milliseconds)


def _comparable(row: tuple[object, ...]) -> tuple[str, ...]:
    return tuple(repr(value) for value in row)
