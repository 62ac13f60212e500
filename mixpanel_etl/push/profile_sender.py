"""Sends updates of profiles in batches, and finds out which rows Mixpanel did not take."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mixpanel_etl.client import (
    BadRequest,
    InvalidRequest,
    Mixpanel,
    MixpanelError,
    PayloadTooLarge,
    RecordsRejected,
    ReplyError,
)
from mixpanel_etl.client.profile_updates import MOST_UPDATES, encoded
from mixpanel_etl.push.dead_letters import DeadLetter
from mixpanel_etl.push.profiles import Update


@dataclass(frozen=True)
class Item:
    """One row and its updates, which go into one request."""

    id: str
    row: Mapping[str, Any]
    updates: Sequence[Update]


@dataclass(frozen=True)
class Batch:
    number: int
    items: list[Item]


def batches(items: Iterable[Item]) -> Iterator[Batch]:
    """Items as requests: at most 2,000 updates, a row's never apart."""
    held: list[Item] = []
    updates, number = 0, 1
    for item in items:
        if updates + len(item.updates) > MOST_UPDATES:
            yield Batch(number, held)
            held, updates, number = [], 0, number + 1
        held.append(item)
        updates += len(item.updates)
    if held:
        yield Batch(number, held)


class ProfileSender:
    """Sends batches of updates.

    Args:
        mixpanel: the project.
        groups: they are updates of groups.
        relative: to send one twice may change a profile twice, so none is sent again unless it certainly was not done.
    """

    def __init__(self, mixpanel: Mixpanel, *, groups: bool, relative: bool) -> None:
        self._send: Callable[[Any], None] = mixpanel.ingestion.groups if groups else mixpanel.ingestion.engage
        self._relative = relative

    def deliver(self, batch: Batch) -> list[DeadLetter]:
        """Send a batch: the letters of the rows that did not arrive, or may not have.

        Raises:
            MixpanelError: nothing of the batch arrived, or it may all be sent again.
        """
        letters: list[DeadLetter] = []
        items = [item for item in batch.items if item.updates]
        if items:
            self._deliver(items, batch.number, letters)
        return letters

    def _deliver(self, items: list[Item], number: int, letters: list[DeadLetter]) -> None:
        try:
            self._send([update for item in items for update in item.updates])
        except InvalidRequest:
            good = list(_checked(items, letters))
            if len(good) == len(items):
                raise
            if good:
                self._deliver(good, number, letters)
        except PayloadTooLarge as error:
            if len(items) == 1:
                letters.append(_letter(items[0], error.fact, number))
                return
            middle = len(items) // 2
            self._deliver(items[:middle], number, letters)
            self._deliver(items[middle:], number, letters)
        except RecordsRejected as error:
            letters.extend(_rejected(items, error, number))
        except (BadRequest, ReplyError) as error:
            # Without a word on single records: "one good update is enough for a yes" (api-facts 15, C9).
            unconfirmed = self._relative and error.may_have_arrived
            letters.extend(_letter(item, error.fact, number, unconfirmed=unconfirmed) for item in items)
        except MixpanelError as error:
            if not (self._relative and error.may_have_arrived):
                raise
            message = f"it is not known whether this arrived ({error.fact})"
            letters.extend(_letter(item, message, number, unconfirmed=True) for item in items)


def refused(item: Item) -> str | None:
    """Why an item cannot be sent, as far as we can tell ourselves; None if it can."""
    try:
        encoded(item.updates, token="", endpoint="")
    except InvalidRequest as error:
        return error.message.partition(": ")[2] or error.message
    return None


def _checked(items: list[Item], letters: list[DeadLetter]) -> Iterator[Item]:
    for item in items:
        reason = refused(item)
        if reason is None:
            yield item
        else:
            letters.append(_letter(item, reason, 0))


def _rejected(items: list[Item], error: RecordsRejected, number: int) -> Iterator[DeadLetter]:
    owners = [item for item in items for _ in item.updates]
    told: set[str] = set()
    for record in error.failed_records:
        item = owners[record.index]
        if item.id not in told:
            told.add(item.id)
            yield _letter(item, record.message, number, field=record.field)


def _letter(item: Item, message: str, number: int, *, field: str = "", unconfirmed: bool = False) -> DeadLetter:
    return DeadLetter(item.id, item.row, message, field=field, unconfirmed=unconfirmed, batch=number)
