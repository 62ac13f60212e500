"""Gunzip a stream of chunks, and know for certain whether it ended where its writer ended it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from isal import isal_zlib
from isal.igzip_lib import IsalError

from mixpanel_etl.client.errors import IncompleteResponse

# What one step may hand out: a small chunk of a hostile or just very repetitive body can expand a thousandfold.
MAX_OUTPUT = 4 * 1024 * 1024
GZIP = 31  # zlib's wbits for a gzip header and trailer around a 32 KiB window


def gunzip(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Decompress gzip chunks of any size, one member or several, in pieces of at most 4 MiB.

    Args:
        chunks: compressed bytes, cut anywhere.

    Raises:
        IncompleteResponse: the data ends before the last member's checksum, doesn't match it, or isn't gzip. All bytes
            handed out before are then of an incomplete body.
    """
    member: Any = isal_zlib.decompressobj(wbits=GZIP)
    pristine = True  # nothing of the current member has been seen yet
    finished = 0
    for chunk in chunks:
        data = chunk
        while data:
            if pristine and finished:
                data = data.lstrip(b"\0")  # gzip(1) pads with zeros after a member, and ignores them too
                if not data:
                    break
            pristine = False
            yield from _pieces(member, data)
            data = member.unused_data
            if member.eof:
                finished += 1
                member, pristine = isal_zlib.decompressobj(wbits=GZIP), True
    if not finished or not pristine:
        raise IncompleteResponse("the gzip stream ended before its end")


def _pieces(member: Any, data: bytes) -> Iterator[bytes]:
    while True:
        try:
            piece = member.decompress(data, MAX_OUTPUT)
        except IsalError as error:  # type: ignore[misc]  # isal's stubs call the class an instance
            reason = f"the gzip stream is damaged ({error})"
            break
        if piece:
            yield piece
        data = member.unconsumed_tail
        if member.eof or (not data and len(piece) < MAX_OUTPUT):
            return
    raise IncompleteResponse(reason)
