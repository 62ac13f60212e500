"""Waiting that can be seen, bounded and, in tests, skipped."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

log = logging.getLogger("mixpanel_etl")

NOTICEABLE = 3.0  # seconds; a shorter wait is not worth a line in a log


@dataclass(frozen=True)
class Wait:
    """A wait that is about to begin: why, for how many seconds, and when it ends (aware, UTC).

    `until` is the end as far as it is known: it can take longer where other processes compete.
    """

    reason: str
    seconds: float
    until: datetime


OnWait = Callable[[Wait], None]


@dataclass(frozen=True)
class Clock:
    """Sleeps and measures. `monotonic` and `sleep` go together: tests replace both."""

    sleep: Callable[[float], None] = time.sleep
    monotonic: Callable[[], float] = time.monotonic
    on_wait: OnWait | None = None

    def wait(self, seconds: float, reason: str, *, quiet: bool = False) -> None:
        """Sleep, having told the log and `on_wait` why, when it takes more than a few seconds."""
        if seconds >= NOTICEABLE and not quiet:
            self.announce(seconds, reason)
        self.sleep(seconds)

    def announce(self, seconds: float, reason: str) -> None:
        until = datetime.now(UTC) + timedelta(seconds=seconds)
        log.info("waiting %.0f s, until %s UTC: %s", seconds, until.strftime("%H:%M:%S"), reason)
        if self.on_wait is not None:
            self.on_wait(Wait(reason, seconds, until))
