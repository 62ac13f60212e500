"""Scripts in Mixpanel's JavaScript Query Language. Source: mixpanel-api.md#query-jql."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Any

import pyarrow as pa
from pydantic import Field

from mixpanel_etl.client import Query, ReplyError
from mixpanel_etl.lake import ColumnType
from mixpanel_etl.lake.event_columns import TIMESTAMP, readable_json
from mixpanel_etl.pull.published import Column
from mixpanel_etl.pull.reports.calendar import Days, PartitionUnit, timestamp_of
from mixpanel_etl.pull.reports.report import COMPUTED_AT, Fact, Name, RangeReport, Report, Snapshot, Value

_TYPES: dict[ColumnType, pa.DataType] = {
    "string": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "timestamp": TIMESTAMP,
}
_ENDPOINT = "POST /api/query/jql"


class _Script(Report):
    """A script, and how its rows become columns."""

    columns = (Column("row", pa.string(), "What the script returned, as JSON; without declared `columns`."),)

    script: Value = Field(description="JavaScript with a function `main` (in YAML: a .js file beside it).")
    params: dict[str, Any] = Field(default={}, description="Values that the script finds in its global `params`.")
    result: dict[Name, ColumnType] = Field(
        default={},
        description="Columns of the result and their types (string, integer, number, boolean, timestamp), in order.",
    )

    def table_columns(self) -> Sequence[Column]:
        """The declared columns, or one for the whole row."""
        if not self.result:
            return [*self.columns, COMPUTED_AT]
        declared = [Column(name, _TYPES[type_], "") for name, type_ in self.result.items()]
        return [*declared, COMPUTED_AT]

    def contradictions(self) -> Iterator[str]:
        if "function main" not in self.script and "main =" not in self.script:
            yield "script has no function `main`, which Mixpanel calls: define it"
        if "computed_at" in self.result:
            yield "result declares computed_at, a column that every report has: name it otherwise"

    def cells(self, row: Any, zone: tzinfo) -> tuple[Any, ...]:
        """One element of the script's result as the values of the columns."""
        if not self.result:
            return (readable_json(row),)
        return tuple(
            _typed(name, type_, _cell(row, name, position), zone)
            for position, (name, type_) in enumerate(self.result.items())
        )


class Jql(_Script, Snapshot):
    """What a script returns today, one row an element.

    Elements may be objects (by name), lists or single values (by position), or what `groupBy` makes: the parts of
    `key`, then `value`.
    """

    kind = "jql"

    def ask(self, query: Query) -> Any:
        return query.jql(self.script, self.params)

    def facts(self, reply: Any, zone: tzinfo) -> Iterator[Fact]:
        return (Fact(None, self.cells(row, zone)) for row in _elements(reply))


class JqlByDate(_Script, RangeReport):
    """What a script returns over days: it finds them in `params.from_date` and `params.to_date` (both included).

    `date` names the column that says to which day (week, month) a row belongs.
    """

    kind = "jql_by_date"
    labels_are_units = False

    date: Name = Field(description="Column of `result` with the day to which a row belongs, as YYYY-MM-DD.")
    unit: PartitionUnit = Field(default="day", description="Of the partitions: day, week or month.")

    def contradictions(self) -> Iterator[str]:
        yield from super().contradictions()
        if self.result.get(self.date) not in ("string", "timestamp"):
            yield f"date is {self.date!r}: declare that column in result, as string or timestamp"
        for name in {"from_date", "to_date"} & self.params.keys():
            yield f"params has {name}, which the run's partitions decide: leave it out"

    def ask(self, query: Query, days: Days) -> Any:
        return query.jql(self.script, {**self.params, "from_date": str(days.first), "to_date": str(days.last)})

    def facts(self, reply: Any, zone: tzinfo) -> Iterator[Fact]:
        position = list(self.result).index(self.date)
        for row in _elements(reply):
            cells = self.cells(row, zone)
            found = cells[position]
            label = str(found.astimezone(zone).date()) if isinstance(found, datetime) else str(found)
            yield Fact(label, cells)


def _elements(reply: Any) -> Sequence[Any]:
    return reply if isinstance(reply, list) else [reply]


def _cell(row: Any, name: str, position: int) -> Any:
    if isinstance(row, Mapping) and row.keys() != {"key", "value"}:
        return row.get(name)
    if isinstance(row, Mapping):
        value = row["value"]
        row = [*row["key"], *(value if isinstance(value, list) else [value])]
    cells = row if isinstance(row, list) else [row]
    return cells[position] if position < len(cells) else None


def _typed(name: str, type_: ColumnType, value: Any, zone: tzinfo) -> Any:
    """The value in its column's type.

    Raises:
        ReplyError: it does not fit.
    """
    if value is None:
        return None
    try:
        return _READ[type_](value, zone)
    except (TypeError, ValueError, OverflowError):
        pass
    raise ReplyError(
        f"the script returned a {type(value).__name__} for column {name!r}, which it cannot hold as {type_}",
        endpoint=_ENDPOINT,
        advice="Declare the column as string, or change the script.",
    )


def _number(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError
    return value


def _integer(value: Any) -> int:
    if _number(value) != int(value) or not -(2**63) <= value < 2**63:
        raise ValueError
    return int(value)


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _timestamp(value: Any, zone: tzinfo) -> datetime:
    if isinstance(value, str):
        return timestamp_of(value, zone)
    # JQL has milliseconds of project time, as if that were UTC (mixpanel-api.md#project-time).
    return datetime.fromtimestamp(_number(value) / 1000, UTC).replace(tzinfo=zone).astimezone(UTC)


_READ: dict[ColumnType, Callable[[Any, tzinfo], Any]] = {
    "string": lambda value, _: value if isinstance(value, str) else readable_json(value),
    "integer": lambda value, _: _integer(value),
    "number": lambda value, _: float(_number(value)),
    "boolean": lambda value, _: _boolean(value),
    "timestamp": _timestamp,
}
