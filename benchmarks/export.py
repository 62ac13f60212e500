"""A gzipped export into published, deduplicated, day-partitioned Parquet, against DuckDB's COPY of the same file.

DuckDB neither splits by day nor deduplicates. Ends with one JSON line.

    python -m benchmarks.export --events 1000000
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from benchmarks.measure import alternate, report

FIRST = date(2026, 1, 1)
DATA = Path(__file__).parent / "data"
REFERENCE = """
COPY (
    SELECT event AS event_name,
           to_timestamp((properties->>'$.time')::BIGINT / 1000) AS time,
           properties->>'$.distinct_id' AS distinct_id,
           properties->>'$."$insert_id"' AS insert_id,
           properties->>'$."$device_id"' AS device_id,
           properties->>'$."$user_id"' AS user_id,
           to_timestamp((properties->>'$.mp_processing_time_ms')::BIGINT / 1000) AS processing_time,
           properties
    FROM read_json('{source}', format = 'newline_delimited', columns = {{event: 'VARCHAR', properties: 'JSON'}})
) TO '{target}' (FORMAT parquet, COMPRESSION zstd)
"""


def main() -> None:
    arguments = _arguments()
    source = exported(arguments.events, arguments.days)
    if arguments.only:
        work = {"ours": _ours, "reference": _reference}[arguments.only](source, arguments.days)
        report(work)
        return
    options = ["--events", str(arguments.events), "--days", str(arguments.days)]
    commands = {name: ["benchmarks.export", *options, "--only", name] for name in ("ours", "reference")}
    medians = alternate(commands, arguments.rounds)
    ours, reference = medians["ours"], medians["reference"]
    if ours["events"] != reference["events"]:
        raise SystemExit(f"the two did not read the same events: {medians}")
    ratio = ours["events_per_second"] / reference["events_per_second"]
    prefixed = {f"reference_{key}": value for key, value in reference.items() if key != "events"}
    print(json.dumps({**ours, **prefixed, "ratio": round(ratio, 2)}))


def exported(events: int, days: int) -> Path:
    """A file with this number of events and days, as `/export` sends them; made once."""
    path = DATA / f"export-{events}-{days}.jsonl.gz"
    if not path.exists():
        from isal import igzip

        from mixpanel_etl.sandbox import generate_lines

        DATA.mkdir(exist_ok=True)
        draft = path.with_suffix(".draft")
        lines = generate_lines(events, FIRST, FIRST + timedelta(days=days - 1))
        with igzip.open(draft, "wb", compresslevel=2) as file:  # type: ignore[no-untyped-call]
            while block := b"".join(line + b"\n" for line in itertools.islice(lines, 10_000)):
                file.write(block)
        draft.rename(path)
    return path


def _ours(source: Path, days: int) -> Callable[[], int]:
    from mixpanel_etl.client import gunzip
    from mixpanel_etl.lake import EventsTable, ExportProvenance, Window, ingest

    def work() -> int:
        window = Window(FIRST, FIRST + timedelta(days=days - 1))
        with tempfile.TemporaryDirectory(dir=DATA) as lake:
            provenance = ExportProvenance(requested_at=datetime.now(UTC), window=window)
            published = ingest(gunzip(_chunks(source)), EventsTable(lake), provenance)
            return sum(day.rows + day.duplicates for day in published)

    return work


def _chunks(source: Path) -> Iterator[bytes]:
    # The size in which the client takes a response from the network.
    from mixpanel_etl.client.http.response import CHUNK

    with source.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def _reference(source: Path, days: int) -> Callable[[], int]:  # noqa: ARG001 - it does not split them
    import duckdb

    def work() -> int:
        with tempfile.TemporaryDirectory(dir=DATA) as folder:
            target = Path(folder) / "events.parquet"
            (count,) = duckdb.execute(REFERENCE.format(source=source, target=target)).fetchall()[0]
            return int(count)

    return work


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--days", type=int, default=30, help="days in the one request")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=["ours", "reference"], help="measure one of them, in this process")
    return parser.parse_args()


if __name__ == "__main__":
    main()
