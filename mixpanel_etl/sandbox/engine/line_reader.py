"""Reads the lines of a file or a request's body, compressed or not, one at a time."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from starlette.requests import Request

from mixpanel_etl.sandbox.engine.event_line import EventLineError

# Mixpanel accepts events of up to 1 MB, and adds some properties.
MAX_LINE_BYTES = 16_000_000
_CHUNK_BYTES = 1_000_000


def read_lines(path: Path) -> Iterator[bytes]:
    """The lines of a file of exported events; one that ends in `.gz` is decompressed.

    Raises:
        EventLineError: a line is too long for an event, or the compressed data is damaged.
    """
    with path.open("rb") as file:
        yield from lines_of(file, compressed=path.suffix == ".gz")


def lines_of(file: IO[bytes], *, compressed: bool) -> Iterator[bytes]:
    """The lines of an open file. Raises as `read_lines`."""
    held, number = b"", 1
    for chunk in _chunks(file, compressed=compressed):
        first, *others = chunk.split(b"\n")
        held += first
        if others:
            *complete, last = others
            yield held
            yield from complete
            number += len(others)
            held = last
        if len(held) > MAX_LINE_BYTES:
            raise EventLineError(f"line {number} is longer than {MAX_LINE_BYTES:,} bytes, the maximum of an event")
    yield held


def _chunks(file: IO[bytes], *, compressed: bool) -> Iterator[bytes]:
    source = gzip.GzipFile(fileobj=file) if compressed else file
    try:
        while chunk := source.read(_CHUNK_BYTES):
            yield chunk
    except (zlib.error, EOFError, gzip.BadGzipFile) as error:
        raise EventLineError(f"the gzip is damaged: {error}") from None


async def spool(request: Request, file: IO[bytes]) -> None:
    """Write a request's body to a file, unchanged, and rewind it."""
    async for chunk in request.stream():
        file.write(chunk)
    file.seek(0)
