"""Rows that Mixpanel did not take, or that were refused before: a table in the lake, replaced by each push."""

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
from mixpanel_etl.lake.person_columns import of_persons

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string()),
        pa.field("row", pa.string(), nullable=False),
        pa.field("field", pa.string(), nullable=False),
        pa.field("message", pa.string(), nullable=False),
        pa.field("unconfirmed", pa.bool_(), nullable=False),
        pa.field("batch", pa.int64(), nullable=False),
        pa.field("refused_at", pa.timestamp("ms", "UTC"), nullable=False),
    ]
)
DESCRIPTIONS = {
    "id": "Of the row, as the mapping names it.",
    "row": "The row, as JSON.",
    "field": "What is at fault, where that is known.",
    "message": "Why the row was refused, in Mixpanel's words where it used any.",
    "unconfirmed": "Whether Mixpanel may have taken it all the same: the answer was lost, and to send it again could "
    "do it twice.",
    "batch": "Number of the request within the push, from 1; 0 when it was refused before.",
    "refused_at": "When (UTC).",
}
_PART = "part"
LATEST = "latest"  # part of pushes without partitions
_HELD = 1_000


@dataclass(frozen=True)
class DeadLetter:
    """One row, and why it was not taken."""

    id: str | None
    row: Mapping[str, Any]
    message: str
    field: str = ""
    unconfirmed: bool = False
    batch: int = 0
    refused_at: datetime = dataclasses.field(default_factory=lambda: datetime.now(UTC))

    def plain(self) -> dict[str, Any]:
        """As the table has it."""
        row = {name: value for name, value in self.row.items() if not name.startswith("$")}
        known = {name: getattr(self, name) for name in SCHEMA.names}
        return {**known, "row": msgspec.json.encode(row, enc_hook=str).decode()}


def dead_letters(lake: str, push: str, person_columns: Collection[str] = (), *, by_person: bool = False) -> Table:
    """The table of a push: `imports/<push>/part=<partition>/data.parquet`.

    Args:
        lake: path or URI of the lake.
        push: its name.
        person_columns: columns of the query that say whose a row is; the schema says so of `row`, for erasures.
        by_person: whether `id` is the person of the row.
    """
    declared = {"id": of_persons(SCHEMA.field("id"))} if by_person else {}
    declared |= {"row": of_persons(SCHEMA.field("row"), person_columns)} if person_columns else {}
    schema = pa.schema([declared.get(field.name, field) for field in SCHEMA])
    return Table(lake, f"imports/{push}", schema, column=_PART)


class DeadLetters:
    """The dead letters of one push, kept in the lake's scratch until they are published. Use it as a context manager.

    Args:
        table: in which they are published.
    """

    def __init__(self, table: Table) -> None:
        self._table = table
        self.count = 0
        self.messages: Counter[str] = Counter()
        self._held: list[dict[str, Any]] = []
        self._file = BufferedRandom(table.storage.scratch())  # type: ignore[arg-type] # a raw file
        self._writer = pa.ipc.new_stream(self._file, SCHEMA)

    def __enter__(self) -> DeadLetters:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()
        self._file.close()

    def add(self, letters: Iterable[DeadLetter]) -> None:
        for letter in letters:
            self.count += 1
            if letter.message in self.messages or len(self.messages) < _HELD:
                self.messages[letter.message] += 1
            self._held.append(letter.plain())
            if len(self._held) == _HELD:
                self._spill()

    def publish(self, provenance: Provenance, part: str = LATEST) -> Partition:
        """Make them the rows of a part of their table, instead of those of the last push."""
        self._spill()
        self._writer.close()
        self._file.seek(0)
        return self._table.write(part, pa.ipc.open_stream(self._file), provenance)

    def _spill(self) -> None:
        self._writer.write_batch(pa.RecordBatch.from_pylist(self._held, SCHEMA))
        self._held = []


def unconfirmed_letters(table: Table) -> Iterator[DeadLetter]:
    """Those of the last push of which nobody knows whether they arrived."""
    import polars as pl

    for known in table.scan([LATEST]).filter(pl.col("unconfirmed")).drop(_PART).collect().iter_rows(named=True):
        yield DeadLetter(**{**known, "row": msgspec.json.decode(known["row"])})
