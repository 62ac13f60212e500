"""Files that grow side by side, as those of the people in one archive, without one open file for each."""

from __future__ import annotations

import os
from array import array
from collections import defaultdict
from collections.abc import Iterator
from typing import IO, NamedTuple

#: Bytes that are held in memory before they are written.
_MAX_HELD_BYTES = 32 << 20
_CHUNK = 1 << 20


class Key(NamedTuple):
    """A file of a request, by its name below the request's folder."""

    request_id: str
    name: str


class Spool:
    """The content of many files in a single nameless one, of which nothing is left when it is closed."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._end = 0
        self._held: dict[Key, list[bytes]] = {}
        self._size = 0
        # Of each request's files, where each piece starts and how long it is.
        self._blocks: dict[str, dict[str, array[int]]] = defaultdict(lambda: defaultdict(lambda: array("Q")))

    def write(self, key: Key, data: bytes) -> None:
        """Add something to the end of a file, which may be nothing: the file is there then, and empty."""
        self._held.setdefault(key, []).append(data)
        self._size += len(data)
        if self._size > _MAX_HELD_BYTES:
            self._flush()

    def names(self, request_id: str) -> list[str]:
        """The files of a request."""
        self._flush()
        return list(self._blocks[request_id]) if request_id in self._blocks else []

    def request_ids(self) -> set[str]:
        """The requests that have files."""
        self._flush()
        return set(self._blocks)

    def read(self, key: Key) -> Iterator[bytes]:
        """The content of a file."""
        self._flush()
        blocks = self._blocks[key.request_id][key.name]
        for start, length in zip(blocks[::2], blocks[1::2], strict=True):
            for offset in range(0, length, _CHUNK):
                yield os.pread(self._file.fileno(), min(_CHUNK, length - offset), start + offset)

    def _flush(self) -> None:
        for key, parts in self._held.items():
            data = b"".join(parts)
            self._file.write(data)
            self._blocks[key.request_id][key.name].extend((self._end, len(data)))
            self._end += len(data)
        self._held, self._size = {}, 0
