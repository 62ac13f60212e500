"""A budget shared by several machines through Redis, with the server's clock."""

from __future__ import annotations

import logging
import threading
from functools import partial
from typing import cast

from pyrate_limiter import Rate, RateItem
from pyrate_limiter.buckets.redis_bucket import LuaScript, RedisBucket
from redis import Redis
from redis.exceptions import NoScriptError, RedisError
from redis.lock import Lock

from mixpanel_etl.client.limits.stores import Bucket, Release
from mixpanel_etl.formats import BUDGET_FORMAT, check_format

log = logging.getLogger("mixpanel_etl")

PREFIX = "mixpanel_etl:"
_FORMAT = f"{PREFIX}format"
LEASE = 30.0  # seconds after which the places of a dead process are free again
RENEWAL = 10.0


class ServerClockBucket(RedisBucket):
    """pyrate's bucket, with the one clock that all processes see, and at home in a Redis that was restarted."""

    def now(self) -> int:
        seconds, microseconds = cast(tuple[int, int], self.redis.time())
        return seconds * 1000 + microseconds // 1000

    def put(self, item: RateItem) -> bool:
        try:
            return bool(super().put(item))
        except NoScriptError:
            self.script_hash = cast(str, self.redis.script_load(LuaScript.PUT_ITEM))
            return bool(super().put(item))


class RedisStore:
    """Counts in sorted sets, holds places as Redis locks that a thread renews while the process lives."""

    failures = (RedisError,)

    def __init__(self, url: str) -> None:
        self._redis = Redis.from_url(str(url), socket_timeout=15, socket_connect_timeout=15)
        self._buckets: dict[str, Bucket] = {}
        self._held: set[Lock] = set()
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._renewer: threading.Thread | None = None

    def bucket(self, key: str, rates: list[Rate]) -> Bucket:
        with self._lock:
            if not self._buckets:
                self._redis.set(_FORMAT, BUDGET_FORMAT, nx=True)
                check_format("the budget in Redis", int(cast(bytes, self._redis.get(_FORMAT))), BUDGET_FORMAT)
            if key not in self._buckets:
                self._buckets[key] = cast(Bucket, ServerClockBucket.init(rates, self._redis, PREFIX + key))
        bucket = self._buckets[key]
        bucket.leak(bucket.now())
        return bucket

    def take_place(self, key: str, places: int) -> Release | None:
        for index in range(places):
            lock = Lock(self._redis, f"{PREFIX}{key}.{index}", timeout=LEASE, thread_local=False)
            if lock.acquire(blocking=False):
                self._keep(lock)
                return partial(self._give_back, lock)
        return None

    def close(self) -> None:
        self._closed.set()
        self._redis.close()

    def _keep(self, lock: Lock) -> None:
        with self._lock:
            self._held.add(lock)
            if self._renewer is None:
                self._renewer = threading.Thread(target=self._renew, name="mixpanel_etl places", daemon=True)
                self._renewer.start()

    def _give_back(self, lock: Lock) -> None:
        with self._lock:
            self._held.discard(lock)
        try:
            lock.release()
        except RedisError as error:
            log.warning("a place among concurrent requests was lost while in use (%s)", type(error).__name__)

    def _renew(self) -> None:
        while not self._closed.wait(RENEWAL):
            with self._lock:
                held = tuple(self._held)
            for lock in held:
                try:
                    lock.reacquire()
                except RedisError as error:
                    log.warning("could not renew a place among concurrent requests: %s", type(error).__name__)
