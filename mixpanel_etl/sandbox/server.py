"""`Sandbox`: a Mixpanel on localhost, in a thread of this process, and the Python API to arrange it."""

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
from mixpanel_etl.sandbox.apis.pipelines.models import FinalState, Pipelines
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
    """A Mixpanel with its own projects, events, clock and faults, running within a `with` block.

    `project_id` is the first project by default; methods raise ValueError for an unknown one.

    Args:
        projects: projects of the sandbox; by default one `Project()`.
        port: port on 127.0.0.1; by default a free one.
        host_names: names that are accepted in `Host` headers beside localhost, 127.0.0.1 and [::1], for example of a
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
        """Start the server; returns when it is ready."""
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
        """Close all connections and delete the events. Does nothing if it is stopped already."""
        if self._server and self._thread:
            self._server.should_exit = self._server.force_exit = True
            self._thread.join()
            self._server = self._thread = None
        if self._state:
            self._state.store.close()
            self._state = None

    def reset(self, projects: Sequence[Project] = ()) -> None:
        """Forget events, requests, faults, budgets and the clock without a restart.

        Args:
            projects: new projects; by default they stay.
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
        """Requests to the APIs so far, in order, without those to the control API."""
        return list(self._running.requests)

    def clear_requests(self) -> None:
        self._running.requests.clear()

    def load(self, lines: Iterable[bytes], project_id: int | None = None) -> int:
        """Store exported lines (`time` in seconds or milliseconds) unchanged. Returns their number.

        A line must have `event`, `properties` and `properties.time`. Raises ValueError with the number of an invalid
        line.
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
        """Store events of a small web shop (see `generate_lines`) in the days of the project's export."""
        project = self._projects.of(project_id)
        lines = generate_lines(
            events, from_date, to_date, seed=seed, duplicates=duplicates, timezone=project.export_timezone
        )
        return self._running.store.add(project.project_id, lines)

    def merge_identities(self, from_id: str, to_id: str, project_id: int | None = None) -> int:
        """Merge one identity into another, for stored and later events. Returns the number of rewritten rows."""
        state = self._running
        with state.lock:
            return state.identities.join(self._projects.of(project_id), from_id, to_id)

    def save_report(self, report: Funnel | Cohort | Insight, project_id: int | None = None) -> None:
        """Save a report for the Query API; replaces one with the same id."""
        project = self._projects.of(project_id)
        self._running.api_state(SavedReports).add(project.project_id, report)

    def data_group_id(self, group_key: str, project_id: int | None = None) -> str:
        """The `data_group_id` of a group key, for `/engage` of the Query API."""
        return data_group_id(self._projects.of(project_id).project_id, group_key)

    def deduplicated(self, from_date: date, to_date: date, project_id: int | None = None) -> list[DeduplicatedEvent]:
        """The events of these export days without duplicates; see `EventStore.deduplicated`."""
        project = self._projects.of(project_id)
        return list(self._running.store.deduplicated(project.project_id, Days(from_date, to_date)))

    def profiles(self, project_id: int | None = None) -> dict[str, Profile]:
        """The user profiles of a project, by canonical distinct_id."""
        return self._running.profiles.users(self._projects.of(project_id).project_id)

    def group_profiles(self, group_key: str, project_id: int | None = None) -> dict[str, Profile]:
        """The group profiles of one group key, by group id."""
        return self._running.profiles.groups(self._projects.of(project_id).project_id, group_key)

    def lookup_rows(self, table_id: str, project_id: int | None = None) -> list[dict[str, Any]]:
        """The typed rows of a lookup table."""
        return list(self._running.api_state(LookupTables).rows[self._projects.of(project_id).project_id, table_id])

    def set_next_gdpr_outcome(self, outcome: Outcome) -> None:
        """Set the final status of the next GDPR job: SUCCESS, FAILURE or UNKNOWN."""
        self._running.api_state(GdprJobs).set_next_outcome(outcome)

    def set_next_archive(self, content: bytes) -> None:
        """Set the archive of the next retrieval that succeeds, for example a malicious one."""
        self._running.api_state(GdprJobs).set_next_archive(content)

    def set_next_runs(self, import_id: int, *outcomes: RunOutcome, project_id: int | None = None) -> None:
        """Set the outcomes of the next runs of a warehouse import, scheduled or triggered."""
        self._running.api_state(WarehouseImports).set_next_runs(
            self._projects.of(project_id).project_id, import_id, outcomes
        )

    def set_pipeline_state(self, name: str, day: date, state: FinalState, project_id: int | None = None) -> None:
        """Set the state of a data pipeline's export of a day: retried, failed or timed_out."""
        self._running.api_state(Pipelines).set_state(self._projects.of(project_id).project_id, name, day, state)

    def count(self, project_id: int | None = None) -> int:
        """Number of copies of events in the project."""
        return self._running.store.count(self._projects.of(project_id).project_id)

    def add_fault(self, fault: Fault) -> None:
        self._running.faults.add(fault)

    def clear_faults(self) -> None:
        self._running.faults.clear()

    def reset_budgets(self) -> None:
        """Forget the usage of all budgets."""
        self._running.budgets.reset()

    def environment(self, project_id: int | None = None, prefix: str = "MIXPANEL_") -> dict[str, str]:
        """The environment variables that configure the package for a project of this sandbox."""
        return environment(self.url, self._projects.of(project_id), prefix)

    @property
    def _running(self) -> State:
        if self._state is None:
            raise RuntimeError("the sandbox is not running: use it in a `with` block, or call start() first")
        self._state.scheduler.run_due(self._state.clock.now())
        return self._state


class _Server(uvicorn.Server):
    """A uvicorn that signals when it is ready and keeps its connections, which faults can reset."""

    def __init__(self, app: Any, state: State) -> None:
        class Protocol(H11Protocol):
            def connection_made(self, transport: Any) -> None:
                super().connection_made(transport)
                # asyncio doesn't set it for a listener made by `create_server`, and every response would be 40 ms late.
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
