"""Batches through `/import`, which may be sent any number of times. Source: mixpanel-api.md#import."""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Generic, Protocol, Self, TypeVar

from mixpanel_etl.client import BadRequest, FailedRecord, Imported, PayloadTooLarge, RecordsRejected, ReplyError
from mixpanel_etl.push.rejected_batches import RejectedBatch
from mixpanel_etl.push.rejected_rows import RejectedRow

_READINGS = 3


class ImportBatch(Protocol):
    """Rows that go into one request."""

    @property
    def count(self) -> int: ...

    def halves(self) -> tuple[Self, Self]: ...

    def without(self, positions: Container[int]) -> Self: ...

    def rejected_row(self, position: int, message: str, field: str = "") -> RejectedRow: ...


B = TypeVar("B", bound=ImportBatch)


class ImportSender(Generic[B]):
    """Sends batches, and finds the rows that Mixpanel does not take.

    Args:
        send: sends one batch.
    """

    def __init__(self, send: Callable[[B], Imported]) -> None:
        self._send = send

    def deliver(self, batch: B) -> list[RejectedRow]:
        """Send a batch, and return the rows that Mixpanel rejected. All others are stored.

        Raises:
            MixpanelError: unknown what is stored, or the request itself was rejected; send it again.
        """
        return self._deliver(batch, RejectedBatch())

    def _deliver(self, batch: B, rejected_batch: RejectedBatch) -> list[RejectedRow]:
        try:
            self._sent(batch)
        except PayloadTooLarge as error:
            if batch.count == 1:
                return [batch.rejected_row(0, error.fact)]
            return self._halved(batch, rejected_batch)
        except RecordsRejected as error:
            return self._rejected(batch, error, rejected_batch)
        except BadRequest as error:
            rejected_batch.check(error, batch.count)
            return [batch.rejected_row(0, error.fact)] if batch.count == 1 else self._halved(batch, rejected_batch)
        rejected_batch.accept()
        return []

    def _rejected(self, batch: B, error: RecordsRejected, rejected_batch: RejectedBatch) -> list[RejectedRow]:
        failed = {record.index: record for record in _of_batch(error, batch.count)}
        rejected = [batch.rejected_row(index, record.message, record.field) for index, record in failed.items()]
        if error.imported:
            rejected_batch.accept()
        if len(failed) == batch.count or error.imported == batch.count - len(failed):
            return rejected
        # Of some rows it says nothing. They are sent by themselves, and count when it says yes to all of them.
        if failed:
            return rejected + self._deliver(batch.without(failed), rejected_batch)
        return [batch.rejected_row(0, error.fact)] if batch.count == 1 else self._halved(batch, rejected_batch)

    def _halved(self, batch: B, rejected_batch: RejectedBatch) -> list[RejectedRow]:
        return [rejected_row for half in batch.halves() for rejected_row in self._deliver(half, rejected_batch)]

    def _sent(self, batch: B) -> None:
        """Send, and again when the answer can't be read: it may have been cut off, and twice does no harm.

        Raises:
            ReplyError: no answer can be read, or it counts other records than were sent, and does not say which.
        """
        for attempt in range(1, _READINGS + 1):
            try:
                imported = self._send(batch).num_records_imported
                if imported != batch.count:
                    message = f"{imported} of {batch.count} records were imported"
                    raise ReplyError(message, endpoint="POST /import", status=200)
            except ReplyError:
                if attempt == _READINGS:
                    raise
            else:
                return


def _of_batch(error: RecordsRejected, count: int) -> list[FailedRecord]:
    """What Mixpanel did not take.

    Raises:
        ReplyError: it names records that the batch does not have, so that it is unknown which are meant.
    """
    strange = [record.index for record in error.failed_records if not 0 <= record.index < count]
    if strange:
        raise ReplyError(f"record {strange[0]} of a batch of {count} was rejected", endpoint=error.endpoint)
    return error.failed_records
