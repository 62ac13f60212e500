"""What tests run in processes of their own: `python worker.py <what> <arguments as JSON>`."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

from mixpanel_etl.client import BudgetExhausted, Mixpanel
from mixpanel_etl.client.limits.stores import open_store
from mixpanel_etl.settings import Settings


def query(settings: dict[str, Any], times: int) -> None:
    """Ask for event names repeatedly; print how often the budget allowed it, and how often it did not."""
    done = exhausted = 0
    with Mixpanel(Settings(_env_file=None, **settings), deadline=60) as mixpanel:
        for _ in range(times):
            try:
                mixpanel.query.event_names()
                done += 1
            except BudgetExhausted:
                exhausted += 1
    print(json.dumps([done, exhausted]))  # noqa: T201


def export(settings: dict[str, Any], times: int) -> None:
    """Export one day repeatedly."""
    with Mixpanel(Settings(_env_file=None, **settings)) as mixpanel:
        for _ in range(times):
            with mixpanel.export(date(2026, 1, 1), date(2026, 1, 1)) as stream:
                for _ in stream:
                    pass


def hold_place(location: str, key: str, places: int) -> None:
    """Take a place, say so, and keep it until killed."""
    release = open_store(location, lambda: datetime.now(UTC)).take_place(key, places)
    print("taken" if release else "all taken", flush=True)  # noqa: T201
    threading.Event().wait()


if __name__ == "__main__":
    jobs: dict[str, Callable[..., None]] = {"query": query, "export": export, "hold_place": hold_place}
    jobs[sys.argv[1]](*json.loads(sys.argv[2]))
