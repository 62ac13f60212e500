"""What Mixpanel lists, as tables: one row for each thing of a kind, as it is now."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mixpanel_etl.client import Mixpanel
from mixpanel_etl.lake import Provenance, Table
from mixpanel_etl.lake.event_columns import (
    JSON,
    TIMESTAMP,
    as_float64,
    as_int64,
    readable_json,
    replace_half_surrogates,
    stored_field,
)
from mixpanel_etl.pull.published import Column, Published

STRING = pa.string()
STRINGS = pa.list_(pa.string())
INTEGER = pa.int64()
NUMBER = pa.float64()
BOOLEAN = pa.bool_()


@dataclass(frozen=True)
class Listing:
    """Things of one kind.

    Attributes:
        name: of the table, and of the asset.
        description: of a row.
        columns: of the table.
        ask: gives the rows; values by column, in the forms that Mixpanel uses (see `cell`).
        budget: of `client.limits` that it draws on most; empty for none.
        impersonal: columns whose values never tell anything of a person, so that Dagster may show them. What people
            wrote freely, who they are, and what anybody can send to Mixpanel are never among them.
        limit: number of rows that Mixpanel gives at most; None where it gives all.
        limited_by: column for each of whose values that many rows come; all rows together without one.
    """

    name: str
    description: str
    columns: Sequence[Column]
    ask: Callable[[Mixpanel], Iterable[Mapping[str, Any]]]
    budget: str = ""
    impersonal: Collection[str] = ()
    limit: int | None = None
    limited_by: str | None = None

    def cut(self, rows: pa.Table) -> int:
        """How many of the replies behind the rows are as long as Mixpanel's limit, so that more may be there."""
        if self.limit is None:
            return 0
        if self.limited_by is None:
            return int(rows.num_rows >= self.limit)
        return sum(each["counts"] >= self.limit for each in pc.value_counts(rows[self.limited_by]).to_pylist())

    @property
    def schema(self) -> pa.Schema:
        return pa.schema([stored_field(column.name, column.type) for column in self.columns])

    @property
    def descriptions(self) -> dict[str, str]:
        return {column.name: column.description for column in self.columns}


def pull_listing(
    mixpanel: Mixpanel, listing: Listing, table: Table, day: str, *, run_id: str = "", allow_shrink: bool = False
) -> Published:
    """Ask for all there is, and publish it as the partition of a day.

    Args:
        mixpanel: the project.
        listing: what.
        table: with the listing's schema.
        day: today in project time, YYYY-MM-DD.
        run_id: goes into the file.
        allow_shrink: replace an earlier snapshot of the day that has more than twice as many rows.

    Raises:
        MixpanelError: Mixpanel rejected a request; nothing is published then.
        PartitionsHeldBack: the day's earlier snapshot has more than twice as many rows.
    """
    provenance = Provenance(
        requested_at=mixpanel.transport.now(),
        run_id=run_id,
        project_id=mixpanel.settings.project_id,
        request={"listing": listing.name},
    )
    rows = as_table(listing, listing.ask(mixpanel), mixpanel.settings.zone)
    published = table.write(day, rows, provenance, allow_shrink=allow_shrink)
    return Published(published, table.as_published(published, rows))


def as_table(listing: Listing, rows: Iterable[Mapping[str, Any]], zone: tzinfo) -> pa.Table:
    """The rows in the listing's schema.

    Args:
        listing: whose.
        rows: see `Listing.ask`; a column that a row does not have is null.
        zone: of the project, in which times without an offset are.
    """
    found = list(rows)
    arrays = [
        _array([cell(row.get(column.name), column.type, zone) for row in found], column.type)
        for column in listing.columns
    ]
    return pa.Table.from_arrays(arrays, schema=listing.schema)


def cell(value: Any, kind: pa.DataType, zone: tzinfo) -> Any:
    """A value as a column of this type holds it; null when it does not fit.

    Times are ISO 8601 or `YYYY-MM-DD HH:MM:SS`. Columns of strings hold other values as JSON.
    """
    if value is None:
        return None
    return _timestamp(value, zone) if kind == TIMESTAMP else _FITS[kind](value)


def _string(value: Any) -> str:
    return replace_half_surrogates(value) if isinstance(value, str) else readable_json(value)


def _strings(value: Any) -> list[str] | None:
    return [_string(one) for one in value] if isinstance(value, list | tuple) else None


def _boolean(value: Any) -> bool | None:
    return value if isinstance(value, bool) else {"true": True, "false": False}.get(str(value).lower())


def _timestamp(value: Any, zone: tzinfo) -> datetime | None:
    try:
        time = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        return (time if time.tzinfo else time.replace(tzinfo=zone)).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return None


_FITS: dict[pa.DataType, Callable[[Any], Any]] = {
    JSON: readable_json,
    STRING: _string,
    STRINGS: _strings,
    BOOLEAN: _boolean,
    INTEGER: as_int64,
    NUMBER: as_float64,
}


def _array(cells: list[Any], kind: pa.DataType) -> pa.Array:
    return pa.array(cells, STRING if kind == JSON else kind)
