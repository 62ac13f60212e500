"""When a request is sent again, and after how long. Source: mixpanel-api.md#retries."""

from __future__ import annotations

import logging
import random

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
)

from mixpanel_etl.client.errors import MixpanelError, RateLimited, ServerError
from mixpanel_etl.client.http.waiting import NOTICEABLE, Waiter
from mixpanel_etl.client.operations.operation import Request

log = logging.getLogger("mixpanel_etl")

ATTEMPTS = 8
MAX_RETRY_AFTER = 3600.0

# Seconds of the first and of the longest wait. The second pair is for an hour that other tools have used up: each
# further attempt may count, so the waits are a share of it.
BACKOFF = (2.0, 60.0)
HOURLY_BACKOFF = (60.0, 900.0)


def retrying(request: Request, *, deadline_at: float, waiter: Waiter) -> Retrying:
    """A tenacity controller that keeps to the rules; the last error is raised as it is.

    Args:
        request: the request.
        deadline_at: latest start of an attempt (on the clock's `monotonic`).
        waiter: lets time pass.
    """
    return Retrying(
        retry=retry_if_exception(lambda error: worth_retrying(error, request)),
        wait=_wait,
        stop=lambda state: (
            state.attempt_number >= ATTEMPTS or waiter.clock.monotonic() + state.upcoming_sleep > deadline_at
        ),
        sleep=waiter.clock.sleep,
        before_sleep=lambda state: _announce(state, waiter),
        reraise=True,
    )


def worth_retrying(error: BaseException, request: Request) -> bool:
    """Whether the same request could succeed a little later, without doing anything twice."""
    if not isinstance(error, MixpanelError) or not error.retryable:
        return False
    if error.timed_out and request.divisible:
        return False  # the same request would take as long again: the caller asks for less at a time
    return request.repeatable or not error.may_have_arrived


def _wait(state: RetryCallState) -> float:
    error = _error(state)
    if isinstance(error, RateLimited | ServerError) and error.retry_after is not None:
        # Jitter on top, never below: many processes got the same time.
        return min(error.retry_after, MAX_RETRY_AFTER) + random.uniform(0, 1)  # noqa: S311
    first, longest = HOURLY_BACKOFF if isinstance(error, RateLimited) and error.hourly else BACKOFF
    minimum = min(first * 2 ** (state.attempt_number - 1), longest / 2)
    return random.uniform(minimum, min(2 * minimum, longest))  # noqa: S311


def _announce(state: RetryCallState, waiter: Waiter) -> None:
    error = _error(state)
    fact = error.fact if isinstance(error, MixpanelError) else str(error)
    reason = f"attempt {state.attempt_number} of {ATTEMPTS} failed: {fact}"
    if state.upcoming_sleep >= NOTICEABLE:
        waiter.announce(reason, state.upcoming_sleep)
    else:
        log.info("trying again in %.1f s: %s", state.upcoming_sleep, reason)


def _error(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None
