"""Waiting for other processes: with growing pauses, announced in the log, and never without an end."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from logging import getLogger

log = getLogger("mixpanel_etl")

NOTICEABLE = 2.0  # seconds; a shorter wait is not worth a line in a log
PAUSES = (0.005, 1.0)  # seconds between two tries, growing


def tries(seconds: float, reason: Callable[[], str]) -> Iterator[None]:
    """Yield once for each try, until the time is over; the first one comes at once.

    Args:
        seconds: how long to go on.
        reason: says what is waited for and who has it, for the log.
    """
    begun, pause, announced = time.monotonic(), PAUSES[0], False
    while True:
        yield
        waited = time.monotonic() - begun
        if waited >= NOTICEABLE and not announced:
            log.warning("waiting (at most %.0f s): %s", seconds, reason())
            announced = True
        if waited >= seconds:
            return
        time.sleep(min(pause * random.uniform(0.5, 1), seconds - waited))  # noqa: S311
        pause = min(1.5 * pause, PAUSES[1])
