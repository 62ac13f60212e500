"""Batches on their way: several at a time, told of in their order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from mixpanel_etl.client import MixpanelError
from mixpanel_etl.push.rejected_rows import RejectedRow

IN_FLIGHT = 10

B = TypeVar("B")


@dataclass(frozen=True)
class Delivery(Generic[B]):
    """What became of a batch.

    Attributes:
        batch: which one.
        rejected: rows that did not arrive, or may not have.
        error: why none of it counts as arrived: the push cannot go on.
    """

    batch: B
    rejected: list[RejectedRow]
    error: MixpanelError | None = None


def deliver_all(
    batches: Iterable[B], deliver: Callable[[B], list[RejectedRow]], in_flight: int = IN_FLIGHT
) -> Iterator[Delivery[B]]:
    """Send batches, several at a time. After the first error none is begun any more.

    Args:
        batches: made when there is a place for them, so that no more are held than are on their way.
        deliver: sends one, and returns the rows that did not arrive.
        in_flight: how many at a time.
    """
    pending: deque[tuple[B, Future[list[RejectedRow]]]] = deque()
    failed = False
    with ThreadPoolExecutor(in_flight, thread_name_prefix="push") as pool:
        for batch in batches:
            pending.append((batch, pool.submit(deliver, batch)))
            if len(pending) >= in_flight:
                delivery = _delivery(*pending.popleft())
                failed = delivery.error is not None
                yield delivery
            if failed:
                break
        while pending:
            yield _delivery(*pending.popleft())


def _delivery(batch: B, future: Future[list[RejectedRow]]) -> Delivery[B]:
    try:
        return Delivery(batch, future.result())
    except MixpanelError as error:
        return Delivery(batch, [], error)
