"""The state of a running sandbox, shared by its APIs, its control API and its Python API."""

from __future__ import annotations

from asyncio import Transport
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from threading import RLock
from typing import Any, Protocol, TypeVar, cast

from starlette.requests import Request

from mixpanel_etl.sandbox.engine.budgets import Budgets
from mixpanel_etl.sandbox.engine.clock import Clock
from mixpanel_etl.sandbox.engine.event_store import EventStore
from mixpanel_etl.sandbox.engine.faults import Faults
from mixpanel_etl.sandbox.engine.identity import Identities
from mixpanel_etl.sandbox.engine.profiles import Profiles
from mixpanel_etl.sandbox.engine.projects import Projects
from mixpanel_etl.sandbox.engine.scheduler import Scheduler

LOOPBACK_NAMES = frozenset(("localhost", "127.0.0.1", "::1"))
_MAX_REQUESTS = 100_000


@dataclass
class SeenRequest:
    """A request that arrived: secrets are masked, bodies are not kept.

    `status` is None until the response begins, and if the connection was reset instead.
    """

    method: str
    path: str
    params: dict[str, str]
    at: datetime
    status: int | None = None
    bytes_sent: int = 0


class ApiState(Protocol):
    """State of one API, created from the sandbox's state when it is first used."""

    def __init__(self, state: State) -> None: ...


_S = TypeVar("_S", bound=ApiState)


@dataclass
class State:
    """The state of a running sandbox."""

    projects: Projects
    clock: Clock
    store: EventStore
    budgets: Budgets
    faults: Faults
    host_names: frozenset[str] = LOOPBACK_NAMES
    profiles: Profiles = field(default_factory=Profiles)
    requests: deque[SeenRequest] = field(default_factory=lambda: deque(maxlen=_MAX_REQUESTS))
    # The connections by the client's address, for faults that reset them.
    connections: dict[tuple[str, int], Transport] = field(default_factory=dict)
    _api_states: dict[type[Any], Any] = field(default_factory=dict)
    # Held while an operation of the app API runs, since one changes what another reads.
    lock: RLock = field(default_factory=RLock)

    def __post_init__(self) -> None:
        self.scheduler = Scheduler(self.lock)
        self.identities = Identities(self.store, self.profiles)

    @classmethod
    def of(cls, request: Request) -> State:
        """The state of the sandbox that serves a request."""
        return cast(State, request.app.state.sandbox)

    def api_state(self, kind: type[_S]) -> _S:
        """The state of one API: the only instance of `kind` in this sandbox until it is reset."""
        with self.lock:
            if kind not in self._api_states:
                self._api_states[kind] = kind(self)
            return cast(_S, self._api_states[kind])

    def clear(self) -> None:
        """Forget everything but the projects: events, profiles, identities, the state of APIs, faults, budgets."""
        self.scheduler.clear()
        with self.lock:
            self._api_states.clear()
            self.identities.clear()
        self.store.clear()
        self.profiles.clear()
        self.faults.clear()
        self.budgets.reset()
        self.clock.reset()
        self.requests.clear()
