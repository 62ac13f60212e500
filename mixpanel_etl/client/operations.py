"""What Mixpanel offers, declared: one `Operation` for each endpoint, beside the code that calls it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import quote

from mixpanel_etl.client.credentials import Credential
from mixpanel_etl.client.regions import FAMILIES, Family

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]


@dataclass(frozen=True)
class Operation:
    """One endpoint: where it is, who may call it, what it costs, whether it may be repeated.

    Args:
        path: below the family's prefix, with `{names}` for the parts that vary.
        accepts: the kinds of credentials it takes, the preferred one first.
        budgets: names in `limits.BUDGETS` that each request is counted in.
        idempotent: whether a request that may have reached Mixpanel can be sent again.
    """

    method: Method
    family: Family
    path: str
    accepts: tuple[type[Credential], ...]
    budgets: tuple[str, ...] = ()
    idempotent: bool = True

    @property
    def endpoint(self) -> str:
        """How errors and logs call it: `GET /api/2.0/export`."""
        return f"{self.method} {FAMILIES[self.family].prefix}{self.path}"


@dataclass(frozen=True)
class Request:
    """One call of an operation.

    Args:
        query: URL parameters, without credentials.
        path: values for the operation's `{names}`; they are quoted here.
        body: what is sent, already encoded; `headers` then says as what.
        cost: units it takes from budgets that do not count requests, such as `{"lexicon": {"items": 2000}}`.
    """

    operation: Operation
    query: Mapping[str, str] = field(default_factory=dict)
    path: Mapping[str, str | int] = field(default_factory=dict)
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    cost: Mapping[str, int] = field(default_factory=dict)

    @property
    def filled_path(self) -> str:
        return self.operation.path.format_map({name: quote(str(v), safe="") for name, v in self.path.items()})
