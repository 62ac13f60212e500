"""The clock of a sandbox: the real time until a test sets another.

Everything that depends on "now" reads it: today's date in project time, the rolling windows of the budgets,
`$mp_api_timestamp_ms`, the five days of `/track`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from threading import Lock


class Clock:
    """A clock that can be set, moved and frozen. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._ahead = timedelta(0)
        self._frozen_at: datetime | None = None

    def now(self) -> datetime:
        """The current time of the sandbox, aware, in UTC."""
        with self._lock:
            return self._now()

    def set(self, timestamp: datetime, *, frozen: bool = False) -> None:
        """Set the current time (aware); it runs on from there unless `frozen`."""
        if timestamp.tzinfo is None:
            raise ValueError(f"timestamp {timestamp!r} has no time zone: pass an aware datetime, such as one in UTC")
        with self._lock:
            self._ahead = timestamp.astimezone(UTC) - datetime.now(UTC)
            self._frozen_at = timestamp.astimezone(UTC) if frozen else None

    def advance(self, by: timedelta) -> None:
        """Move forward (or back, when negative) by a duration; a frozen clock stays frozen."""
        with self._lock:
            self._ahead += by
            if self._frozen_at is not None:
                self._frozen_at += by

    def reset(self) -> None:
        """Return to the real clock."""
        with self._lock:
            self._ahead, self._frozen_at = timedelta(0), None

    @property
    def frozen(self) -> bool:
        return self._frozen_at is not None

    def _now(self) -> datetime:
        return self._frozen_at or datetime.now(UTC) + self._ahead


def iso_utc(timestamp: datetime) -> str:
    """An aware datetime like 2026-01-31T12:00:00Z."""
    return f"{timestamp.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def milliseconds(timestamp: datetime) -> int:
    """Milliseconds since 1970-01-01 UTC of an aware datetime."""
    return round(timestamp.timestamp() * 1000)
