"""A real HTTP server with scripted answers, byte for byte, and a clock that moves by sleeping only."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from http.client import parse_headers
from io import BufferedReader
from typing import Self
from urllib.parse import parse_qs, urlsplit

from mixpanel_etl.client import Clock

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)
DRIPS = 500


@dataclass
class Answer:
    """What goes over the wire. `raw` replaces everything; `None` as a body closes the connection silently.

    `drip` follows, over and over for a few seconds, a byte every hundredth of a second.
    """

    status: int = 200
    body: bytes | None = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    drip: bytes = b""

    def wire(self) -> bytes:
        if self.raw is not None:
            return self.raw
        if self.body is None:
            return b""
        headers = {"Content-Length": str(len(self.body)), "Connection": "close", **self.headers}
        lines = [f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + self.body


def gzipped(data: bytes) -> Answer:
    return Answer(body=gzip.compress(data), headers={"Content-Encoding": "gzip"})


@dataclass
class Seen:
    """A request as it arrived."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes


class ScriptedServer:
    """Answers one `Answer` after the other, then the last one again and again.

    A connection is closed after its answer, unless the answer's headers say keep-alive.
    """

    def __init__(self) -> None:
        self._answers: deque[Answer] = deque([Answer()])
        self.seen: list[Seen] = []
        self.connections = 0
        self.reads = True
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._held: list[socket.socket] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def answers(self, *answers: Answer) -> None:
        self._answers = deque(answers)

    def hold(self) -> None:
        """Accept requests and stay silent."""
        self._answers = deque()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._held:
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        # A client that is done may be gone before we are, or speak TLS.
        with suppress(OSError, ValueError), connection, connection.makefile("rb") as stream:
            if not self.reads:
                self._held.append(connection.dup())
                return
            while seen := _request(stream):
                with self._lock:
                    self.seen.append(seen)
                    if not self._answers:
                        self._held.append(connection.dup())
                        return
                    answer = self._answers.popleft() if len(self._answers) > 1 else self._answers[0]
                connection.sendall(answer.wire())
                for byte in (answer.drip * DRIPS)[:DRIPS]:
                    connection.sendall(bytes([byte]))
                    time.sleep(0.01)
                if answer.headers.get("Connection") != "keep-alive":
                    return


def _request(stream: BufferedReader) -> Seen | None:
    line = stream.readline().decode()
    if not line:
        return None
    method, target, _ = line.split()
    headers = dict(parse_headers(stream).items())
    body = stream.read(int(headers.get("Content-Length", 0)))
    parts = urlsplit(target)
    return Seen(method, parts.path, parse_qs(parts.query), headers, body)


class FakeClock:
    """Time that passes only by sleeping."""

    def __init__(self, start: datetime = NOW) -> None:
        self.start = start
        self.elapsed = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.elapsed += seconds

    def now(self) -> datetime:
        return self.start + timedelta(seconds=self.elapsed)

    @property
    def clock(self) -> Clock:
        return Clock(sleep=self.sleep, monotonic=lambda: self.elapsed, now=self.now)
