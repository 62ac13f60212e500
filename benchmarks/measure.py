"""Runs candidates alternately, each time in a process of its own, and reports medians."""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def report(work: Callable[[], int]) -> None:
    """Do the work (it returns how many events it handled) and print what it took, as one JSON line.

    The time is that of the work; processor time and memory are those of the process, with its start and imports.
    """
    started = time.perf_counter()
    events = work()
    seconds = time.perf_counter() - started
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(
        json.dumps(
            {
                "events": events,
                "events_per_second": round(events / seconds),
                "cpu_seconds": round(used.ru_utime + used.ru_stime, 2),
                "peak_rss_mb": round(used.ru_maxrss / 1024),
            }
        )
    )


def alternate(commands: Mapping[str, Sequence[str]], rounds: int) -> dict[str, dict[str, Any]]:
    """The median of each figure for each command (arguments after `python -m`), over all rounds."""
    figures: dict[str, list[dict[str, Any]]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, arguments in commands.items():
            done = subprocess.run([sys.executable, "-m", *arguments], check=True, capture_output=True, text=True)
            figures[name].append(json.loads(done.stdout.splitlines()[-1]))
            print(f"{name}: {figures[name][-1]}", file=sys.stderr)
    return {
        name: {key: statistics.median(run[key] for run in runs) for key in runs[0]} for name, runs in figures.items()
    }
