"""What is to happen at a moment of the sandbox's clock, such as the deletion that a GDPR job ends with.

Nothing runs by itself: what is due happens, in the order of its moments, before the next request is answered and before
the Python API looks. Whoever moves the clock therefore sees the effects at once, and nobody has to wait for a thread.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from datetime import datetime
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threading import RLock

Action = Callable[[], object]


class Agenda:
    """Actions by their moments; each runs once. Everything happens under `lock`, which actions may rely on."""

    def __init__(self, lock: RLock) -> None:
        self._lock = lock
        self._order = count()
        self._waiting: list[tuple[datetime, int, Action]] = []

    def at(self, moment: datetime, action: Action) -> None:
        """Do `action` when the clock has reached `moment` (aware)."""
        with self._lock:
            heapq.heappush(self._waiting, (moment, next(self._order), action))

    def is_due(self, now: datetime) -> bool:
        """Whether `run` would do anything."""
        with self._lock:
            return bool(self._waiting) and self._waiting[0][0] <= now

    def run(self, now: datetime) -> None:
        """Do what is due. Actions may add others."""
        with self._lock:
            while self.is_due(now):
                heapq.heappop(self._waiting)[2]()

    def clear(self) -> None:
        with self._lock:
            self._waiting.clear()
