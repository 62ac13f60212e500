"""Rows set aside on disk by key, so that memory does not grow with their number."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import IO

import pyarrow as pa

# Read back one at a time, so that what is read takes little memory.
_CHUNK_ROWS = 8_192
# One thread: the others are busy with decoding and with other days.
_WRITE = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)


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
        for start in range(0, rows.num_rows, _CHUNK_ROWS):
            self._append(key, rows.slice(start, _CHUNK_ROWS))
        self._rows[key] += rows.num_rows

    def _append(self, key: int, rows: pa.Table) -> None:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, rows.schema, options=_WRITE) as stream:
            stream.write_table(rows.combine_chunks())
        data = memoryview(sink.getvalue())
        self._chunks[key].append((self._size, len(data)))
        self._size += len(data)
        while data:
            data = data[os.write(self._file.fileno(), data) :]

    def rows(self, key: int) -> int:
        """How many rows a key has."""
        return self._rows.get(key, 0)

    def forget(self, key: int) -> None:
        """Remove the rows of a key."""
        self._chunks.pop(key, None)
        self._rows.pop(key, None)

    def read(self, key: int, columns: Sequence[int]) -> Iterator[pa.RecordBatch]:
        """The rows of a key, with the columns of these numbers. Several threads may read at once."""
        options = pa.ipc.IpcReadOptions(use_threads=False, included_fields=columns)
        for offset, length in self._chunks.get(key, ()):
            data = os.pread(self._file.fileno(), length, offset)
            yield from pa.ipc.open_stream(pa.py_buffer(data), options=options)
