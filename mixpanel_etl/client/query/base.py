"""What all modules of the Query API share: how operations are declared, and the data view of the settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mixpanel_etl.client.operations.api import READERS, Api, Operations
from mixpanel_etl.client.operations.operation import Request

Number = int | float
Counts = dict[str, Number]  # by unit of time, as Mixpanel writes it


def query_operations(source: str) -> Operations:
    return Operations("query", source, accepts=READERS, budgets=("query",))


class QueryApi(Api):
    """Base of the parts of the Query API: requests go to the data view of the settings if they name one."""

    def _request(self, *, query: Mapping[str, str | Sequence[str]] | None = None, **parts: Any) -> Request:
        view = self.transport.settings.workspace_id
        return super()._request(query={**(query or {}), **({"workspace_id": str(view)} if view else {})}, **parts)


def unwrapped(reply: Any) -> Any:
    """The content of `data`, with its siblings."""
    if isinstance(reply, dict) and isinstance(data := reply.get("data"), dict):
        return {**{name: value for name, value in reply.items() if name != "data"}, **data}
    return reply
