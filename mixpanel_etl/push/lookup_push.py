"""Rows as a lookup table, which is replaced as a whole, and only when something in it changed.

Source: mixpanel-api.md#lookup-tables. A replacement that is sent twice is the same table, so a push that was killed
is simply run again. Of the hundred replacements that Mixpanel allows a day none is spent on a table that is as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pyarrow as pa

from mixpanel_etl.client import Clock, Mixpanel, RecordsRejected
from mixpanel_etl.lake import Provenance, Table
from mixpanel_etl.lake.leases import lease
from mixpanel_etl.lake.storage import storage
from mixpanel_etl.push.profile_mapping import plain
from mixpanel_etl.push.profile_push import MAX_VANISHED, PREVIEW_ROWS, Pushed
from mixpanel_etl.push.push_error import PushError, check_columns
from mixpanel_etl.push.rejected_rows import LATEST, RejectedRow, RejectedRows, rejected_rows
from mixpanel_etl.push.row_changes import SNAPSHOT, Changes, Previous, compared
from mixpanel_etl.warehouse import NumberType


@dataclass(frozen=True)
class LookupMapping:
    """How the columns of a query become those of a lookup table.

    Attributes:
        table: the UUID of the table, which is created in Mixpanel's UI (`ingestion.list_lookup_tables` has it).
        key: the column whose values are those of the property that the table explains; each once.
        columns: the other columns, under whose names reports show them; by default all that the query has.

    Raises:
        PushError: the table's id is not a UUID.
    """

    table: str
    key: str
    columns: Sequence[str] | None = None

    def __post_init__(self) -> None:
        try:
            UUID(self.table)
        except ValueError:
            raise PushError(f"table is {self.table!r}: give the UUID that Mixpanel shows of the lookup table") from None

    def of(self, schema: pa.Schema) -> LookupMapping:
        """The mapping with all columns named.

        Raises:
            PushError: a column is not there, or of a type that a lookup table cannot hold; names it.
        """
        check_columns(self.named, schema.names)
        full = self if self.columns is not None else replace(self, columns=schema.names)
        for column in full.named:
            kind = schema.field(column).type
            if not _fits(kind):
                raise PushError(f"column {column!r} is a {kind}, which no lookup table holds: cast it in the query")
            if pa.types.is_timestamp(kind) and kind.tz is None:
                raise PushError(f"column {column!r} has no time zone: cast it to a timestamp with one in the query")
        return full

    @property
    def named(self) -> list[str]:
        """The columns that are named, the key first: of a mapping with all of them, those of the table."""
        return list(dict.fromkeys([self.key, *(self.columns or ())]))

    @property
    def person_columns(self) -> list[str]:
        """None: Mixpanel does not delete rows of lookup tables with a person."""
        return []

    @property
    def text(self) -> str:
        """What the table depends on beside the rows."""
        return msgspec.json.encode([str(UUID(self.table)), self.named]).decode()


@dataclass(frozen=True)
class LookupPush:
    """A push of a lookup table.

    Attributes:
        name: of the push; folder of its tables in the lake (`pushes/<name>`, `rejected/<name>`).
        mapping: how rows become those of the table.
        lake: path or URI of the lake.
        clock: the time, for tests to replace.
    """

    name: str
    mapping: LookupMapping
    lake: str
    clock: Clock = field(default_factory=Clock)

    @property
    def snapshot(self) -> Table:
        """What Mixpanel has: key and hash of each row."""
        return Table(self.lake, f"pushes/{self.name}", SNAPSHOT, column="snapshot")

    @property
    def rejected_rows(self) -> Table:
        return rejected_rows(self.lake, self.name)


def push_lookup(
    mixpanel: Mixpanel,
    rows: pa.RecordBatchReader,
    push: LookupPush,
    *,
    run_id: str = "",
    allow_shrink: bool = False,
    on_progress: Callable[[Pushed], None] = lambda _: None,
) -> Pushed:
    """Replace a lookup table by the rows of a query, if they are others than the last time.

    Rows without a key, or with one that another row has, are rejected; the others are the table.

    Args:
        mixpanel: the project.
        rows: of the query, at most 100 MB as CSV.
        push: see there.
        run_id: of the run.
        allow_shrink: let more than half of the table's rows go.
        on_progress: told at the end.

    Returns:
        What was done; `updates` is 1 if the table was replaced, `done` the number of its rows then.

    Raises:
        PushError: the mapping does not fit the rows, or more than half of the table would go. Nothing was sent.
        InvalidRequest: the table is too large. Nothing was sent.
        RecordsRejected: Mixpanel rejected rows, which are kept as rejected rows; the lookup table is unchanged.
        MixpanelError: the table could not be replaced.
        LeaseHeld: another process replaces the table, or does the same push. Nothing was sent.
    """
    mapping = push.mapping.of(rows.schema)
    lake, project_id = storage(push.lake), mixpanel.settings.project_id
    with (
        lease(lake, f"push/{push.name}", run=run_id),
        lease(lake, f"lookup_table/{UUID(mapping.table)}", run=run_id) as held,
        _compared(rows, push, mapping) as changes,
        RejectedRows(push.rejected_rows) as rejected,
    ):
        provenance = Provenance(requested_at=push.clock.now(), run_id=run_id, project_id=project_id)
        altered = changes.altered(mapping.key, mapping.named)
        told = Pushed(changes.rows, changes.changed, changes.vanished, changes.vanished, altered=altered)
        _check_vanished(changes, allow_shrink=allow_shrink)
        rejected.add(changes.unusable_rows())
        try:
            if changes.changed or changes.vanished:
                content = (_values(row, mapping) for row in _rows(changes))
                held.check()
                mixpanel.ingestion.replace_lookup_table(mapping.table, mapping.named, content)
                told.updates, told.done = 1, changes.usable
                _keep(changes, push, provenance)
        except RecordsRejected as error:
            rejected.add(_rejected(changes, error))
            raise
        finally:
            told.rejected, told.messages = rejected.count, dict(rejected.messages.most_common())
            rejected.publish(provenance)
    on_progress(told)
    return told


def preview_lookup(rows: pa.RecordBatchReader, push: LookupPush) -> Pushed:
    """What a push would send and reject, without sending or writing anything.

    Raises:
        PushError: the mapping does not fit the rows.
    """
    mapping = push.mapping.of(rows.schema)
    with _compared(rows, push, mapping) as changes, RejectedRows(push.rejected_rows) as rejected:
        altered = changes.altered(mapping.key, mapping.named)
        told = Pushed(changes.rows, changes.changed, changes.vanished, changes.vanished, altered=altered)
        rejected.add(changes.unusable_rows())
        told.rejected, told.messages = rejected.count, dict(rejected.messages.most_common())
        told.updates = int(bool(changes.changed or changes.vanished))
        first = (row for row, _ in zip(_rows(changes), range(PREVIEW_ROWS), strict=False))
        told.first = [dict(zip(mapping.named, map(_shown, _values(row, mapping)), strict=True)) for row in first]
    return told


def _compared(rows: pa.RecordBatchReader, push: LookupPush, mapping: LookupMapping) -> Any:
    snapshot = (batch.cast(SNAPSHOT) for batch in push.snapshot.batches(LATEST))
    return compared(
        rows, mapping.key, mapping.named, Previous(snapshot), sent_as=mapping.text, place=push.snapshot.storage
    )


def _rows(changes: Changes) -> Iterator[Mapping[str, Any]]:
    for batch in changes.usable_rows():
        yield from changes.plain_rows(batch)


def _values(row: Mapping[str, Any], mapping: LookupMapping) -> Sequence[Any]:
    return [row["$id"] if column == mapping.key else plain(row[column]) for column in mapping.named]


def _shown(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    return value if value is None or isinstance(value, str | int | float | list) else str(value)


def _keep(changes: Changes, push: LookupPush, provenance: Provenance) -> None:
    for batch in changes.changed_rows():
        changes.pushed(batch.column("$id").to_pylist())
    for ids in changes.vanished_ids():
        changes.pushed(ids)
    push.snapshot.write(LATEST, changes.snapshot(), provenance)


def _rejected(changes: Changes, error: RecordsRejected) -> Iterator[RejectedRow]:
    """The rows that Mixpanel names, at most ten; the header is its row 0."""
    reasons = {record.index: record.message for record in error.failed_records}
    for number, row in enumerate(_rows(changes), start=1):
        if number in reasons:
            yield RejectedRow(row["$id"], row, reasons[number], batch=1)


def _check_vanished(changes: Changes, *, allow_shrink: bool) -> None:
    if allow_shrink or changes.vanished <= MAX_VANISHED * changes.before:
        return
    raise PushError(
        f"{changes.vanished:,} of the {changes.before:,} rows of the lookup table are not in the query any more. "
        "Nothing was sent. If the query is right, run again with allow_shrink=true"
    )


def _fits(kind: pa.DataType) -> bool:
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _is_scalar(kind.value_type)
    return _is_scalar(kind) or pa.types.is_date(kind) or pa.types.is_timestamp(kind) or isinstance(kind, pa.JsonType)


def _is_scalar(kind: pa.DataType) -> bool:
    return isinstance(kind, NumberType) or bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_null(kind)
    )
