"""A run that is killed leaves whole days or none, and nothing to clean up; a rerun ends as if nothing had happened."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from mixpanel_etl.lake import EventsTable
from mixpanel_etl.sandbox import Sandbox

from ..conftest import FIRST
from ..lakehouse import assert_equals_store, assert_only_whole_files, days_from
from .conftest import KEY

DAYS = days_from(FIRST, 100)

# Runs the command in its first argument; `kill` is called in the middle of it.
PROGRAM = """
import os, signal, sys
from mixpanel_etl.cli import app
from mixpanel_etl.lake import shuffle
from mixpanel_etl.lake import events_table as table
import mixpanel_etl.lake.disk as disk

def kill(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def at_call(owner, name, number):
    original, calls = getattr(owner, name), []
    def counted(*arguments, **named):
        calls.append(1)
        return kill() if len(calls) == number else original(*arguments, **named)
    setattr(owner, name, counted)

{where}
app(sys.argv[1:])
"""

POINTS = {
    "before anything": "at_call(shuffle.Shuffle, 'add', 1)",
    "when all is read": "at_call(shuffle.Shuffle, 'finish', 1)",
    "at the first publication": "at_call(table.EventsTable, 'publish', 1)",
    "between publications": "at_call(table.EventsTable, 'publish', 40)",
    "with the file written but not published": "at_call(disk._DiskDraft, 'publish', 60)",
}


@pytest.mark.parametrize("where", POINTS.values(), ids=POINTS.keys())
def test_kill_9_and_a_rerun(
    mixpanel: Sandbox, table: EventsTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    mixpanel.generate(2_000, DAYS[0], DAYS[-1])
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    command = ["backfill", "--module", "mixpanel_etl.definitions", "--from", str(DAYS[0]), "--to", str(DAYS[-1])]
    killed = _run(PROGRAM.format(where=where), command)
    assert killed.returncode == -signal.SIGKILL
    assert_equals_store(table, mixpanel, table.days()) if table.days() else None
    again = _run(PROGRAM.format(where=""), command)
    assert again.returncode == 0, again.stderr
    assert_equals_store(table, mixpanel, DAYS)
    assert_only_whole_files(tmp_path / "lake")
    with dg.DagsterInstance.get() as instance:
        assert instance.get_materialized_partitions(KEY) == {str(day) for day in DAYS}


def _run(program: str, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ,
    )
