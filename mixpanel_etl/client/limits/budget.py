"""Keeps the requests of all processes of a deployment within Mixpanel's limits (`limits.BUDGETS`).

Every process counts in the same store, and in the same bucket for the same project, without knowing the others. A wait
is announced; a wait that would outlast the request's deadline is an error at once.
"""

from __future__ import annotations

import hashlib
import math
import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from pyrate_limiter import Rate as BucketRate
from pyrate_limiter import RateItem

from mixpanel_etl.client.errors import BudgetExhausted, BudgetUnavailable, InvalidRequest, located
from mixpanel_etl.client.http.error_mapping import Scrubber
from mixpanel_etl.client.http.waiting import NOTICEABLE, Waiter
from mixpanel_etl.client.limits.rates import BUDGETS, Limits, Rate
from mixpanel_etl.client.limits.stores import Bucket, Release, Store, open_store
from mixpanel_etl.client.operations.operation import Request
from mixpanel_etl.settings import Settings

POLL = (0.05, 1.0)  # seconds between looks for a free place, growing
CONTENTION = (0.01, 0.05)  # seconds until the next try when another process counted in between
#: How long units counted ahead can be used. Less than our windows are longer than Mixpanel's.
AHEAD_SECONDS = 5.0


@dataclass(frozen=True)
class Usage:
    """How much of a budget is used, by all processes that share it.

    Args:
        budget: name in `limits.rates.BUDGETS`.
        unit: counted unit, usually requests.
        used: units counted in the longest window.
        left: units that this window still allows.
        limit: maximum number of units in this window.
        seconds: length of the window in Mixpanel's definition.
        free_at: time of the next free request (aware, UTC): now, unless a window is full.
    """

    budget: str
    unit: str
    used: int
    left: int
    limit: int
    seconds: int
    free_at: datetime


class Budgets:
    """The budgets of one project. Safe to share between threads."""

    def __init__(self, settings: Settings, waiter: Waiter) -> None:
        self._settings = settings
        self._waiter = waiter
        self._store: Store | None = None
        self._lock = threading.Lock()
        self._spent: Counter[str] = Counter()
        self._counting = threading.Lock()
        #: By budget and unit: what is left of what was counted ahead, and until when (monotonic) it can be used.
        self._ahead: dict[tuple[str, str], tuple[int, float]] = {}

    def acquire(self, request: Request, deadline_at: float) -> Release:
        """Wait until a request may be sent. Returns a function to call when its response has been read.

        Raises:
            BudgetExhausted: it would be allowed only after the deadline (on the clock's `monotonic`).
            BudgetUnavailable: the shared state can't be reached; without it nothing is sent.
        """
        held: list[Release] = []
        release = _once(held)
        try:
            with self._reaching_the_store():
                for name in request.operation.budgets:
                    held.append(self._take_place(name, deadline_at))
                self._count(request, deadline_at)
            with self._lock:
                self._spent.update(request.operation.budgets)
        except BaseException:
            release()
            raise
        return release

    def usage(self, name: str) -> Usage:
        """Used and remaining units of a budget."""
        limits = BUDGETS[name]
        with located(name, self._settings.prefix), self._reaching_the_store():
            demand = self._demand(_Cost(name, limits.rates[0].unit, 1))
            longest = max(demand.rates, key=lambda rate: rate.seconds)
            used = min(demand.bucket.count(), longest.limit)
            wait, _ = demand.wait()
        return Usage(
            budget=name,
            unit=longest.unit,
            used=used,
            left=longest.limit - used,
            limit=longest.limit,
            seconds=longest.seconds,
            free_at=self._waiter.clock.now() + timedelta(seconds=wait),
        )

    def spent(self, name: str) -> int:
        """Requests that were sent through this object and counted in a budget."""
        return self._spent[name]

    def key(self, name: str, limits: Limits, unit: str) -> str:
        """Name of a bucket, without secrets, and short enough to be a unique table name in PostgreSQL."""
        owner = self._settings.project_id or "unnamed" if limits.scope == "project" else "organization"
        base_url = self._settings.base_url
        server = hashlib.blake2b(base_url.encode(), digest_size=4).hexdigest() if base_url else self._settings.region
        return f"{name}_{unit.replace(' ', '')}_{owner}_{server}"

    def close(self) -> None:
        if self._store is not None:
            self._store.close()

    def _take_place(self, name: str, deadline_at: float) -> Release:
        limits, clock = BUDGETS[name], self._waiter.clock
        if limits.places is None:
            return lambda: None
        pause, announce_at = POLL[0], clock.monotonic() + NOTICEABLE
        while True:
            release = self._opened().take_place(self.key(name, limits, "places"), limits.places)
            if release is not None:
                return release
            reason = f"all {limits.places} places for concurrent {name} requests of {self._owner(limits)} are taken"
            if clock.monotonic() >= deadline_at:
                raise BudgetExhausted(reason)
            if clock.monotonic() >= announce_at:
                self._waiter.announce(reason)
                announce_at = math.inf
            clock.sleep(pause * random.uniform(0.5, 1))  # noqa: S311
            pause = min(2 * pause, POLL[1])

    def _count(self, request: Request, deadline_at: float) -> None:
        """Count the request in every bucket at once, when all have room."""
        costs = list(_costs(request))
        while True:
            with self._counting:  # threads of one process would only wait for each other at the store
                # Again each time: a bucket may have been replaced while we slept (a deleted or damaged file).
                demands = [self._demand(cost) for cost in costs if not self._covered(cost)]
                wait, full = max((demand.wait() for demand in demands), key=lambda found: found[0], default=(0.0, None))
                if full is None and all(demand.put() for demand in demands):
                    self._use(costs, demands)
                    return
            if full is not None:
                self._wait_for(full, wait, deadline_at)
            else:
                # Another process was faster. What was counted already stays counted: too careful, but never too late.
                self._waiter.clock.sleep(random.uniform(*CONTENTION))  # noqa: S311

    def _covered(self, cost: _Cost) -> bool:
        """Whether enough was counted ahead."""
        left, until = self._ahead.get(cost[:2], (0, 0.0))
        return left >= cost.weight and self._waiter.clock.monotonic() < until

    def _use(self, costs: list[_Cost], demands: list[_Demand]) -> None:
        """Keep what was counted beyond the request for the next ones."""
        until = self._waiter.clock.monotonic() + AHEAD_SECONDS
        for demand in demands:
            self._ahead[demand.name, demand.rates[0].unit] = (demand.weight, until)
        for cost in costs:
            left, until = self._ahead[cost[:2]]
            self._ahead[cost[:2]] = (left - cost.weight, until)

    def _wait_for(self, full: _Full, seconds: float, deadline_at: float) -> None:
        clock = self._waiter.clock
        reason = f"the {full.rate} of {full.owner} ({full.name} budget) are used up"
        if clock.monotonic() + seconds > deadline_at:
            free_at = clock.now() + timedelta(seconds=seconds)
            raise BudgetExhausted(f"{reason}; the next is free at {free_at:%Y-%m-%d %H:%M:%S} UTC", free_at=free_at)
        self._waiter.wait(seconds, reason)

    def _demand(self, cost: _Cost) -> _Demand:
        name, unit, weight = cost
        limits = BUDGETS[name]
        rates = sorted((rate for rate in limits.rates if rate.unit == unit), key=lambda rate: rate.seconds)
        for rate in rates:
            if weight > rate.limit:
                raise InvalidRequest(
                    f"{weight} {unit} in one request are more than Mixpanel allows: {rate}",
                    advice="Send less at a time.",
                )
        bucket = self._opened().bucket(
            self.key(name, limits, unit), [BucketRate(rate.limit, rate.interval_ms) for rate in rates]
        )
        return _Demand(name, self._owner(limits), rates, bucket, max(weight, rates[0].ahead))

    def _owner(self, limits: Limits) -> str:
        if limits.scope == "organization":
            return "the organization"
        return f"project {self._settings.project_id or '(no number set)'}"

    def _opened(self) -> Store:
        with self._lock:
            if self._store is None:
                self._store = open_store(self._settings.budget_location, self._waiter.clock.now)
            return self._store

    def _unavailable(self, error: Exception) -> BudgetUnavailable:
        location = self._settings.budget_location
        password = urlsplit(location).netloc.rpartition("@")[0].partition(":")[2]
        scrub = Scrubber((location if password else "", password, unquote(password)))
        message = scrub("".join(str(error).splitlines()[:1]))
        return BudgetUnavailable(f"{type(error).__name__}: {message}")

    @contextmanager
    def _reaching_the_store(self) -> Iterator[None]:
        failure: BudgetUnavailable
        try:
            failures = self._opened().failures
        except (ImportError, ValueError, OSError) as error:
            failure = self._unavailable(error)
        else:
            try:
                yield
                return
            except failures as error:
                failure = self._unavailable(error)
        # Out here: the original would carry the store's URL, with its password, along.
        raise failure from None


class _Cost(NamedTuple):
    """Units that a request takes from one bucket."""

    budget: str
    unit: str
    weight: int


def _costs(request: Request) -> Iterator[_Cost]:
    for name in request.operation.budgets:
        for unit in dict.fromkeys(rate.unit for rate in BUDGETS[name].rates):
            weight = 1 if unit == "requests" else request.cost.get(unit, 0)
            if weight:
                yield _Cost(name, unit, weight)


@dataclass(frozen=True)
class _Full:
    name: str
    owner: str
    rate: Rate


@dataclass(frozen=True)
class _Demand:
    """`weight` units that a request wants from one bucket."""

    name: str
    owner: str
    rates: list[Rate]
    bucket: Bucket
    weight: int

    def wait(self) -> tuple[float, _Full | None]:
        """Seconds until there is room under every rate, and the rate that takes longest."""
        now = self.bucket.now()
        longest, full = 0, None
        for rate in self.rates:
            # The entry that has to grow old before `weight` more fit, counted from the newest.
            blocking = self.bucket.peek(rate.limit - self.weight)
            wait = blocking.timestamp + rate.interval_ms - now + 1 if blocking else 0
            if wait > longest:
                longest, full = wait, _Full(self.name, self.owner, rate)
        return longest / 1000, full

    def put(self) -> bool:
        """Count them, if there is still room: other processes may have been faster."""
        return self.bucket.put(RateItem(self.name, self.bucket.now(), self.weight))


def _once(held: list[Release]) -> Release:
    def release() -> None:
        while held:
            held.pop()()

    return release
