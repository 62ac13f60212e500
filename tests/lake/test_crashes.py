"""Killed processes, full disks and rivals: readers see whole files only, and the next run needs no help."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mixpanel_etl.lake import EventsTable

from .exports import DAY, contents, days_from, files, line, ms, pull, read, request, stored

pytestmark = pytest.mark.slow

DAYS, ROWS = 5, 40


def start(table: EventsTable, **plan: Any) -> subprocess.Popen[str]:
    plan = {"lake": table.lake, "days": DAYS, "rows": ROWS, "later": 1, **plan}
    return subprocess.Popen(
        [sys.executable, Path(__file__).with_name("worker.py"), json.dumps(plan)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def lines(later: int, rows: int) -> list[bytes]:
    return [line(ms(day, n), later=later) for day in days_from(DAY, DAYS) for n in range(rows)]


def visible(table: EventsTable) -> dict[Any, tuple[int, set[int]]]:
    """Of each day its rows, and which requests wrote them; fails on a file that is not whole."""
    folders = sorted(Path(table.uri).glob("date=*"))
    rows = {folder.name.removeprefix("date="): read(folder / "events.parquet") for folder in folders}
    return {day: (len(r), {json.loads(row["properties"])["later"] for row in r}) for day, r in rows.items()}


LAST = DAY + timedelta(days=DAYS - 1)
OLD, NEW = (30, {0}), (ROWS, {1})


@pytest.fixture
def filled(table: EventsTable) -> EventsTable:
    pull(table, lines(0, 30), request(DAY, LAST, project_id=1))
    return table


@pytest.mark.parametrize("die", ["decoding", "writing", "closing", "renaming", "renamed"])
def test_a_killed_process_leaves_whole_days_and_the_next_one_sweeps_up(
    filled: EventsTable, lake: Path, die: str
) -> None:
    worker = start(filled, die=die)
    _, errors = worker.communicate()
    assert worker.returncode == -signal.SIGKILL, errors
    after = visible(filled)
    assert len(after) == DAYS
    assert all(day in (OLD, NEW) for day in after.values())
    assert NEW not in after.values() or die != "decoding"
    assert NEW in after.values() or die != "renamed"
    assert all(name.startswith((".drafts/", "events/date=", "_columns/", "_format.json")) for name in files(lake))
    pull(filled, lines(2, ROWS), request(DAY, LAST, later=2, project_id=1))
    assert set(visible(filled)) == set(map(str, days_from(DAY, DAYS)))
    assert all(day == (ROWS, {2}) for day in visible(filled).values())
    assert files(lake / ".drafts") == []


@pytest.mark.parametrize("limit", ["spill", "publish"])
def test_a_file_that_cannot_grow_leaves_the_days_as_they_were(filled: EventsTable, lake: Path, limit: str) -> None:
    before = contents(lake)
    worker = start(filled, limit=limit)
    _, errors = worker.communicate()
    assert worker.returncode == 1
    assert "OSError: [Errno 27]" in errors
    assert contents(lake) == before


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with two megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.getuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "lake", folder], check=False).returncode:
        pytest.skip("only root may mount a small disk")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("days", [1, 3])
def test_a_full_disk_leaves_each_day_whole_and_most_as_they_were(small_disk: Path, days: int) -> None:
    table = EventsTable(str(small_disk / "lake"))
    last = DAY + timedelta(days=days - 1)
    pull(table, lines(0, 2)[: 2 * days], request(DAY, last))
    noise = (line(ms(DAY, 86_400 * (n % days)), later=1, noise=os.urandom(50_000).hex()) for n in range(60))
    with pytest.raises(OSError, match="No space left on device"):
        pull(table, noise, request(DAY, last, later=1))
    after = list(visible(table).values())
    assert len(after) == days
    assert (2, {0}) in after
    assert set(map(str, after)) <= {str((2, {0})), str((60 // days, {1}))}
    assert files(small_disk / "lake" / ".drafts") == []
    assert len(pull(table, lines(2, 2)[: 2 * days], request(DAY, last, later=2), allow_shrink=True)) == days


def test_of_two_processes_that_publish_the_same_days_the_later_request_wins(table: EventsTable) -> None:
    workers = [start(table, later=later, step=2, rounds=6, rows=ROWS + later, start=True) for later in (0, 1)]
    for worker in workers:
        assert worker.stdout
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin
        worker.stdin.write("go\n")
        worker.stdin.flush()
    seen = 0
    while any(worker.poll() is None for worker in workers):
        for path in Path(table.uri).glob("date=*/events.parquet"):
            rows = read(path)
            (later,) = {json.loads(row["properties"])["later"] for row in rows}
            assert len(rows) == ROWS + later % 2
            seen += 1
    assert [worker.communicate()[1] for worker in workers] == ["", ""]
    assert [worker.returncode for worker in workers] == [0, 0]
    assert seen
    assert visible(table) == {str(day): (ROWS + 1, {11}) for day in days_from(DAY, DAYS)}
    assert stored(table)


def test_two_processes_do_not_sweep_each_others_drafts(table: EventsTable, lake: Path) -> None:
    with table.storage.draft("mine") as draft:
        worker = start(table)
        assert worker.communicate()[1] == ""
        assert Path(draft.path).exists()
    assert len(table.days()) == DAYS
