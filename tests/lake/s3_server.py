"""A real S3 API on localhost (moto's), that rejects requests on demand.

Like S3, and unlike moto alone, it takes one write at a time, and knows `If-Match` for uploads in several parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from io import BytesIO
from threading import RLock, Thread
from typing import Any
from urllib.parse import parse_qs

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

Environ = dict[str, Any]
DENIED = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>'
)
INTERNAL = b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>InternalError</Code><Message>Lost</Message></Error>'
UNMET = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>PreconditionFailed</Code><Message>At least one of the '
    b"pre-conditions you specified did not hold</Message></Error>"
)


class S3Server:
    """Serves S3 in a thread of this process.

    Attributes:
        requests: method, path and the names of the query parameters of everything that arrived.
        rejected: which requests are answered with AccessDenied, by method, path and query parameters.
        lost: which requests are carried out, but answered with InternalError.
        ignores_conditions: which requests are taken regardless of their condition, as by some servers.
    """

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, set[str]]] = []
        self.rejected: Callable[[str, str, dict[str, list[str]]], bool] = lambda *_: False
        self.lost: Callable[[str, str, dict[str, list[str]]], bool] = lambda *_: False
        self.ignores_conditions: Callable[[dict[str, list[str]]], bool] = lambda _: False
        self._one_write = RLock()
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
        if self.rejected(method, path, query):
            start_response("403 Forbidden", [("Content-Type", "application/xml"), ("Connection", "close")])
            return [DENIED]
        if method in {"GET", "HEAD"}:
            return self._from_moto(environ, start_response)
        if self.ignores_conditions(query):
            environ = {
                key: value for key, value in environ.items() if key not in {"HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH"}
            }
        with self._one_write:
            if method == "POST" and "uploadId" in query and not self._matches(environ):
                start_response("412 Precondition Failed", [("Content-Type", "application/xml")])
                return [UNMET]
            if self.lost(method, path, query):
                list(self._from_moto(environ, lambda *_: None))
                start_response("500 Internal Server Error", [("Content-Type", "application/xml")])
                return [INTERNAL]
            return list(self._from_moto(environ, start_response))

    def _from_moto(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        answer: Iterable[bytes] = self._s3(environ, start_response)
        return answer

    def _matches(self, environ: Environ) -> bool:
        """Whether the object is the one that `If-Match` names."""
        found: dict[str, str] = {}
        head = {**environ, "REQUEST_METHOD": "HEAD", "QUERY_STRING": "", "CONTENT_LENGTH": "0", "wsgi.input": BytesIO()}
        wanted = head.pop("HTTP_IF_MATCH", None)
        list(self._from_moto(head, lambda status, headers, *_: found.update(headers)))
        return wanted is None or found.get("ETag") == wanted
