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
    """A wait that is about to begin.

    Args:
        reason: why, as a sentence.
        seconds: how long it will take, None when that depends on when others finish.
        until: when it will be over (aware, UTC), None likewise.
    """

    reason: str
    seconds: float | None
    until: datetime | None


OnWait = Callable[[Wait], None]


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Clock:
    """The time, and how to let it pass. Tests replace all three together.

    Args:
        sleep: seconds in.
        monotonic: seconds out, for deadlines.
        now: the aware wall-clock time.
    """

    sleep: Callable[[float], None] = time.sleep
    monotonic: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = _utc_now


class Waiter:
    """Lets time pass, having said why when it takes more than a few seconds."""

    def __init__(self, clock: Clock, on_wait: OnWait | None = None) -> None:
        self.clock = clock
        self._on_wait = on_wait

    def wait(self, seconds: float, reason: str) -> None:
        if seconds >= NOTICEABLE:
            self.announce(reason, seconds)
        self.clock.sleep(seconds)

    def announce(self, reason: str, seconds: float | None = None) -> None:
        """Tell the log and `on_wait`; without `seconds` if the end is unknown."""
        until = None if seconds is None else self.clock.now() + timedelta(seconds=seconds)
        if until is None:
            log.info("waiting: %s", reason)
        else:
            log.info("waiting %.0f s, until %s UTC: %s", seconds, until.strftime("%H:%M:%S"), reason)
        if self._on_wait is not None:
            self._on_wait(Wait(reason, seconds, until))
