"""Sends updates of profiles in batches, and finds out which rows Mixpanel did not take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mixpanel_etl.client import (
    BadRequest,
    BatchRejected,
    InvalidRequest,
    Mixpanel,
    MixpanelError,
    PayloadTooLarge,
    RecordsRejected,
    ReplyError,
)
from mixpanel_etl.client.ingestion.profile_updates import MAX_UPDATES, encoded
from mixpanel_etl.push.profile_mapping import Update
from mixpanel_etl.push.rejected_batches import RejectedBatch
from mixpanel_etl.push.rejected_rows import RejectedRow

_READINGS = 3  # of a batch whose answer can't be read, where it may be sent twice


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
        if updates + len(item.updates) > MAX_UPDATES:
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

    def deliver(self, batch: Batch) -> list[RejectedRow]:
        """Send a batch, and return the rows that did not arrive, or may not have.

        Raises:
            MixpanelError: nothing of the batch arrived, or it may all be sent again.
        """
        rejected: list[RejectedRow] = []
        items = [item for item in batch.items if item.updates]
        if items:
            self._deliver(items, batch.number, rejected, RejectedBatch())
        return rejected

    def _deliver(
        self, items: list[Item], number: int, rejected: list[RejectedRow], rejected_batch: RejectedBatch
    ) -> None:
        try:
            self._sent([update for item in items for update in item.updates])
        except InvalidRequest:
            good = list(_checked(items, rejected))
            if len(good) == len(items):
                raise
            if good:
                self._deliver(good, number, rejected, rejected_batch)
        except RecordsRejected as error:
            self._rejected(items, error, number, rejected, rejected_batch)
        except (PayloadTooLarge, BatchRejected, BadRequest) as error:
            # Nothing was done, so that halves may be sent, relative ones too.
            if not isinstance(error, PayloadTooLarge):
                rejected_batch.check(error, len(items))
            self._halved(items, error, number, rejected, rejected_batch)
        except MixpanelError as error:
            if not (self._relative and error.may_have_arrived):
                raise
            self._unconfirmed(items, error, number, rejected)
        else:
            rejected_batch.accept()

    def _rejected(
        self,
        items: list[Item],
        error: RecordsRejected,
        number: int,
        rejected: list[RejectedRow],
        rejected_batch: RejectedBatch,
    ) -> None:
        """Some updates were not applied. What the numbers do not cover is sent by itself, or not known to be there."""
        owners = [item for item in items for _ in item.updates]
        if any(not 0 <= record.index < len(owners) for record in error.failed_records):
            raise ReplyError("a record was rejected that the batch does not have", endpoint=error.endpoint)
        failed = {owners[record.index].id: record for record in reversed(error.failed_records)}
        count = Counter(owners[index].id for index in {record.index for record in error.failed_records})
        rest = [item for item in items if item.id not in failed]
        for item in items:
            if item.id in failed:
                # Of several updates of a row some were applied, and must not be again.
                partly = self._relative and count[item.id] < len(item.updates)
                record = failed[item.id]
                rejected.append(_rejected_row(item, record.message, number, field=record.field, unconfirmed=partly))
        if error.imported:
            rejected_batch.accept()
        good = len(owners) - len({record.index for record in error.failed_records})
        if not rest or error.imported in (good, None if failed else good):
            return
        if self._relative and error.imported != 0:
            self._unconfirmed(rest, error, number, rejected)
        elif failed:
            self._deliver(rest, number, rejected, rejected_batch)
        else:
            self._halved(rest, error, number, rejected, rejected_batch)

    def _halved(
        self,
        items: list[Item],
        error: MixpanelError,
        number: int,
        rejected: list[RejectedRow],
        rejected_batch: RejectedBatch,
    ) -> None:
        if len(items) == 1:
            rejected.append(_rejected_row(items[0], error.fact, number))
            return
        middle = len(items) // 2
        for half in (items[:middle], items[middle:]):
            self._deliver(half, number, rejected, rejected_batch)

    def _unconfirmed(self, items: list[Item], error: MixpanelError, number: int, rejected: list[RejectedRow]) -> None:
        message = f"it is not known whether this arrived ({error.fact})"
        rejected += [_rejected_row(item, message, number, unconfirmed=True) for item in items]

    def _sent(self, updates: list[Update]) -> None:
        for attempt in range(1, _READINGS + 1):
            try:
                return self._send(updates)
            except BatchRejected:
                raise
            except ReplyError:
                # The answer can't be read: it may have been cut off.
                if self._relative or attempt == _READINGS:
                    raise
        return None


def reason_to_reject(item: Item) -> str | None:
    """Why an item cannot be sent, as far as we can tell ourselves; None if it can."""
    try:
        encoded(item.updates, token="")
    except InvalidRequest as error:
        return error.message.partition(": ")[2] or error.message
    return None


def _checked(items: list[Item], rejected: list[RejectedRow]) -> Iterator[Item]:
    for item in items:
        reason = reason_to_reject(item)
        if reason is None:
            yield item
        else:
            rejected.append(_rejected_row(item, reason, 0))


def _rejected_row(item: Item, message: str, number: int, *, field: str = "", unconfirmed: bool = False) -> RejectedRow:
    return RejectedRow(item.id, item.row, message, field=field, unconfirmed=unconfirmed, batch=number)
