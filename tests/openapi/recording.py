"""Every request that the client sends and every reply that it gets, as they were on the wire."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qs, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPResponse

from mixpanel_etl.client.http.regions import FAMILIES
from mixpanel_etl.client.operations.catalogue import CATALOGUE

IN_THE_BODY = {"$identify": "identity.create_identity", "$create_alias": "identity.create_alias"}


@dataclass(frozen=True)
class Exchange:
    """A request and its reply; bodies decompressed."""

    method: str
    path: str
    query: dict[str, list[str]]
    status: int
    sent: bytes = field(repr=False)
    sent_headers: Mapping[str, str] = field(repr=False)
    got: bytes = field(repr=False)
    got_headers: Mapping[str, str] = field(repr=False)

    @property
    def sent_kind(self) -> str:
        return _kind(self.sent_headers)

    @property
    def got_kind(self) -> str:
        return _kind(self.got_headers)

    @property
    def operation(self) -> str | None:
        """Its name in the catalogue."""
        names = sorted(_NAMES, key=lambda name: CATALOGUE[name].path.count("{"))
        fitting = [name for name in names if CATALOGUE[name].method == self.method and _NAMES[name].match(self.path)]
        return _by_body(fitting, self.sent) if len(fitting) > 1 else next(iter(fitting), None)


def _kind(headers: Mapping[str, str]) -> str:
    return headers.get("Content-Type", "").partition(";")[0]


def _pattern(name: str) -> re.Pattern[str]:
    whole = FAMILIES[CATALOGUE[name].family].prefix + CATALOGUE[name].path
    return re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(whole)) + "$")


_NAMES = {name: _pattern(name) for name in CATALOGUE}


def _by_body(names: list[str], body: bytes) -> str:
    """`/track` and `/import` are several operations; elsewhere the path with the fewest gaps is meant."""
    if "identity.merge" in names:
        return "identity.merge" if b'"$merge"' in body else "ingestion.import_"
    if "identity.create_identity" in names:
        data = parse_qs(body.decode()).get("data")
        return IN_THE_BODY[json.loads(base64.b64decode(data[0]))["event"]] if data else "ingestion.track"
    return names[0]


@contextmanager
def recording() -> Iterator[list[Exchange]]:
    """What any client of this process exchanges, in the order in which it happened."""
    exchanges: list[Exchange] = []
    send = HTTPAdapter.send

    def send_and_note(
        adapter: HTTPAdapter, request: requests.PreparedRequest, *args: Any, **options: Any
    ) -> requests.Response:
        response = send(adapter, request, *args, **options)
        wire = response.raw.read(decode_content=False)
        exchanges.append(_exchange(request, response, wire))
        response.raw = HTTPResponse(
            BytesIO(wire), headers=response.headers, status=response.status_code, preload_content=False
        )
        return response

    with patch.object(HTTPAdapter, "send", send_and_note):
        yield exchanges


def _exchange(request: requests.PreparedRequest, response: requests.Response, wire: bytes) -> Exchange:
    url = urlsplit(str(request.url))
    sent = request.body or b""
    return Exchange(
        str(request.method),
        url.path,
        parse_qs(url.query, keep_blank_values=True),
        response.status_code,
        _plain(sent.encode() if isinstance(sent, str) else sent, request.headers),
        request.headers,
        _plain(wire, response.headers),
        response.headers,
    )


def _plain(body: bytes, headers: Mapping[str, str]) -> bytes:
    return gzip.decompress(body) if headers.get("Content-Encoding") == "gzip" else body
