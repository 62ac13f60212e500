"""Actions scheduled by the sandbox's clock, such as the deletion that a GDPR job ends with.

There is no background thread: due actions run in the order of their timestamps, before the next request is answered
and before the Python API reads state. A test that moves the clock therefore sees the effects at once.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from datetime import datetime
from itertools import count
from threading import RLock

Action = Callable[[], object]


class Scheduler:
    """Actions by timestamp; each runs once, while `lock` is held."""

    def __init__(self, lock: RLock) -> None:
        self._lock = lock
        self._order = count()
        self._waiting: list[tuple[datetime, int, Action]] = []

    def schedule(self, timestamp: datetime, action: Action) -> None:
        """Run `action` when the clock has reached `timestamp` (aware)."""
        with self._lock:
            heapq.heappush(self._waiting, (timestamp, next(self._order), action))

    def is_due(self, now: datetime) -> bool:
        """Whether `run_due` has an action to run."""
        with self._lock:
            return bool(self._waiting) and self._waiting[0][0] <= now

    def run_due(self, now: datetime) -> None:
        """Run what is due. Actions may schedule others."""
        with self._lock:
            while self.is_due(now):
                heapq.heappop(self._waiting)[2]()

    def clear(self) -> None:
        with self._lock:
            self._waiting.clear()
