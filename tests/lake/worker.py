"""A process that ingests a small export, and dies or runs out of disk where it is told to.

    python worker.py '{"lake": "/path", "later": 1, "days": 5, "rows": 40, "die": "renaming"}'

Each of `rounds` requests (1) asks for `days` from `exports.DAY`, `later` minutes after `exports.REQUESTED_AT` and each
`step` minutes after the one before; its events carry `later` as a property. With `"limit": "spill"` or `"publish"` no
file may grow from then on; `"start": true` waits for a line on stdin.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from mixpanel_etl.lake import EventsTable, ExportProvenance, Window, ingest, shuffle
from mixpanel_etl.lake import export_decoder as decode_module

sys.path.insert(0, str(Path(__file__).parent))
from exports import DAY, REQUESTED_AT, line, ms  # type: ignore[import-not-found]


def main(plan: dict[str, Any]) -> None:
    shuffle.BUDGET_BYTES = 20_000
    decode_module.BLOCK_BYTES = 2_000
    _arrange(plan.get("die"), plan.get("limit"))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    if plan.get("start"):
        sys.stdin.readline()
    table = EventsTable(plan["lake"])
    window = Window(DAY, DAY + timedelta(days=plan["days"] - 1))
    for number in range(plan.get("rounds", 1)):
        later = plan["later"] + number * plan.get("step", 0)
        provenance = ExportProvenance(requested_at=REQUESTED_AT + timedelta(minutes=later), window=window, project_id=1)
        for _ in ingest(_lines(plan, later), table, provenance, allow_shrink=True):
            pass


def _lines(plan: dict[str, Any], later: int) -> Iterator[bytes]:
    for number in range(plan["rows"] * plan["days"]):
        if plan.get("die") == "decoding" and number == plan["rows"] * plan["days"] // 2:
            _die()
        yield line(ms(DAY, 86_400 * (number // plan["rows"])), later=later, insert_id=str(number), pad="x" * 500)


def _arrange(die: str | None, limit: str | None) -> None:
    if die == "writing":
        pq.ParquetWriter.write_table = _after(3, pq.ParquetWriter.write_table, _die)
    if die == "closing":
        pq.ParquetWriter.close = _after(3, pq.ParquetWriter.close, _die)
    if die == "renaming":
        Path.replace = _after(2, Path.replace, _die)  # type: ignore[method-assign]
    if die == "renamed":
        os.fsync = _after(5, os.fsync, _die)
    if limit == "spill":
        _no_more_space()
    if limit == "publish":
        pq.ParquetWriter.__init__ = _after(1, pq.ParquetWriter.__init__, _no_more_space)


def _after(calls: int, function: Callable[..., Any], act: Callable[[], None]) -> Callable[..., Any]:
    """The function, which does something else first when it is called for the n-th time."""
    made = 0

    def called(*arguments: Any, **options: Any) -> Any:
        nonlocal made
        made += 1
        if made == calls:
            act()
        return function(*arguments, **options)

    return called


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _no_more_space() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, resource.RLIM_INFINITY))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
