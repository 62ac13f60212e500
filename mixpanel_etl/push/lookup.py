"""Rows as a lookup table: replaced as a whole, and only when something changed. Specification 6.4; api-facts 4.5."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pyarrow as pa

from mixpanel_etl.client import Clock, InvalidRequest, Mixpanel, RecordsRejected
from mixpanel_etl.client.lookup_tables import as_csv
from mixpanel_etl.lake import Provenance, Table
from mixpanel_etl.push.dead_letters import LATEST, DeadLetter, DeadLetters, dead_letters
from mixpanel_etl.push.errors import PushError, check_columns
from mixpanel_etl.push.profiles import plain
from mixpanel_etl.push.rows import PushedRows

CONTENT = pa.schema([pa.field("digest", pa.string(), nullable=False)])
_SHOWN = 5


@dataclass(frozen=True)
class LookupMapping:
    """How a query becomes a lookup table.

    Attributes:
        table: the table's UUID; Mixpanel's UI makes tables, and `list_lookup_tables` lists them.
        key: the column whose values events and profiles have; never null, never twice.
        columns: the other columns; by default all that the query has.

    Raises:
        PushError: `table` is no UUID.
    """

    table: str
    key: str
    columns: Sequence[str] | None = None

    def __post_init__(self) -> None:
        try:
            UUID(str(self.table))
        except ValueError:
            raise PushError(f"table is {self.table!r}: give the lookup table's UUID, from Mixpanel's UI") from None

    @property
    def named(self) -> list[str]:
        """The columns that are named."""
        return [self.key, *(self.columns or ())]

    @property
    def person_columns(self) -> list[str]:
        """None: a lookup table describes values, not persons."""
        return []

    def of(self, schema: pa.Schema) -> list[str]:
        """The columns of the table, the key first.

        Raises:
            PushError: a column is not there; names it.
        """
        check_columns(self.named, schema.names)
        return [self.key, *(self.columns or (name for name in schema.names if name != self.key))]


@dataclass(frozen=True)
class LookupPush:
    """A push of a lookup table.

    Attributes:
        name: of the push; folder of its tables in the lake (`imports/<name>`, `pushes/<name>`).
        mapping: how the query becomes a table.
        lake: path or URI of the lake.
        clock: the time, for tests to replace.
    """

    name: str
    mapping: LookupMapping
    lake: str
    clock: Clock = field(default_factory=Clock)

    @property
    def content(self) -> Table:
        """A digest of what Mixpanel has."""
        return Table(self.lake, f"pushes/{self.name}", CONTENT, column="snapshot")


def push_lookup(mixpanel: Mixpanel, rows: pa.RecordBatchReader, push: LookupPush, *, run_id: str = "") -> PushedRows:
    """Replace the table, unless it is what it was at the last push. A hundred times a day.

    Returns:
        What was done: all rows were sent, or all were skipped.

    Raises:
        PushError: the mapping does not fit, or rows break the rules of the key. The table is as it was, and the
            rows at fault are the dead letters.
        MixpanelError: Mixpanel refuses the table, or can't be reached. The table is as it was.
    """
    columns = push.mapping.of(rows.schema)
    values = _values(rows, columns)
    provenance = Provenance(requested_at=push.clock.now(), run_id=run_id, project_id=mixpanel.settings.project_id)
    told = PushedRows(rows=len(values))
    with DeadLetters() as letters:
        try:
            letters.add(_broken(values, columns))
            if letters.count:
                raise PushError(
                    f"{letters.count:,} rows break the rules of the key {push.mapping.key!r}, so the table stays as it "
                    f"is: {next(iter(letters.messages))}. They are in {dead_letters(push.lake, push.name).uri}"
                )
            digest = _digest(push, columns, values)
            if _known(push.content, digest):
                told.skipped = told.rows
                return told
            mixpanel.ingestion.replace_lookup_table(push.mapping.table, columns, values)
        except RecordsRejected as error:
            named = [(values[one.index], one) for one in error.failed_records if 0 <= one.index < len(values)]
            letters.add(DeadLetter(str(row[0]), _row(columns, row), one.message, one.field) for row, one in named)
            raise
        finally:
            told.refused, told.messages = letters.count, dict(letters.messages.most_common())
            letters.publish(dead_letters(push.lake, push.name), provenance)
        written = pa.RecordBatch.from_pylist([{"digest": digest}], CONTENT)
        push.content.write(LATEST, [written], provenance)
        told.sent, told.requests = told.rows, 1
    return told


def preview_lookup(rows: pa.RecordBatchReader, push: LookupPush) -> PushedRows:
    """What a push would send and refuse; nothing is.

    Raises:
        PushError: the mapping does not fit the rows.
    """
    columns = push.mapping.of(rows.schema)
    values = _values(rows, columns)
    told = PushedRows(rows=len(values), first=[_row(columns, row) for row in values[:_SHOWN]])
    messages = Counter(letter.message for letter in _broken(values, columns))
    told.refused, told.messages = messages.total(), dict(messages)
    if not told.refused:
        same = _known(push.content, _digest(push, columns, values))
        told.skipped, told.sent = (told.rows, 0) if same else (0, told.rows)
    return told


def _values(rows: pa.RecordBatchReader, columns: Sequence[str]) -> list[list[Any]]:
    return [[plain(row[name]) for name in columns] for batch in rows for row in batch.to_pylist()]


def _broken(values: Sequence[Sequence[Any]], columns: Sequence[str]) -> Iterator[DeadLetter]:
    counts = Counter(str(row[0]) for row in values)
    for row in values:
        if row[0] is None or not str(row[0]).strip():
            yield DeadLetter(None, _row(columns, row), "has no key", field=columns[0])
        elif counts[str(row[0])] > 1:
            yield DeadLetter(str(row[0]), _row(columns, row), "has a key that another row has, too", field=columns[0])


def _digest(push: LookupPush, columns: Sequence[str], values: Sequence[Sequence[Any]]) -> str:
    """Of the table as it is sent, and where to.

    Raises:
        PushError: a value can't be in a lookup table.
    """
    try:
        content = as_csv(columns, values, "")
    except InvalidRequest as error:
        raise PushError(error.message) from None
    return hashlib.sha256(push.mapping.table.encode() + content).hexdigest()


def _known(table: Table, digest: str) -> bool:
    return any(digest in batch.column(0).to_pylist() for batch in table.batches(LATEST))


def _row(columns: Sequence[str], row: Sequence[Any]) -> dict[str, Any]:
    return dict(zip(columns, row, strict=True))
