"""A JSON array that is read as it arrives."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Generator, Iterable, Iterator
from typing import Any

from mixpanel_etl.client.errors import IncompleteResponse, ReplyError, ReplyTooLarge
from mixpanel_etl.client.http.error_mapping import Scrubber, decoded

_BETWEEN = re.compile(r"[\s,]*")
# Some encoders write NaN, which is not JSON.
_decode = json.JSONDecoder(parse_constant=lambda _: None).raw_decode


#: Bytes of a reply other than an array that are read to see whether it is an error.
_ERROR_BYTES = 64 * 1024


def items(chunks: Iterable[bytes], scrub: Scrubber, max_item: int = 64 << 20) -> Iterator[Any]:
    """The items of an array whose items are objects, lists or strings. Only the arriving one is held in memory.

    Args:
        chunks: chunks of the body.
        scrub: takes credentials out of what an error quotes.
        max_item: number of characters of the longest item.

    Raises:
        ReplyTooLarge: an item is longer.
        ReplyError: the body isn't an array, but perhaps an error in spite of its 200.
        IncompleteResponse: the array has no end.
    """
    pieces = _decoded(chunks)
    text = next(pieces, "").lstrip()
    if not text.startswith("["):
        while len(text) < _ERROR_BYTES and (piece := next(pieces, "")):
            text += piece
        decoded(text.encode(), scrub=scrub)
        raise ReplyError("expected a JSON array, got something else")
    text, enough = text[1:], 0
    for piece in pieces:
        text += piece
        if len(text) >= min(enough, max_item):
            text = yield from _whole_items(text)
            if len(text) > max_item:
                raise ReplyTooLarge(
                    f"an item is longer than {max_item:,} characters",
                    setting="MIXPANEL_MAX_LINE_BYTES",
                )
            enough = 2 * len(text)  # or a long item would be read again with every piece of it
    text = yield from _whole_items(text)
    if text.strip() != "]":
        raise IncompleteResponse("the reply ends within its array")


def _whole_items(text: str) -> Generator[Any, None, str]:
    """The items that are there as a whole; returns what follows them."""
    position = 0
    while True:
        start = _end_of_gap(text, position)
        try:
            item, position = _decode(text, start)
        except json.JSONDecodeError:
            return text[start:]
        yield item


def _end_of_gap(text: str, position: int) -> int:
    gap = _BETWEEN.match(text, position)
    return gap.end() if gap else position


def _decoded(chunks: Iterable[bytes]) -> Iterator[str]:
    try:
        yield from codecs.iterdecode(chunks, "utf-8")
    except UnicodeDecodeError:
        pass
    else:
        return
    raise ReplyError("a 200 whose body is not JSON")
