"""A response whose body is read as it arrives, decompressed, and known to be whole when it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

import requests
from urllib3.exceptions import HTTPError

from mixpanel_etl.client.errors import (
    DeadlineExceeded,
    IncompleteResponse,
    MixpanelError,
    ReplyError,
    ReplyTooLarge,
    located,
)
from mixpanel_etl.client.http.connection import BodyError, Unframed, Watch
from mixpanel_etl.client.http.gunzip import gunzip

CHUNK = 64 * 1024


class Response:
    """Status and headers are here, the body is still on the wire. Iterate once; close when done.

    Iterating raises `IncompleteResponse` when the body is cut: shorter or longer than its Content-Length, chunked
    without its end, or gzip without a valid trailer. A body that has neither a length nor chunks can't be told from a
    cut one, not even when it is gzip (which may have several members), and is an error for that reason.

    Args:
        answer: response of a session with a `StrictAdapter`.
        endpoint: method and path of the request.
        prefix: prefix of the project's settings, for the advice of errors.
        requested_at: time of the request (aware).
        on_close: called when the response is closed.
        watch: limits of the exchange.
        max_line: bytes of the longest line that is handed out; any length by default.
    """

    def __init__(
        self,
        answer: requests.Response,
        *,
        endpoint: str,
        prefix: str,
        requested_at: datetime,
        on_close: Callable[[], None],
        watch: Watch,
        max_line: int | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.requested_at = requested_at
        self.status = answer.status_code
        self.headers = answer.headers
        self.watch = watch
        self.max_line = max_line
        self.wire_bytes = 0
        self._prefix = prefix
        self._answer = answer
        self._on_close = on_close

    def __iter__(self) -> Iterator[bytes]:
        with located(self.endpoint, self._prefix):
            encoding = self.headers.get("Content-Encoding", "identity").lower()
            if encoding in ("gzip", "x-gzip"):
                body = gunzip(self._wire())
            elif encoding in ("identity", ""):
                body = self._wire()
            else:
                raise ReplyError(f"the body has Content-Encoding {encoding!r}, requested was gzip")
            yield from body if self.max_line is None else self._in_lines(body, self.max_line)

    def close(self) -> None:
        """Give the connection and the place in the budget back. Closing twice does no harm."""
        self._answer.close()
        self._on_close()

    def _in_lines(self, body: Iterable[bytes], maximum: int) -> Iterator[bytes]:
        """The same bytes, if no line is longer than `maximum`."""
        size = 0  # of the line that has no end yet
        for chunk in body:
            first = chunk.find(b"\n")
            if size + (len(chunk) if first < 0 else first) > maximum:
                raise ReplyTooLarge(f"a line is longer than {maximum:,} bytes", setting="MIXPANEL_MAX_LINE_BYTES")
            size = size + len(chunk) if first < 0 else len(chunk) - chunk.rfind(b"\n") - 1
            yield chunk

    def _wire(self) -> Iterator[bytes]:
        while chunk := self._read():
            self.wire_bytes += len(chunk)
            yield chunk

    def _read(self) -> bytes:
        try:
            # Not `iter_content`: it would decompress by Content-Encoding, and take a cut gzip stream for a whole one.
            chunk: bytes = self._answer.raw.read(CHUNK, decode_content=False)
            return chunk
        except (HTTPError, OSError) as error:
            failure = self._failure(error)
        raise failure

    def _failure(self, error: Exception) -> MixpanelError:
        if self.watch.over and not self.watch.is_paced:
            return DeadlineExceeded(f"after {self.wire_bytes:,} bytes of the reply")
        cause = error.args[-1] if error.args else None
        reason = self.watch.over or (str(cause) if isinstance(cause, BodyError) else type(cause or error).__name__)
        return IncompleteResponse(
            f"the body is not whole after {self.wire_bytes:,} bytes: {reason}",
            status=self.status,
            advice=_SLOW if self.watch.over else _UNFRAMED if isinstance(cause, Unframed) else None,
        )


_SLOW = "Ask for fewer days at a time; MIXPANEL_EXPORT_MIN_RATE says how slowly an export may come (bytes per second)."
_UNFRAMED = "A proxy in between removes the framing of replies: go around it."
