"""A response whose body is read as it arrives, decompressed, and known to be whole when it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

import requests
from urllib3.exceptions import HTTPError

from mixpanel_etl.client.errors import IncompleteResponse, ReplyError
from mixpanel_etl.client.gunzip import gunzip

CHUNK = 64 * 1024


class Response:
    """Status and headers are here, the body is still on the wire. Iterate once; close when done.

    Iterating raises `IncompleteResponse` when the body is cut: shorter than its Content-Length, chunked without
    the last chunk, or gzip without a valid trailer. A plain body that has neither a length nor chunks can't be told
    from a cut one, and is refused for that reason.
    """

    def __init__(
        self,
        answer: requests.Response,
        *,
        endpoint: str,
        requested_at: datetime,
        on_close: Callable[[], None],
    ) -> None:
        self.endpoint = endpoint
        self.requested_at = requested_at
        self.status = answer.status_code
        self.headers = answer.headers
        self.wire_bytes = 0
        self._answer = answer
        self._on_close = on_close

    def __iter__(self) -> Iterator[bytes]:
        encoding = self.headers.get("Content-Encoding", "identity").lower()
        if encoding in ("gzip", "x-gzip"):
            yield from gunzip(self._wire(), endpoint=self.endpoint)
        elif encoding in ("identity", ""):
            yield from self._wire()
            self._require_framing()
        else:
            raise ReplyError(f"the body has Content-Encoding {encoding!r}, asked was gzip", endpoint=self.endpoint)

    def close(self) -> None:
        """Give the connection and the place in the budget back. Closing twice does no harm."""
        self._answer.close()
        self._on_close()

    def _wire(self) -> Iterator[bytes]:
        while chunk := self._read():
            self.wire_bytes += len(chunk)
            yield chunk
        length = self.headers.get("Content-Length", "")
        # urllib3 2 checks this by default, urllib3 1 does not.
        if length.isdecimal() and "Transfer-Encoding" not in self.headers and self.wire_bytes != int(length):
            raise self._ended_early(f"of {length}")

    def _read(self) -> bytes:
        try:
            # Not `iter_content`: it would decompress by Content-Encoding, and take a cut gzip stream for a whole one.
            chunk: bytes = self._answer.raw.read(CHUNK, decode_content=False)
            return chunk
        except (HTTPError, OSError) as error:
            reason = type(error).__name__
        raise self._ended_early(f"({reason})")

    def _ended_early(self, detail: str) -> IncompleteResponse:
        message = f"the body ended early, after {self.wire_bytes} bytes {detail}"
        return IncompleteResponse(message, endpoint=self.endpoint, status=self.status)

    def _require_framing(self) -> None:
        framed = "Content-Length" in self.headers or "Transfer-Encoding" in self.headers
        if not framed and self.status != 204:
            raise IncompleteResponse(
                "the body has no length, so nobody can tell whether all of it arrived",
                endpoint=self.endpoint,
                status=self.status,
                advice="A proxy in between removes Content-Length and gzip: go around it.",
            )
