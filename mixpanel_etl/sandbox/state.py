"""All that one sandbox knows while it runs: shared by its endpoints, its control plane and its Python API."""

from __future__ import annotations

from asyncio import Transport
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from typing import cast

from starlette.requests import Request

from mixpanel_etl.sandbox.budgets import Budgets
from mixpanel_etl.sandbox.clock import Clock
from mixpanel_etl.sandbox.faults import Faults
from mixpanel_etl.sandbox.projects import Projects
from mixpanel_etl.sandbox.store import Store

_REQUESTS_KEPT = 100_000


@dataclass
class SeenRequest:
    """A request that arrived: values that are secrets are masked, bodies are not kept.

    `status` is None until the reply begins, and stays so when the connection was reset instead.
    """

    method: str
    path: str
    params: dict[str, str]
    at: datetime
    status: int | None = None
    bytes_sent: int = 0


@dataclass
class State:
    projects: Projects
    clock: Clock
    store: Store
    budgets: Budgets
    faults: Faults
    requests: deque[SeenRequest] = field(default_factory=lambda: deque(maxlen=_REQUESTS_KEPT))
    # The connections by the client's address: some faults happen to a connection, not to a reply.
    connections: dict[tuple[str, int], Transport] = field(default_factory=dict)

    @classmethod
    def of(cls, request: Request) -> State:
        """The state of the sandbox that serves a request."""
        return cast(State, request.app.state.sandbox)
