"""A real S3 API on localhost (moto's), that refuses requests on demand."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from threading import Thread
from typing import Any
from urllib.parse import parse_qs

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

Environ = dict[str, Any]
DENIED = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>'
)


class S3Server:
    """Serves S3 in a thread of this process.

    Attributes:
        requests: method, path and the names of the query parameters of everything that arrived.
        refused: which requests are answered with AccessDenied, by method, path and query parameters.
    """

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, set[str]]] = []
        self.refused: Callable[[str, str, dict[str, list[str]]], bool] = lambda *_: False
        self._s3 = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True)
        self._thread = Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        query = parse_qs(environ["QUERY_STRING"], keep_blank_values=True)
        self.requests.append((method, path, set(query)))
        if self.refused(method, path, query):
            start_response("403 Forbidden", [("Content-Type", "application/xml"), ("Connection", "close")])
            return [DENIED]
        answer: Iterable[bytes] = self._s3(environ, start_response)
        return answer
