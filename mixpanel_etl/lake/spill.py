"""Rows set aside on disk by key, so that memory does not grow with their number."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from typing import IO

import pyarrow as pa

# One thread each: the cores are busy with decoding and with this already.
_WRITE = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
_READ = pa.ipc.IpcReadOptions(use_threads=False)


class Spill:
    """Appends batches of one schema under a key, and gives them back in order.

    Args:
        file: an unbuffered file without a name, so that the system frees it however this process ends.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._size = 0
        self._chunks: dict[int, list[tuple[int, int]]] = defaultdict(list)
        self._rows: dict[int, int] = defaultdict(int)

    def add(self, key: int, rows: pa.Table) -> None:
        """Append rows to a key; a full disk surfaces as OSError."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, rows.schema, options=_WRITE) as stream:
            stream.write_table(rows)
        data = memoryview(sink.getvalue())
        self._chunks[key].append((self._size, len(data)))
        self._rows[key] += rows.num_rows
        self._size += len(data)
        while data:
            data = data[os.write(self._file.fileno(), data) :]

    def rows(self, key: int) -> int:
        """How many rows a key has."""
        return self._rows[key]

    def read(self, key: int) -> Iterator[pa.RecordBatch]:
        """The rows of a key. Several threads may read at once."""
        for offset, length in self._chunks[key]:
            data = os.pread(self._file.fileno(), length, offset)
            yield from pa.ipc.open_stream(pa.py_buffer(data), options=_READ)
