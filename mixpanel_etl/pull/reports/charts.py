"""The picture of a report as data: its form, labels and numbers. A kind returns one of the forms; Dagster draws it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import pyarrow as pa

#: Keys and rows of some partitions, in order.
Partitions = Sequence[tuple[str, pa.Table]]
#: Name of a series: an event or a metric, then its segments.
Path = tuple[str, ...]


class Lines(NamedTuple):
    """Numbers over time: a line for each of the largest series.

    Attributes:
        counted: label of the axis of numbers, such as `users per day`; empty if the report does not know it.
        series: numbers by time, of each series.
        shows_segments: whether segments have their names; else they are numbered, because they may be persons.
    """

    counted: str
    series: Mapping[Path, Mapping[datetime, float]]
    shows_segments: bool


class Bars(NamedTuple):
    """Numbers of consecutive steps: a bar for each, with its share of the first one.

    Attributes:
        counted: label of the axis of numbers.
        steps: name and number of each.
        note: end of the title.
    """

    counted: str
    steps: Sequence[tuple[str, int]]
    note: str


class HeatMap(NamedTuple):
    """Shares by partition (downwards) and number (to the right).

    Attributes:
        numbered: label of the axis of numbers.
        first: the first number.
        rows: key of a partition and its shares from 0 to 1; NaN where the share is not known yet.
    """

    numbered: str
    first: int
    rows: Sequence[tuple[str, Sequence[float]]]


Chart = Lines | Bars | HeatMap


def rows_of(partitions: Partitions) -> Iterator[dict[str, Any]]:
    """The rows of all partitions, by column."""
    for _, rows in partitions:
        yield from rows.to_pylist()


def series_of(
    partitions: Partitions, path: Callable[[dict[str, Any]], Path | None]
) -> Mapping[Path, Mapping[datetime, float]]:
    """Sums of `value` by time, of each series.

    Args:
        partitions: rows with `time` and `value`.
        path: the series of a row; None if the row belongs to none.
    """
    series: dict[Path, dict[datetime, float]] = defaultdict(lambda: defaultdict(float))
    for row in rows_of(partitions):
        if row["time"] is not None and (name := path(row)) is not None:
            series[name][row["time"]] += row["value"] or 0.0
    return series


def event_path(row: dict[str, Any]) -> Path:
    """Event, and segment if the row has one."""
    return (row["event"],) if row.get("segment") is None else (row["event"], row["segment"])
