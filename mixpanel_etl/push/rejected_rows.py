"""Rows that Mixpanel rejected, or that were rejected before they were sent: a table, replaced by each push."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BufferedRandom
from typing import Any

import msgspec
import pyarrow as pa

from mixpanel_etl.lake import Partition, Provenance, Table
from mixpanel_etl.lake.person_columns import declare_persons

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string()),
        pa.field("row", pa.string(), nullable=False),
        pa.field("field", pa.string(), nullable=False),
        pa.field("message", pa.string(), nullable=False),
        pa.field("unconfirmed", pa.bool_(), nullable=False),
        pa.field("batch", pa.int64(), nullable=False),
        pa.field("rejected_at", pa.timestamp("ms", "UTC"), nullable=False),
    ]
)
DESCRIPTIONS = {
    "id": "Id of the row, from the column that the mapping names.",
    "row": "The row, as JSON.",
    "field": "Field that caused the rejection, if known.",
    "message": "Reason of the rejection, in Mixpanel's words if it gave any.",
    "unconfirmed": "Whether Mixpanel may have stored the row: the answer was lost, and sending it again could apply it "
    "twice.",
    "batch": "Number of the request within the push, from 1; 0 when the row was rejected before it was sent.",
    "rejected_at": "Time of the rejection (UTC).",
}
_PART = "part"
LATEST = "latest"  # part of pushes without partitions
_MAX_HELD = 1_000


@dataclass(frozen=True)
class RejectedRow:
    """One row, and the reason of its rejection."""

    id: str | None
    row: Mapping[str, Any]
    message: str
    field: str = ""
    unconfirmed: bool = False
    batch: int = 0
    rejected_at: datetime = dataclasses.field(default_factory=lambda: datetime.now(UTC))

    def plain(self) -> dict[str, Any]:
        """The row of the table."""
        row = {name: value for name, value in self.row.items() if not name.startswith("$")}
        known = {name: getattr(self, name) for name in SCHEMA.names}
        return {**known, "row": msgspec.json.encode(row, enc_hook=str).decode()}


def rejected_rows(lake: str, push: str, person_columns: Collection[str] = (), *, by_person: bool = False) -> Table:
    """The table of a push: `rejected/<push>/part=<partition>/data.parquet`.

    Args:
        lake: path or URI of the lake.
        push: name of the push.
        person_columns: columns of the query that hold ids of persons; erasures read them in the schema, at `row`.
        by_person: whether `id` is the id of a person.
    """
    declared = {"id": declare_persons(SCHEMA.field("id"))} if by_person else {}
    declared |= {"row": declare_persons(SCHEMA.field("row"), person_columns)} if person_columns else {}
    schema = pa.schema([declared.get(field.name, field) for field in SCHEMA])
    return Table(lake, f"rejected/{push}", schema, column=_PART)


class RejectedRows:
    """The rejected rows of one push, kept in the lake's scratch until they are published. Use it as a context manager.

    Args:
        table: where they are published.
    """

    def __init__(self, table: Table) -> None:
        self._table = table
        self.count = 0
        self.messages: Counter[str] = Counter()
        self._held: list[dict[str, Any]] = []
        self._file = BufferedRandom(table.storage.scratch())  # type: ignore[arg-type] # a raw file
        self._writer = pa.ipc.new_stream(self._file, SCHEMA)

    def __enter__(self) -> RejectedRows:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()
        self._file.close()

    def add(self, rejected: Iterable[RejectedRow]) -> None:
        for rejected_row in rejected:
            self.count += 1
            if rejected_row.message in self.messages or len(self.messages) < _MAX_HELD:
                self.messages[rejected_row.message] += 1
            self._held.append(rejected_row.plain())
            if len(self._held) == _MAX_HELD:
                self._spill()

    def publish(self, provenance: Provenance, part: str = LATEST) -> Partition:
        """Replace the rows of a part of the table, which are those of the last push."""
        self._spill()
        self._writer.close()
        self._file.seek(0)
        return self._table.write(part, pa.ipc.open_stream(self._file), provenance)

    def _spill(self) -> None:
        self._writer.write_batch(pa.RecordBatch.from_pylist(self._held, SCHEMA))
        self._held = []


def unconfirmed_rows(table: Table) -> Iterator[RejectedRow]:
    """Rows of the last push that may have arrived."""
    import polars as pl

    for known in table.scan([LATEST]).filter(pl.col("unconfirmed")).drop(_PART).collect().iter_rows(named=True):
        yield RejectedRow(**{**known, "row": msgspec.json.decode(known["row"])})
