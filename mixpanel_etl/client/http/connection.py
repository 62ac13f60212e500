"""HTTP connections that keep time, and bodies that say whether they are whole. Source: RFC 9112, 6 and 7.

`http.client` is lenient where an export must not be: it takes a connection that closes within the headers, within the
size of a chunk or before the end of the trailers for the end of the message, a broken `Content-Length` for none, and
knows a time-out for each silence only, so that a server that sends a byte now and then is never done. Everything here
sits between the socket and `http.client`: the rest of the package reads bodies, or gets an error with the reason.
"""

from __future__ import annotations

import http.client
import io
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from requests.adapters import HTTPAdapter

from mixpanel_etl.client.http.waiting import Clock

MAX_LINE = 65_536  # bytes of a header, of the size of a chunk with its extensions, of a trailer
MAX_TRAILERS = 100
SEND_SIZE = 65_536  # bytes that are sent under one time-out
#: Seconds in which a server that said `Connection: close` closes, after the last byte. Only a longer body is awaited.
CLOSES_WITHIN = 0.5
RATE_SECONDS = 600.0  # of waiting for the server, after which the rate of a stream is looked at

_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r\n")
_LENGTH = re.compile(r"[0-9]{1,18}")


class BodyError(http.client.HTTPException):
    """A body is not whole, or nothing says whether it is."""


class Unframed(BodyError):
    """Nothing says how long a body is, so that a cut one looks like a whole one."""

    def __init__(self) -> None:
        super().__init__("it has neither a valid Content-Length nor chunks, so it may have been cut anywhere")


class OutOfTime(TimeoutError):
    """The limits of a `Watch` are over."""


class Watch:
    """The time that one exchange may take, from the first byte that is sent to the last one that arrives.

    Args:
        clock: the time.
        until: when all of it must have arrived (on the clock's `monotonic`).
        silence: seconds that a single read or write may wait.

    Attributes:
        sent: whether any byte of the request left this machine.
        over: why the exchange was given up; empty while it was not.
    """

    def __init__(self, clock: Clock, *, until: float, silence: float) -> None:
        self._clock = clock
        self._until = until
        self._silence = silence
        self._min_rate = 0.0
        self._waited = self._received = 0.0
        self.sent = False
        self.over = ""

    def limit(self, seconds: float) -> None:
        """Limit the rest of the exchange to a number of seconds."""
        self._until = min(self._until, self._clock.monotonic() + seconds)

    def pace(self, min_rate: float) -> None:
        """Let the rest take any time, as long as it comes at a rate (bytes per second, over ten minutes of waiting)."""
        self._until = float("inf")
        self._min_rate = min_rate
        self._waited = self._received = 0.0

    @property
    def is_paced(self) -> bool:
        """Whether a rate is asked for, and no deadline."""
        return self._until == float("inf")

    def patience(self) -> float:
        """Seconds that the next read or write may wait.

        Raises:
            OutOfTime: none.
        """
        left = self._until - self._clock.monotonic()
        if left <= 0:
            raise self._ended("the deadline has passed")
        return min(self._silence, left)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Around a read or write. Only the time within counts for the rate: the reader of the body may be slow."""
        began = self._clock.monotonic()
        try:
            yield
        except TimeoutError:
            if self._until - began < self._silence:
                raise self._ended("the deadline has passed") from None
            raise
        self._waited += self._clock.monotonic() - began

    def received(self, count: int) -> None:
        """Count bytes that arrived.

        Raises:
            OutOfTime: they are too few for the time.
        """
        self._received += count
        if self._waited >= RATE_SECONDS and self.is_paced:
            if self._received < self._min_rate * self._waited:
                raise self._ended(
                    f"{self._received:,.0f} bytes in {self._waited:,.0f} s, less than {self._min_rate:g} a second"
                )
            self._waited = self._received = 0.0

    def _ended(self, reason: str) -> OutOfTime:
        self.over = reason
        return OutOfTime(reason)


_watching: ContextVar[Watch | None] = ContextVar("watching", default=None)


@contextmanager
def watched(watch: Watch) -> Iterator[None]:
    """Requests that are sent within the block, in this thread, keep to the limits, and so do their answers' bodies."""
    token = _watching.set(watch)
    try:
        yield
    finally:
        _watching.reset(token)


class StrictAdapter(HTTPAdapter):
    """Lets `requests` send over connections that keep to a `Watch` and check the framing of every body."""

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        _make_strict(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        known = proxy in self.proxy_manager
        manager = super().proxy_manager_for(proxy, **options)
        if not known:
            _make_strict(manager)
        return manager


def _make_strict(manager: Any) -> None:
    manager.pool_classes_by_scheme = {
        scheme: type(pool.__name__, (pool,), {"ConnectionCls": _strict(pool.ConnectionCls)})
        for scheme, pool in manager.pool_classes_by_scheme.items()
    }


def _strict(connection: type[http.client.HTTPConnection]) -> type[http.client.HTTPConnection]:
    return type(connection.__name__, (_Strict, connection), {})


class _Strict(http.client.HTTPConnection):
    """What is added to urllib3's connections: how bytes are sent, and who reads the answer."""

    _opening = False

    def connect(self) -> None:
        self._opening = True
        try:
            super().connect()
        finally:
            self._opening = False

    def send(self, data: Any) -> None:
        if self.sock is None and self.auto_open:
            self.connect()
        watch = _watching.get()
        if watch is None or not isinstance(data, bytes):
            super().send(data)
            return
        # What opens a way through a proxy is not the request yet.
        watch.sent |= not self._opening
        view = memoryview(data)
        for start in range(0, len(data), SEND_SIZE):
            self.sock.settimeout(watch.patience())
            with watch.waiting():
                super().send(view[start : start + SEND_SIZE])


class _Answer(http.client.HTTPResponse):
    """A response whose bytes come through a `_Wire`, and whose body ends where its framing says, or in an error."""

    def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        self.fp.close()
        self._wire = _Wire(sock, _watching.get())
        self.fp = self._wire

    def begin(self) -> None:
        if self.headers is not None:
            return
        super().begin()
        if self.headers.defects:
            raise http.client.HTTPException("the headers are damaged")
        if self.length == 0 and (self.status < 200 or self.status in (204, 304)):
            return
        framing = _framing(self.headers, self.version)
        if framing is None:
            # urllib3 has a reading of its own.
            del self.headers["Content-Length"], self.headers["Transfer-Encoding"]
            self.will_close = True
        # From here on `http.client` reads to the end of what we hand it.
        self.chunked, self.length = False, None
        self.fp = io.BufferedReader(_Body(self._wire, framing, closes=self.will_close))


_Strict.response_class = _Answer


def _framing(headers: http.client.HTTPMessage, version: int) -> int | str | None:
    """The length of the body, "chunked", or None where nothing credible says how long it is."""
    lengths = _members(headers, "Content-Length")
    codings = _members(headers, "Transfer-Encoding")
    if [coding.lower() for coding in codings] == ["chunked"] and not lengths and version == 11:
        return "chunked"
    if len(set(lengths)) == 1 and not codings and _LENGTH.fullmatch(lengths[0]):
        return int(lengths[0])
    return None


def _members(headers: http.client.HTTPMessage, name: str) -> list[str]:
    return [member.strip(" \t") for value in headers.get_all(name, []) for member in value.split(",")]


class _Socket(io.RawIOBase):
    """The bytes of a socket, as long as a watch allows."""

    def __init__(self, sock: socket.socket, watch: Watch | None) -> None:
        self._sock = sock
        self._raw = sock.makefile("rb", buffering=0)
        self._watch = watch
        self.at_most: float | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self.at_most is not None:
            return self._peeked(buffer, self.at_most)
        if self._watch is None:
            return self._raw.readinto(buffer)
        self._sock.settimeout(self._watch.patience())
        with self._watch.waiting():
            count = self._raw.readinto(buffer)
        self._watch.received(count or 0)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()

    def _peeked(self, buffer: Any, seconds: float) -> int | None:
        """Bytes that arrive within the given seconds."""
        self._sock.settimeout(seconds)
        try:
            return self._raw.readinto(buffer)
        except (TimeoutError, BlockingIOError, ssl.SSLError, ConnectionError):
            return None


class _Wire(io.BufferedReader):
    """What arrives, by the line or in pieces. A connection that closes within a line is an error."""

    def __init__(self, sock: socket.socket, watch: Watch | None) -> None:
        self._socket = _Socket(sock, watch)
        super().__init__(self._socket)

    def readline(self, size: int | None = -1, /) -> bytes:
        line = super().readline(size)
        if not line.endswith(b"\n") and (size is None or size < 0 or len(line) < size):
            raise http.client.RemoteDisconnected("the connection was closed within a line")
        return line

    def has_more(self, within: float) -> bool:
        """Whether anything follows. Nothing can be read after that."""
        self._socket.at_most = within
        return bool(self.peek(1))


class _Body(io.RawIOBase):
    """A body, to its end.

    Args:
        wire: after the headers.
        framing: the number of its bytes, "chunked", or None when it is not known.
        closes: whether the server closes the connection after it.
    """

    def __init__(self, wire: _Wire, framing: int | str | None, *, closes: bool) -> None:
        self._wire = wire
        self._framing = framing
        self._closes = closes
        #: Bytes of the body or of its current chunk that are still to come.
        self._left = framing if isinstance(framing, int) else 0
        self._ended = False

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self._wire.close()
        super().close()

    def readinto(self, buffer: Any) -> int:
        if self._ended:
            return 0
        if self._framing is None:
            return self._unframed(buffer)
        if self._framing == "chunked" and not self._left:
            self._left = self._next_chunk()
        if not self._left:
            self._end()
            return 0
        count = self._wire.readinto1(memoryview(buffer)[: self._left])
        if not count:
            raise BodyError(f"{self._left:,} more bytes were announced")
        self._left -= count
        if self._framing == "chunked" and not self._left and self._wire.readline(3) != b"\r\n":
            raise BodyError("a chunk is longer than its size")
        return count

    def _unframed(self, buffer: Any) -> int:
        count = self._wire.readinto1(buffer)
        if not count:
            raise Unframed
        return count

    def _next_chunk(self) -> int:
        size = _CHUNK_SIZE.fullmatch(self._wire.readline(MAX_LINE))
        if size is None:
            raise BodyError("the size of a chunk is damaged")
        return int(size[1], 16)

    def _end(self) -> None:
        self._ended = True
        if self._framing == "chunked":
            self._pass_trailers()
        if self._wire.has_more(within=CLOSES_WITHIN if self._closes else 0):
            raise BodyError("it is longer than its framing says")

    def _pass_trailers(self) -> None:
        for _ in range(MAX_TRAILERS):
            line = self._wire.readline(MAX_LINE)
            if line == b"\r\n":
                return
            if not line.endswith(b"\n"):
                break
        raise BodyError("its trailers have no end")
