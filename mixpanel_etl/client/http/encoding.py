"""Bodies of requests: Python values in, bytes and their headers out."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import msgspec
from isal import igzip


@dataclass(frozen=True)
class Body:
    """Body of a request. Its repr is empty, because it can hold personal data and a token."""

    content: bytes = field(repr=False)
    headers: dict[str, str]

    def gzipped(self) -> Body:
        # No time stamp: the same content is the same bytes, and a repeated request the same request.
        packed = igzip.compress(self.content, mtime=0)
        return Body(packed, {**self.headers, "Content-Encoding": "gzip"})


def as_json(value: Any) -> Body:
    return Body(msgspec.json.encode(value), {"Content-Type": "application/json"})


def as_json_array(items: Iterable[bytes]) -> Body:
    """A JSON array of items that are JSON already."""
    return Body(b"[" + b",".join(items) + b"]", {"Content-Type": "application/json"})


def as_ndjson(items: Iterable[bytes]) -> Body:
    """Lines of JSON."""
    return Body(b"\n".join(items) + b"\n", {"Content-Type": "application/x-ndjson"})


def as_form(fields: Mapping[str, str | Sequence[str]]) -> Body:
    """A form; a field whose value is a list comes once for each element."""
    return Body(urlencode(fields, doseq=True).encode(), {"Content-Type": "application/x-www-form-urlencoded"})


def as_base64(value: Any) -> str:
    """JSON in base64, the form field `data` of the oldest endpoints."""
    return base64.b64encode(msgspec.json.encode(value)).decode()


def json_string(value: Any) -> str:
    """JSON as the value of a parameter."""
    return msgspec.json.encode(value).decode()
