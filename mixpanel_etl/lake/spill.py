"""Small facts about many rows, kept by key outside memory."""

from __future__ import annotations

import os
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from types import TracebackType
from typing import Self

import polars as pl
import pyarrow as pa


class Spill:
    """Frames of one schema, appended under a key and read back in order.

    The file has no name from the start, so that the system frees it however this process ends (design, promise 2).
    """

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="mixpanel_etl-", buffering=0)  # noqa: SIM115 - closed on exit
        self._size = 0
        self._chunks: dict[int, list[tuple[int, int]]] = defaultdict(list)
        self._schema: pa.Schema | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, key: int, frame: pl.DataFrame) -> None:
        """Append to a key; a full disk surfaces as OSError."""
        for batch in frame.to_arrow().to_batches():
            data = memoryview(batch.serialize())
            self._chunks[key].append((self._size, len(data)))
            self._size += len(data)
            self._schema = batch.schema
            while data:
                data = data[os.write(self._file.fileno(), data) :]

    def read(self, key: int) -> Iterator[pl.DataFrame]:
        """What was added under a key. Several threads may read at once."""
        for offset, length in self._chunks[key]:
            data = os.pread(self._file.fileno(), length, offset)
            yield pl.DataFrame(pl.from_arrow(pa.ipc.read_record_batch(pa.py_buffer(data), self._schema)))
