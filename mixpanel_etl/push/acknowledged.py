"""What Mixpanel has of a partition already: the insert_ids of a push that sends only new rows, kept in the lake."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from io import BufferedRandom
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from mixpanel_etl.lake import Provenance, Table

if TYPE_CHECKING:
    import numpy.typing as npt
    import polars as pl

SCHEMA = pa.schema([pa.field("insert_id", pa.string(), nullable=False)])
_SEEDS = (0, 1)


def acknowledged(lake: str, push: str) -> Table:
    """The table of a push: `pushes/<push>/part=<partition>/data.parquet`."""
    return Table(lake, f"pushes/{push}", SCHEMA, column="part")


class Acknowledged:
    """The insert_ids of earlier pushes of a partition, and those of this one. Use it as a context manager.

    Held are two hashes of each earlier one, sixteen bytes; the new ones lie on a disk until they are published.
    """

    def __init__(self, table: Table, part: str) -> None:
        self._table, self._part = table, part
        held = [_hashes(_series(batch)) for batch in self._earlier()]
        first, second = (np.concatenate(found) for found in zip(*held, strict=True)) if held else (_NONE, _NONE)
        order = np.argsort(first)
        self._first, self._second = first[order], second[order]
        self._file = BufferedRandom(table.storage.scratch())  # type: ignore[arg-type] # a raw file
        self._writer = pa.ipc.new_stream(self._file, SCHEMA)

    def __enter__(self) -> Acknowledged:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()
        self._file.close()

    def known(self, insert_ids: pl.Series) -> pl.Series:
        """Which ones Mixpanel acknowledged in an earlier push."""
        import polars as pl

        if not len(self._first):
            return pl.Series(np.zeros(len(insert_ids), bool))
        first, second = _hashes(insert_ids)
        place = np.minimum(np.searchsorted(self._first, first), len(self._first) - 1)
        # Of two with the same first hash one may be missed: it is sent again, which changes nothing.
        found = (self._first[place] == first) & (self._second[place] == second)
        return pl.Series(found) & insert_ids.is_not_null()

    def add(self, insert_ids: pl.Series, refused: Sequence[str | None]) -> None:
        """Those of a batch that was answered, without the refused ones."""
        arrived = insert_ids.filter(~insert_ids.is_in(list(refused))) if refused else insert_ids
        self._writer.write_batch(pa.RecordBatch.from_arrays([arrived.to_arrow().cast(pa.string())], schema=SCHEMA))

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


def _series(batch: pa.RecordBatch) -> pl.Series:
    import polars as pl

    found = pl.from_arrow(batch.column(0))
    assert isinstance(found, pl.Series)  # noqa: S101 - an array is no frame
    return found


def _hashes(insert_ids: pl.Series) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    first, second = (insert_ids.hash(seed).to_numpy() for seed in _SEEDS)
    return first, second
