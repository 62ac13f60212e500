"""When a request is sent again, and after how long. Source: specification 15; api-facts 13."""

from __future__ import annotations

import logging
import random

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
)

from mixpanel_etl.client.errors import (
    ConnectionFailed,
    IncompleteResponse,
    MixpanelError,
    RateLimited,
    ServerError,
)
from mixpanel_etl.client.waiting import NOTICEABLE, Waiter

log = logging.getLogger("mixpanel_etl")

ATTEMPTS = 8
RETRIED_STATUSES = frozenset({429, 500, 502, 503, 504})
LONGEST_RETRY_AFTER = 3600.0

# Seconds of the first wait and of the longest. The second pair is for an hour that someone else has used up: each
# further try may count, so we wait for a share of it.
BACKOFF = (2.0, 60.0)
HOURLY_BACKOFF = (60.0, 900.0)


def retrying(*, idempotent: bool, deadline_at: float, waiter: Waiter) -> Retrying:
    """A tenacity controller that keeps to the rules; the last error is raised as it is.

    Args:
        idempotent: false for requests that may be sent again only when certainly none of it arrived.
        deadline_at: no attempt begins later than this (on the clock's `monotonic`).
        waiter: how to wait.
    """
    return Retrying(
        retry=retry_if_exception(lambda error: worth_retrying(error, idempotent=idempotent)),
        wait=_wait,
        stop=lambda state: (
            state.attempt_number >= ATTEMPTS or waiter.clock.monotonic() + state.upcoming_sleep > deadline_at
        ),
        sleep=waiter.clock.sleep,
        before_sleep=lambda state: _announce(state, waiter),
        reraise=True,
    )


def worth_retrying(error: BaseException, *, idempotent: bool) -> bool:
    """Whether the same request could succeed a moment later, without doing anything twice."""
    if isinstance(error, ConnectionFailed):
        return not error.hopeless and (idempotent or not error.sent)
    if not idempotent:
        return False
    if isinstance(error, RateLimited | ServerError):
        return error.status in RETRIED_STATUSES
    return isinstance(error, IncompleteResponse)


def _wait(state: RetryCallState) -> float:
    error = _error(state)
    if isinstance(error, RateLimited | ServerError) and error.retry_after is not None:
        # Jitter on top, never below: many processes were told the same moment.
        return min(error.retry_after, LONGEST_RETRY_AFTER) + random.uniform(0, 1)  # noqa: S311
    first, longest = HOURLY_BACKOFF if isinstance(error, RateLimited) and error.hourly else BACKOFF
    least = min(first * 2 ** (state.attempt_number - 1), longest / 2)
    return random.uniform(least, min(2 * least, longest))  # noqa: S311


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
