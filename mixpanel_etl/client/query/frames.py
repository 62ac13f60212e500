"""Replies as Polars data frames, a row for each number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mixpanel_etl.extras import require

if TYPE_CHECKING:
    import polars as pl


def data_frame(columns: Mapping[str, type], rows: Iterable[Sequence[Any]]) -> pl.DataFrame:
    """A data frame.

    Args:
        columns: Python types by name.
        rows: values in the order of the columns.

    Raises:
        MissingExtra: Polars is not installed; the message names the extra.
    """
    require("lake")
    import polars as pl

    return pl.DataFrame(list(rows), schema=dict(columns), orient="row", strict=False)


def series_frame(values: Mapping[str, Mapping[str, float]], name: str) -> pl.DataFrame:
    """Counts by unit of time, by what `name` says: columns `name`, time (as Mixpanel writes it) and value."""
    rows = ((key, time, value) for key, counts in values.items() for time, value in counts.items())
    return data_frame({name: str, "time": str, "value": float}, rows)


def leaves(tree: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], float]]:
    """The numbers of nested objects, with the keys that lead to them."""
    if isinstance(tree, Mapping):
        for key, member in tree.items():
            yield from leaves(member, (*path, key))
    elif isinstance(tree, int | float) and not isinstance(tree, bool):
        yield path, tree
