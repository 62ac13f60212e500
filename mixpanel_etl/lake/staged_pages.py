"""Pages of a partition that arrive one by one, kept until all are there: each costs a query of the hour's 60."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mixpanel_etl.lake.errors import WriteConflict
from mixpanel_etl.lake.provenance import Provenance, read_record
from mixpanel_etl.lake.publication import publish
from mixpanel_etl.lake.storage import ABSENT
from mixpanel_etl.lake.table import Table, write_parquet

_FOLDER = "_pages"  # engines skip folders that begin with an underscore


@dataclass
class Pages:
    """What one question has been answered so far: `<table>/_pages/<question>/<number>.parquet`.

    Each page is published in one step, and found again after a run that was killed. They have the table's columns, so
    that an erasure finds the persons in them as it does in the table itself.

    Attributes:
        table: that the rows are for.
        key: of the partition that they are for.
        question: what tells it from others, as JSON can hold it.
        number: how many pages are there.
        rows: how many rows they have together.
        session: under which Mixpanel knows them; empty before the first.
        complete: whether the last one is there.
        received: number of rows that Mixpanel sent; more than `rows` where suppressed persons were left out.
        total: number of rows that Mixpanel said there are; None where it did not say.
        requested_at: when the first one was asked for.
    """

    table: Table
    key: str
    question: Mapping[str, Any]
    number: int = field(init=False, default=0)
    rows: int = field(init=False, default=0)
    session: str = field(init=False, default="")
    complete: bool = field(init=False, default=False)
    received: int = field(init=False, default=0)
    total: int | None = field(init=False, default=None)
    requested_at: datetime | None = field(init=False, default=None)
    _left: dict[str, str] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        present = set(self._names())
        for name in map(self._file, count()):
            if name not in present:
                return
            footer = self.table.storage.read_with(name, pq.read_metadata)
            record = read_record(footer)
            begun = datetime.fromisoformat(record["begun"])
            if self.requested_at not in (None, begun):  # of an answer that another run began
                left = sorted(present)[self.number :]
                self._left = {other: self.table.storage.version(other) for other in left}
                return
            self._note(footer.num_rows, record["session"], begun, last=record["last"])
            self.received, self.total = record.get("received", self.rows), record.get("total")

    @property
    def folder(self) -> str:
        # Other columns are another question: what was kept without them has to be asked for again.
        asked = json.dumps([self.key, self.question, self.table.schema.to_string()], sort_keys=True, default=str)
        return f"{self.table.name}/{_FOLDER}/{hashlib.blake2b(asked.encode(), digest_size=8).hexdigest()}"

    def keep(
        self, rows: pa.RecordBatch, session: str, requested_at: datetime, *, last: bool, total: int | None = None
    ) -> None:
        """Publish the next page.

        Args:
            rows: in the table's schema.
            session: as Mixpanel named it with this page.
            requested_at: when it was asked for.
            last: whether no page follows.
            total: number of rows of all pages, where Mixpanel says it.

        Raises:
            WriteConflict: another run asks the same question at the same time.
        """
        begun, received = self.requested_at or requested_at, self.received + rows.num_rows
        record = {"session": session, "begun": begun.isoformat(), "last": last, "received": received, "total": total}
        store, name = self.table.storage, self._file(self.number)
        with store.draft("page") as draft:
            provenance = Provenance(requested_at=requested_at, request=record)
            write_parquet(draft.path, [rows], self.table.schema, provenance)
            publish(store, draft, name, self._left.get(name, ABSENT))
        kept = store.read_with(name, pq.read_metadata).num_rows
        self._note(kept, session, begun, last=last)
        self.received, self.total = received, total

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows of all pages, a page at a time."""
        for number in range(self.number):
            with self.table.storage.snapshot(self._file(number)) as handle, pq.ParquetFile(handle) as file:
                if datetime.fromisoformat(read_record(file.metadata)["begun"]) != self.requested_at:
                    raise WriteConflict(self.table.storage.uri(self._file(number)))
                yield from file.iter_batches()

    def discard(self) -> None:
        """Remove them, the last one first, so that an interrupted removal leaves the beginning of an answer."""
        for name in reversed(self._names()):
            self.table.storage.remove(name)
        self.number, self.rows, self.session, self.complete, self.requested_at = 0, 0, "", False, None
        self.received, self.total = 0, None

    def _note(self, rows: int, session: str, begun: datetime, *, last: bool) -> None:
        self.number, self.rows = self.number + 1, self.rows + rows
        self.session, self.complete, self.requested_at = session, last, begun

    def _names(self) -> list[str]:
        return self.table.storage.names(self.folder, ".parquet")

    def _file(self, number: int) -> str:
        return f"{self.folder}/{number:06}.parquet"


def discard_others(table: Table, wanted: Iterable[Pages]) -> None:
    """Remove the pages of all questions except these: they are of another day, or not asked any more."""
    folders = tuple(f"{pages.folder}/" for pages in wanted)
    for name in table.storage.names(f"{table.name}/{_FOLDER}", ".parquet"):
        if not name.startswith(folders):
            table.storage.remove(name)
