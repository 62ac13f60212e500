"""What Mixpanel has already of a push that sends only what is new, kept in the lake: insert_ids of events, or links."""

from __future__ import annotations

from collections.abc import Iterator
from io import BufferedRandom
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from mixpanel_etl.lake import Provenance, Table

if TYPE_CHECKING:
    import numpy.typing as npt
    import polars as pl

EVENTS = pa.schema([pa.field("insert_id", pa.string(), nullable=False)])
LINKS = pa.schema([pa.field(name, pa.string(), nullable=False) for name in ("distinct_id", "other_id")])
_SEEDS = (0, 1)


def acknowledged(lake: str, push: str, schema: pa.Schema = EVENTS) -> Table:
    """The table of a push: `pushes/<push>/part=<partition>/data.parquet`."""
    return Table(lake, f"pushes/{push}", schema, column="part")


class Acknowledged:
    """The keys that earlier pushes of a partition sent, and those of this one. Use it as a context manager.

    Held are two hashes of each earlier one, sixteen bytes; the new ones lie on a disk until they are published.

    Args:
        table: where they are kept; its columns are the key.
        part: the partition.
    """

    def __init__(self, table: Table, part: str) -> None:
        self._table, self._part, self._schema = table, part, table.schema
        held = [_hashes(_frame(batch)) for batch in self._earlier()]
        first, second = (np.concatenate(found) for found in zip(*held, strict=True)) if held else (_NONE, _NONE)
        order = np.argsort(first)
        self._first, self._second = first[order], second[order]
        self._file = BufferedRandom(table.storage.scratch())  # type: ignore[arg-type] # a raw file
        self._writer = pa.ipc.new_stream(self._file, self._schema)

    def __enter__(self) -> Acknowledged:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()
        self._file.close()

    def known(self, keys: pl.DataFrame) -> pl.Series:
        """Which ones Mixpanel acknowledged in an earlier push."""
        import polars as pl

        if not len(self._first) or not len(keys):
            return pl.Series(np.zeros(len(keys), bool))
        first, second = _hashes(keys)
        place = np.minimum(np.searchsorted(self._first, first), len(self._first) - 1)
        # Of two with the same first hash one may be missed: it is sent again, which changes nothing.
        found = (self._first[place] == first) & (self._second[place] == second)
        return pl.Series(found) & keys.select(pl.all_horizontal(pl.all().is_not_null())).to_series()

    def add(self, arrived: pl.DataFrame) -> None:
        """The keys of rows that were acknowledged."""
        self._writer.write_table(arrived.to_arrow().cast(self._schema))

    def publish(self, provenance: Provenance) -> None:
        """Make the earlier and the new ones those of the partition."""
        self._writer.close()
        self._file.seek(0)
        self._table.write(self._part, self._all(), provenance)

    def _all(self) -> Iterator[pa.RecordBatch]:
        yield from self._earlier()
        yield from pa.ipc.open_stream(self._file)

    def _earlier(self) -> Iterator[pa.RecordBatch]:
        return self._table.batches(self._part)


_NONE = np.zeros(0, np.uint64)


def _frame(batch: pa.RecordBatch) -> pl.DataFrame:
    import polars as pl

    found = pl.from_arrow(batch)
    assert isinstance(found, pl.DataFrame)  # noqa: S101 - a record batch becomes a frame
    return found


def _hashes(keys: pl.DataFrame) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    first, second = (keys.hash_rows(seed).to_numpy() for seed in _SEEDS)
    return first, second
