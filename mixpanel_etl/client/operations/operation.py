"""What an operation of Mixpanel is, and one call of it. The method that calls an operation declares it, see `api`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import quote

from mixpanel_etl.client.http.credentials import Credential
from mixpanel_etl.client.http.regions import FAMILIES, Family

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
Place = Literal["header", "body"]


@dataclass(frozen=True)
class Operation:
    """Where an operation is, who may call it, what it costs, whether it may be repeated.

    Args:
        method: HTTP method.
        family: API family, which decides about hosts and prefix.
        path: path below the family's prefix, with `{names}` for the parts that vary.
        accepts: accepted kinds of credentials, the preferred one first.
        budgets: names in `limits.rates.BUDGETS` in which each request is counted.
        idempotent: whether a request that may have reached Mixpanel can be sent again; "as sent" if that depends on
            what is sent (`Request.idempotent`).
        source: section of docs/mixpanel-api.md.
        sends: format of parameters that are not in the URL.
        limits: what is checked before sending, in words.
        credentials_in: place of the credentials. In the body means that no header is sent.
        open_keys: whether the keys of the reply are the project's own, such as names of properties, among which an
            `error` says nothing about the request.
    """

    method: Method
    family: Family
    path: str
    accepts: tuple[type[Credential], ...]
    budgets: tuple[str, ...] = ()
    idempotent: bool | Literal["as sent"] = True
    source: str = ""
    sends: str = ""
    limits: tuple[str, ...] = ()
    credentials_in: Place = "header"
    open_keys: bool = False

    @property
    def reads(self) -> bool:
        """Whether it asks, and changes nothing: then only a 200 is an answer."""
        return self.method == "GET" or self.family in ("query", "export")

    @property
    def endpoint(self) -> str:
        """Name of the operation in errors and logs: `GET /api/2.0/export`."""
        return f"{self.method} {FAMILIES[self.family].prefix}{self.path}"


@dataclass(frozen=True)
class Request:
    """One call of an operation.

    Args:
        operation: the operation.
        query: URL parameters, without credentials. One with several values comes several times.
        path: values for the operation's `{names}`; they are quoted here.
        body: encoded body; `headers` then says its format.
        headers: headers of the body.
        cost: units taken from budgets that do not count requests, such as `{"items": 2000}`.
        idempotent: whether this call may be repeated, where that depends on what is sent.
        secrets: parts of the body that no message may show.
        divisible: whether the caller asks for less at a time when the server takes too long; the same request is then
            not sent again.
    """

    operation: Operation
    query: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    path: Mapping[str, str | int] = field(default_factory=dict)
    body: bytes | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)
    cost: Mapping[str, int] = field(default_factory=dict)
    idempotent: bool | None = None
    secrets: tuple[str, ...] = field(default=(), repr=False)
    divisible: bool = False

    @property
    def filled_path(self) -> str:
        return self.operation.path.format_map({name: quote(str(v), safe="") for name, v in self.path.items()})

    @property
    def repeatable(self) -> bool:
        return self.operation.idempotent is True if self.idempotent is None else self.idempotent
