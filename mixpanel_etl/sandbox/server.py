"""`Sandbox`: a Mixpanel on localhost, in a thread of this process, and the Python API to arrange what it holds."""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterable, Sequence
from datetime import date
from threading import Event, Thread
from typing import Any, Self

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from mixpanel_etl.sandbox.apis.gdpr.models import GdprJobs, Outcome
from mixpanel_etl.sandbox.apis.ingestion.lookup_tables import LookupTables
from mixpanel_etl.sandbox.apis.pipelines.models import DecidedState, Pipelines
from mixpanel_etl.sandbox.apis.query.engage import data_group_id
from mixpanel_etl.sandbox.apis.query.models import SavedReports
from mixpanel_etl.sandbox.apis.warehouse_connectors.models import RunOutcome, WarehouseImports
from mixpanel_etl.sandbox.app import create_app
from mixpanel_etl.sandbox.control.environment import environment
from mixpanel_etl.sandbox.engine.budgets import Budgets
from mixpanel_etl.sandbox.engine.clock import Clock
from mixpanel_etl.sandbox.engine.event_store import Days, DeduplicatedEvent, EventStore
from mixpanel_etl.sandbox.engine.faults import Fault, Faults
from mixpanel_etl.sandbox.engine.profiles import Profile
from mixpanel_etl.sandbox.engine.projects import Project, Projects
from mixpanel_etl.sandbox.engine.saved_reports import Cohort, Funnel, Insight
from mixpanel_etl.sandbox.engine.state import LOOPBACK_NAMES, SeenRequest, State
from mixpanel_etl.sandbox.shop.generate import generate_lines

_HOST = "127.0.0.1"
_START_SECONDS = 10


class Sandbox:
    """A Mixpanel with its own projects, events, clock and faults, as long as the `with` block lasts.

    Methods that take a `project_id` mean the first project without it, and raise ValueError for an unknown one.

    Args:
        projects: at least one; by default one with every default.
        port: where to listen on 127.0.0.1; 0 takes a free one.
        host_names: names in `Host` headers that are answered beside localhost, 127.0.0.1 and [::1], for example of a
            reverse proxy.

    Raises:
        OSError: the port is taken.
    """

    def __init__(self, projects: Sequence[Project] = (), port: int = 0, *, host_names: Collection[str] = ()) -> None:
        self._projects = Projects(projects or [Project()])
        self._port = port
        self._host_names = LOOPBACK_NAMES | {name.lower() for name in host_names}
        self._state: State | None = None
        self._server: _Server | None = None
        self._thread: Thread | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> Self:
        """Listen; returns when requests are answered."""
        listener = socket.create_server((_HOST, self._port), backlog=256)
        self._port = listener.getsockname()[1]
        clock = Clock()
        self._state = State(self._projects, clock, EventStore(), Budgets(clock), Faults(), self._host_names)
        self._server = _Server(create_app(self._state), self._state)
        self._thread = Thread(target=self._server.run, args=([listener],), name="mixpanel-sandbox", daemon=True)
        self._thread.start()
        if not self._server.ready.wait(_START_SECONDS):
            self.stop()
            raise RuntimeError(f"the sandbox did not start within {_START_SECONDS} seconds on {self.url}")
        return self

    def stop(self) -> None:
        """Close all connections and drop the events. Harmless when stopped already."""
        if self._server and self._thread:
            self._server.should_exit = self._server.force_exit = True
            self._thread.join()
            self._server = self._thread = None
        if self._state:
            self._state.store.close()
            self._state = None

    def reset(self, projects: Sequence[Project] = ()) -> None:
        """Begin anew without a restart: no events, requests, faults or used budgets, and the real clock.

        The projects stay unless others are given.
        """
        state = self._running
        self._projects = state.projects = Projects(projects or self.projects)
        state.clear()

    @property
    def url(self) -> str:
        return f"http://{_HOST}:{self._port}"

    @property
    def projects(self) -> list[Project]:
        return list(self._projects)

    @property
    def clock(self) -> Clock:
        return self._running.clock

    @property
    def requests(self) -> list[SeenRequest]:
        """What arrived at the APIs so far, in order; calls of the control plane are not among them."""
        return list(self._running.requests)

    def clear_requests(self) -> None:
        self._running.requests.clear()

    def load(self, lines: Iterable[bytes], project_id: int | None = None) -> int:
        """Store lines in the shape of an export (`time` in seconds or milliseconds): how many.

        Nothing is validated beyond what a stored event must have (`event`, `properties`, `properties.time`), nothing
        is added, nothing deduplicated. Raises RecordError, a ValueError, with the number of the line at fault.
        """
        return self._running.store.add(self._projects.of(project_id).project_id, lines)

    def generate(
        self,
        events: int,
        from_date: date,
        to_date: date,
        *,
        seed: int = 0,
        duplicates: float = 0.01,
        project_id: int | None = None,
    ) -> int:
        """Store `events` lines of a small web shop (see `generate_lines`), days cut as this project's export does."""
        project = self._projects.of(project_id)
        lines = generate_lines(
            events, from_date, to_date, seed=seed, duplicates=duplicates, timezone=project.export_timezone
        )
        return self._running.store.add(project.project_id, lines)

    def merge_identities(self, from_id: str, to_id: str, project_id: int | None = None) -> int:
        """Merge one identity into another: rewrites the distinct_id of stored rows, and of what comes; how many."""
        state = self._running
        with state.lock:
            return state.identities.join(self._projects.of(project_id), from_id, to_id)

    def save_report(self, report: Funnel | Cohort | Insight, project_id: int | None = None) -> None:
        """Save a report for the Query API to read; one of the same id is replaced."""
        project = self._projects.of(project_id)
        self._running.api_state(SavedReports).add(project.project_id, report)

    def data_group_id(self, group_key: str, project_id: int | None = None) -> str:
        """The `data_group_id` by which `/engage` of the Query API is asked for groups of this key."""
        return data_group_id(self._projects.of(project_id).project_id, group_key)

    def deduplicated(self, from_date: date, to_date: date, project_id: int | None = None) -> list[DeduplicatedEvent]:
        """What a perfect lake holds of these export days; see `EventStore.deduplicated`."""
        project = self._projects.of(project_id)
        return list(self._running.store.deduplicated(project.project_id, Days(from_date, to_date)))

    def profiles(self, project_id: int | None = None) -> dict[str, Profile]:
        """The user profiles of a project, by canonical distinct_id."""
        return self._running.profiles.users(self._projects.of(project_id).project_id)

    def group_profiles(self, group_key: str, project_id: int | None = None) -> dict[str, Profile]:
        """The group profiles of one group key, by group id."""
        return self._running.profiles.groups(self._projects.of(project_id).project_id, group_key)

    def lookup_rows(self, table_id: str, project_id: int | None = None) -> list[dict[str, Any]]:
        """The rows of a lookup table, typed as Mixpanel types them."""
        return list(self._running.api_state(LookupTables).rows[self._projects.of(project_id).project_id, table_id])

    def set_next_gdpr_outcome(self, outcome: Outcome) -> None:
        """Have the next GDPR job that is created end in SUCCESS, FAILURE or UNKNOWN."""
        self._running.api_state(GdprJobs).decide_next(outcome)

    def set_next_archive(self, content: bytes) -> None:
        """Have the next retrieval that succeeds bring these bytes, for example an archive that can't be trusted."""
        self._running.api_state(GdprJobs).set_next_archive(content)

    def set_next_runs(self, import_id: int, *outcomes: RunOutcome, project_id: int | None = None) -> None:
        """Have the next runs of a warehouse import end so, scheduled and triggered ones alike."""
        self._running.api_state(WarehouseImports).decide(self._projects.of(project_id).project_id, import_id, outcomes)

    def set_pipeline_state(self, name: str, day: date, state: DecidedState, project_id: int | None = None) -> None:
        """Have the export of a day by a data pipeline come to retried, failed or timed_out."""
        self._running.api_state(Pipelines).decide(self._projects.of(project_id).project_id, name, day, state)

    def count(self, project_id: int | None = None) -> int:
        """How many copies of events the project holds."""
        return self._running.store.count(self._projects.of(project_id).project_id)

    def add_fault(self, fault: Fault) -> None:
        self._running.faults.add(fault)

    def clear_faults(self) -> None:
        self._running.faults.clear()

    def reset_budgets(self) -> None:
        """Forget what was used of the hourly budgets."""
        self._running.budgets.reset()

    def environment(self, project_id: int | None = None, prefix: str = "MIXPANEL_") -> dict[str, str]:
        """The variables that point the package at one project of this sandbox."""
        return environment(self.url, self._projects.of(project_id), prefix)

    @property
    def _running(self) -> State:
        if self._state is None:
            raise RuntimeError("the sandbox is not running: use it in a `with` block, or call start() first")
        self._state.scheduler.run_due(self._state.clock.now())
        return self._state


class _Server(uvicorn.Server):
    """A uvicorn that says when it is up, and whose connections the faults can get hold of."""

    def __init__(self, app: Any, state: State) -> None:
        class Protocol(H11Protocol):
            def connection_made(self, transport: Any) -> None:
                super().connection_made(transport)
                # asyncio leaves it out for a listener made by `create_server`, and every reply would come 40 ms late.
                transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                state.connections[transport.get_extra_info("peername")] = transport

            def connection_lost(self, exc: Exception | None) -> None:
                state.connections.pop(self.transport.get_extra_info("peername"), None)
                super().connection_lost(exc)

        config = uvicorn.Config(
            app,
            http=Protocol,
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_level="critical",
            access_log=False,
            timeout_graceful_shutdown=0,
        )
        super().__init__(config)
        self.ready = Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()
