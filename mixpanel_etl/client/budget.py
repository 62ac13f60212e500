"""Rate limits, enforced across processes."""

from __future__ import annotations

from collections.abc import Callable

from mixpanel_etl.client.operations import Request
from mixpanel_etl.client.waiting import Clock
from mixpanel_etl.settings import Settings


class Budgets:
    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings, self._clock = settings, clock

    def acquire(self, request: Request, deadline_at: float) -> Callable[[], None]:
        del request, deadline_at
        return lambda: None

    def close(self) -> None: ...
