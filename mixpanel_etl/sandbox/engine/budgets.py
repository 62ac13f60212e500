"""Rate limits per project, in windows that roll with the sandbox's clock. Source: mixpanel-api.md#rate-limits."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Callable, Hashable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from threading import Lock
from typing import Literal, NamedTuple

from mixpanel_etl.sandbox.engine.clock import Clock
from mixpanel_etl.sandbox.engine.projects import Project, RetryAfter
from mixpanel_etl.sandbox.engine.responses import ApiError

Family = Literal["export", "query", "jql"]
Release = Callable[[], None]

MAX_INGESTION_BYTES_PER_MINUTE = 2_000_000_000
MAX_INGESTION_EVENTS_PER_MINUTE = 30_000 * 60
INGESTION_TEXT = "Project exceeded rate limits. Please retry the request with exponential backoff."


class Limits(NamedTuple):
    """Requests an hour, requests a second, requests at once."""

    per_hour: int
    per_second: int
    concurrent: int


class Usage(NamedTuple):
    """Requests admitted in the last hour, and how many are being answered now."""

    in_last_hour: int
    running: int


class RateLimit(NamedTuple):
    """At most `maximum` requests or items within `per`; `error_text` is the text of a 429."""

    name: str
    maximum: int
    per: timedelta
    error_text: str


LIMITS: dict[Family, Limits] = {
    "export": Limits(60, 3, 100),
    "query": Limits(60, 60, 5),
    "jql": Limits(60, 60, 5),  # each also counts as a query
}


class Budgets:
    """Usage of the budgets by project. A rejected request uses nothing (invented; undocumented)."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = Lock()
        self._admitted: dict[tuple[int, Family], deque[datetime]] = defaultdict(deque)
        self._running: dict[tuple[int, Family], int] = defaultdict(int)
        self._ingested: dict[int, deque[tuple[datetime, int, int]]] = defaultdict(deque)
        self._spent: dict[tuple[str, Hashable], deque[tuple[datetime, int]]] = defaultdict(deque)

    def enter(self, project: Project, *families: Family) -> Release:
        """Admit a request to all families or to none; call the result when the last byte of the response is sent.

        Raises ApiError 429.
        """
        keys = [(project.project_id, family) for family in families]
        with self._lock:
            now = self._clock.now()
            if project.enforce_budgets:
                for family in families:
                    self._check(project, family, now)
            for key in keys:
                self._admitted[key].append(now)
                self._running[key] += 1
        return lambda: self._leave(keys)

    def ingest(self, project: Project, size: int, events: int) -> None:
        """Count an ingestion request: uncompressed bytes, and events (valid or not). Raises ApiError 429."""
        with self._lock:
            now = self._clock.now()
            used = self._ingested[project.project_id]
            while used and used[0][0] <= now - timedelta(minutes=1):
                used.popleft()
            too_many = sum(entry[2] for entry in used) + events > MAX_INGESTION_EVENTS_PER_MINUTE
            too_large = sum(entry[1] for entry in used) + size > MAX_INGESTION_BYTES_PER_MINUTE
            if project.enforce_budgets and used and (too_many or too_large):
                wait = used[0][0] + timedelta(minutes=1) - now
                raise ApiError(429, INGESTION_TEXT, retry_after_header(project.retry_after, wait.total_seconds()))
            used.append((now, size, events))

    def spend(self, limit: RateLimit, project: Project, *, scope: Hashable = None, amount: int = 1) -> None:
        """Count `amount` against a limit of `scope`, by default the project. Raises ApiError 429."""
        with self._lock:
            now = self._clock.now()
            spent = self._spent[limit.name, project.project_id if scope is None else scope]
            while spent and spent[0][0] <= now - limit.per:
                spent.popleft()
            if project.enforce_budgets and sum(entry[1] for entry in spent) + amount > limit.maximum:
                wait = spent[0][0] + limit.per - now if spent else limit.per
                raise ApiError(429, limit.error_text, retry_after_header(project.retry_after, wait.total_seconds()))
            spent.append((now, amount))

    def usage(self, project_id: int, family: Family) -> Usage:
        with self._lock:
            in_last_hour = self._in_last_hour(project_id, family, self._clock.now())
            return Usage(len(in_last_hour), self._running[project_id, family])

    def reset(self) -> None:
        """Forget all usage, as if an hour had passed."""
        with self._lock:
            self._admitted.clear()
            self._ingested.clear()
            self._spent.clear()

    def _check(self, project: Project, family: Family, now: datetime) -> None:
        limits = LIMITS[family]
        admitted = self._in_last_hour(project.project_id, family, now)
        running = self._running[project.project_id, family]
        in_last_second = sum(timestamp > now - timedelta(seconds=1) for timestamp in admitted)
        wait = None
        if len(admitted) >= limits.per_hour:
            wait = admitted[0] + timedelta(hours=1) - now
        elif in_last_second >= limits.per_second or running >= limits.concurrent:
            wait = timedelta(seconds=1)
        if wait is not None:
            text = query_limit_text(project.project_id, running + 1, len(admitted) + 1, limits)
            raise ApiError(429, text, retry_after_header(project.retry_after, wait.total_seconds()))

    def _in_last_hour(self, project_id: int, family: Family, now: datetime) -> deque[datetime]:
        admitted = self._admitted[project_id, family]
        while admitted and admitted[0] <= now - timedelta(hours=1):
            admitted.popleft()
        return admitted

    def _leave(self, keys: list[tuple[int, Family]]) -> None:
        with self._lock:
            for key in keys:
                self._running[key] -= 1


def query_limit_text(project_id: int, running: int, in_hour: int, limits: Limits) -> str:
    """The body of a 429 as observed on the Query API (mixpanel-api.md#rate-limits)."""
    return (
        f"Query rate limit exceeded for project_id: {project_id}. "
        f"{running}/{limits.concurrent} queries running concurrently and "
        f"{in_hour}/{limits.per_hour} queries running in the last hour."
    )


def retry_after_header(form: RetryAfter | None, seconds: float) -> dict[str, str]:
    """`Retry-After` in a form, or no header. A date is by the real clock, which is the client's."""
    wait = max(1, math.ceil(seconds))
    if form == "seconds":
        return {"Retry-After": str(wait)}
    if form == "date":
        return {"Retry-After": format_datetime(datetime.now(UTC) + timedelta(seconds=wait), usegmt=True)}
    return {}
