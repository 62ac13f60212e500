"""Rows of a DuckDB table to batches that a local server acknowledges at once.

The server answers without looking, in a process of its own on the same machine. Mixpanel itself accepts 30,000 events a
second; that ceiling is counted here as ever, and raised so that it is not what is measured. Ends with one JSON line.

    python -m benchmarks.push --events 1000000
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import socketserver
import subprocess
import sys
import tempfile
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from benchmarks.measure import report

DATA = Path(__file__).parent / "data"
_TABLE = """
CREATE TABLE orders AS
SELECT
    i AS order_id,
    TIMESTAMPTZ '2026-01-01' + to_seconds(i % 86400) AS ordered_at,
    'customer-' || (i * 7919 % 100003) AS customer,
    round((i * 31 % 100000) / 100, 2) AS amount,
    ['EUR', 'USD', 'JPY'][1 + i % 3] AS currency,
    CASE WHEN i % 4 > 0 THEN ['free', 'pro', 'enterprise'][1 + i % 3] END AS plan,
    (1 + i % 9)::INTEGER AS items,
    i % 5 = 0 AS is_first,
    ['Berlin', 'São Paulo', 'New "York"', 'Tokyo'][1 + i % 4] AS city,
    CASE WHEN i % 3 = 0 THEN 'gift wrapped, to be left with the neighbours' END AS note
FROM range({events}) AS numbers(i)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        _serve()
        return
    table = _made(arguments.events)
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.push", "--serve"], stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        port = server.stdout.readline().strip()
        try:
            report(lambda: _push(table, f"http://127.0.0.1:{port}"))
        finally:
            server.terminate()


def _made(events: int) -> Path:
    """A DuckDB file with a table of ten columns; made once, by another process."""
    path = DATA / f"orders-{events}.duckdb"
    if not path.exists():
        DATA.mkdir(exist_ok=True)
        draft = path.with_suffix(".draft")
        draft.unlink(missing_ok=True)
        script = f"import duckdb; duckdb.connect({str(draft)!r}).execute({_TABLE.format(events=events)!r})"
        subprocess.run([sys.executable, "-c", script], check=True)
        draft.rename(path)
    return path


def _push(table: Path, server: str) -> int:
    from mixpanel_etl.client import Mixpanel
    from mixpanel_etl.client.limits.rates import BUDGETS
    from mixpanel_etl.push.event_mapping import EventMapping
    from mixpanel_etl.push.row_push import RowPush, push_rows
    from mixpanel_etl.settings import Settings
    from mixpanel_etl.warehouse import Warehouse

    limits = BUDGETS["ingestion"]
    raised = tuple(dataclasses.replace(rate, limit=rate.limit * 1_000) for rate in limits.rates)
    BUDGETS["ingestion"] = dataclasses.replace(limits, rates=raised)
    mapping = EventMapping(event="Order placed", time="ordered_at", key=["order_id"], distinct_id="customer")
    with tempfile.TemporaryDirectory(dir=DATA) as folder:
        os.environ |= {
            "MIXPANEL_PROJECT_ID": "1",
            "MIXPANEL_SERVICE_ACCOUNT_USERNAME": "bench.sa",
            "MIXPANEL_SERVICE_ACCOUNT_SECRET": "none",
            "MIXPANEL_BASE_URL": server,
            "MIXPANEL_BUDGET_URL": f"{folder}/budget.sqlite",
        }
        with (
            Mixpanel(Settings.load()) as mixpanel,
            Warehouse(f"duckdb:///{table}?memory_limit=32MB&threads=1").query("FROM orders") as rows,
        ):
            pushed = push_rows(mixpanel, rows, RowPush("orders", mapping, folder), "latest")
    if pushed.rejected or pushed.sent != pushed.rows:
        raise SystemExit(f"not all arrived: {pushed}")
    return pushed.sent


class _Answer(BaseHTTPRequestHandler):
    """Accepts every request."""

    protocol_version = "HTTP/1.1"
    wbufsize = 4096  # head and body in one packet

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        body = b'{"code": 200, "num_records_imported": 2000, "status": "OK"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing: it would cost more than the answer."""


def _serve() -> None:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Answer) as server:
        server.daemon_threads = True
        print(server.server_address[1], flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
