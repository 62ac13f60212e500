"""One person of ten ids out of a lake of many: only the person's files may be written again. Ends with one JSON line.

    python -m benchmarks.erasure --events 1000000

Fails if a file without the person was rewritten, one with the person was not, or a row of another person is missing.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from benchmarks.export import DATA, FIRST, _chunks, exported
from benchmarks.measure import alternate

DEVICES = [hashlib.sha256(f"device {n}".encode()).hexdigest()[:36] for n in range(9)]
PERSON = "9f0c1d1e-2f5a-4a6b-8f25-5d8a0e4c7b11"
#: The person was there on every eighth day.
EVERY = 8


def main() -> None:
    arguments = _arguments()
    if arguments.lake:
        print(json.dumps(_measured(arguments.lake, arguments.days)))
        return
    with tempfile.TemporaryDirectory(dir=_data()) as lake:
        rows = _fill(lake, arguments.events, arguments.days)
        size = sum(path.stat().st_size for path in Path(lake).rglob("*.parquet"))
        command = ["benchmarks.erasure", "--days", str(arguments.days), "--lake", lake]
        figures = alternate({"erasure": command}, rounds=1)["erasure"]
    print(json.dumps({"events": rows, "lake_mb": round(size / 1e6), **figures}))


def _data() -> Path:
    DATA.mkdir(exist_ok=True)
    return DATA


def _fill(lake: str, events: int, days: int) -> int:
    from mixpanel_etl.client import gunzip
    from mixpanel_etl.lake import EventsTable, ExportProvenance, Window, ingest

    def lines() -> Iterator[bytes]:
        yield from gunzip(_chunks(exported(events, days)))
        yield from _of_the_person(days)

    window = Window(FIRST, FIRST + timedelta(days=days - 1))
    provenance = ExportProvenance(requested_at=datetime.now(UTC), window=window)
    return sum(day.rows for day in ingest(lines(), EventsTable(lake), provenance))


def _of_the_person(days: int) -> Iterator[bytes]:
    for number, day in enumerate(_days_of_the_person(days)):
        at = int(datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp())
        device = DEVICES[number % len(DEVICES)]
        # Before the log-in, as Mixpanel exports it afterwards.
        anonymous = {"time": at, "distinct_id": PERSON, "$device_id": device}
        anonymous["$distinct_id_before_identity"] = f"$device:{device}"
        known = {"time": at + 60, "distinct_id": PERSON, "$device_id": device, "$user_id": PERSON}
        for properties in (anonymous, known):
            yield json.dumps({"event": "Visit", "properties": {**properties, "page": "/basket"}}).encode() + b"\n"


def _days_of_the_person(days: int) -> list[date]:
    return [FIRST + timedelta(days=n) for n in range(0, days, EVERY)]


def _measured(lake: str, days: int) -> dict[str, float]:
    from mixpanel_etl.gdpr.erasure import erase
    from mixpanel_etl.gdpr.linked_ids import expand

    theirs = {f"{lake}/events/date={day}/events.parquet" for day in _days_of_the_person(days)}
    before = _files(lake)
    started = time.perf_counter()
    person = expand(lake, [PERSON])[PERSON]
    expanded = time.perf_counter()
    erasure = erase(lake, person.ids)
    ended = time.perf_counter()
    after = _files(lake)
    rewritten = {name for name, version in after.items() if before.get(name) not in (version, None)}
    told = erasure.tables["events"]
    if not set(DEVICES[: len(theirs)]) <= set(person.ids):
        raise SystemExit(f"not all ids were found: {person}")
    if rewritten != theirs or told.files_rewritten != len(theirs) or told.rows_removed != 2 * len(theirs):
        raise SystemExit(f"other files than the person's were written again: {rewritten ^ theirs}, {told}")
    if erasure.remaining:
        raise SystemExit(f"the final scan found {erasure.remaining} rows")
    return {
        "ids": len(person.ids),
        "expand_seconds": round(expanded - started, 2),
        "erase_seconds": round(ended - expanded, 2),
        "files_scanned": told.files_scanned,
        "files_rewritten": told.files_rewritten,
        "rows_removed": told.rows_removed,
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def _files(lake: str) -> dict[str, tuple[int, int]]:
    files = (path for path in Path(lake).rglob("*.parquet"))
    return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--days", type=int, default=100)
    parser.add_argument("--lake", help="measure on this lake, in this process")
    return parser.parse_args()


if __name__ == "__main__":
    main()
