"""Rows that come twice in a stream that can be read twice, found for eight bytes a row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pyarrow as pa


def without_repeats(read: Callable[[], Iterable[pa.RecordBatch]], column: str) -> Iterator[pa.RecordBatch]:
    """The rows whose value in a column of strings has not come before.

    Args:
        read: gives the rows; called twice.
        column: which has no nulls.
    """
    hashes = [_hashes(batch, column) for batch in read()]
    values, counts = np.unique(np.concatenate(hashes) if hashes else np.empty(0, np.int64), return_counts=True)
    suspects = set(values[counts > 1].tolist())
    seen: set[str] = set()  # of the few values whose hash comes twice, so that the comparison is exact
    for batch in read():
        if suspects:
            keep = [_first(value, suspects, seen) for value in batch.column(column).to_pylist()]
            yield batch.filter(pa.array(keep, pa.bool_()))
        else:
            yield batch


def _hashes(batch: pa.RecordBatch, column: str) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.fromiter(map(hash, batch.column(column).to_pylist()), np.int64, batch.num_rows)


def _first(value: str, suspects: set[int], seen: set[str]) -> bool:
    if hash(value) not in suspects:
        return True
    if value in seen:
        return False
    seen.add(value)
    return True
