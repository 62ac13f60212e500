"""Warehouse imports and the runs they make by the sandbox's clock. Source: mixpanel-api.md#connectors.

An import runs every `run_every` from its creation on, and when it is triggered. Runs succeed unless a test sets their
outcomes. They are computed when an operation reads them, without threads.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Literal, get_args

from mixpanel_etl.sandbox.engine.projects import Project
from mixpanel_etl.sandbox.engine.state import State

RunStatus = Literal["SUCCEEDED", "FAILED", "CANCELLED", "NEVER"]
MAX_HISTORY = 30
_FIRST_ID = 101
_FIRST_DECLARED_SOURCE = 1
_RUN_SECONDS = 300.0
_NS_PER_SECOND = 1_000_000_000


@dataclass(frozen=True)
class RunOutcome:
    """The outcome of one run of a warehouse import.

    Attributes:
        status: final status; with "NEVER" the trigger is accepted, but no run appears.
        events: `num_events_imported`; by default 1,000 to 10,000, or 0 of a run that fails.
        seconds: seconds that it is RUNNING.
    """

    status: RunStatus = "SUCCEEDED"
    events: int | None = None
    seconds: float = _RUN_SECONDS

    def __post_init__(self) -> None:
        if self.status not in get_args(RunStatus):
            raise ValueError(f"status {self.status!r} must be one of {', '.join(get_args(RunStatus))}")


@dataclass
class Run:
    start: datetime
    end: datetime
    status: RunStatus
    events: int | None

    def is_running(self, now: datetime) -> bool:
        return now < self.end

    def cancel(self, now: datetime) -> None:
        self.end, self.status, self.events = now, "CANCELLED", None


@dataclass
class WarehouseImport:
    """One import: its configuration, creator, outcomes to come and runs."""

    import_id: int
    project: Project
    config: dict[str, Any]
    created: datetime
    creator: dict[str, Any]
    run_every: timedelta
    paused: bool = False
    is_deleted: bool = False
    next_run: datetime | None = None
    last_dispatch: datetime | None = None
    outcomes: deque[RunOutcome] = field(default_factory=deque)
    runs: deque[Run] = field(default_factory=lambda: deque(maxlen=MAX_HISTORY))
    started: int = 0

    def catch_up(self, now: datetime) -> None:
        """Start the scheduled runs that are due. One that would start while another runs is skipped."""
        while self.next_run is not None and self.next_run <= now and not self.is_deleted and not self.paused:
            if not any(run.is_running(self.next_run) for run in self.runs):
                self.start(self.next_run)
            self.next_run = self.next_run + self.run_every if self.run_every else None

    def start(self, now: datetime) -> None:
        self.started += 1
        self.last_dispatch = now
        outcome = self.outcomes.popleft() if self.outcomes else RunOutcome()
        if outcome.status == "NEVER":
            return
        usual = self._usual_events() if outcome.status == "SUCCEEDED" else 0
        events = usual if outcome.events is None else outcome.events
        self.runs.append(Run(now, now + timedelta(seconds=outcome.seconds), outcome.status, events))

    def pause(self, now: datetime) -> None:
        """Pause the schedule, and cancel running runs."""
        self.paused, self.next_run = True, None
        for run in self.runs:
            if run.is_running(now):
                run.cancel(now)

    def resume(self, now: datetime, run_every: timedelta) -> None:
        """Resume the schedule, or change it; the next run is one interval from now."""
        if self.paused or run_every != self.run_every:
            self.paused, self.run_every = False, run_every
            self.next_run = now + run_every if run_every and self.config["sync_mode"] != "one_time" else None

    def _usual_events(self) -> int:
        digest = hashlib.sha256(f"{self.import_id} {self.started}".encode()).digest()
        return 1000 + int.from_bytes(digest[:2], "big") % 9000


class WarehouseImports:
    """The imports of all projects, including declared ones."""

    def __init__(self, state: State) -> None:
        self._ids = count(_FIRST_ID)
        self._run_numbers = count(1)
        self._imports: dict[tuple[int, int], WarehouseImport] = {}
        for project in state.projects:
            for declared in project.warehouse_imports:
                self._declare(project, dict(declared), state.clock.now())

    def of_project(self, project_id: int, now: datetime) -> list[WarehouseImport]:
        """The imports that are not deleted, with all runs until now."""
        found = [item for item in self._imports.values() if item.project.project_id == project_id]
        for item in found:
            item.catch_up(now)
        return [item for item in found if not item.is_deleted]

    def add(
        self,
        project: Project,
        config: dict[str, Any],
        creator: dict[str, Any],
        now: datetime,
        import_id: int | None = None,
    ) -> WarehouseImport:
        number = next(self._ids) if import_id is None else import_id
        run_every = timedelta(seconds=config["run_every"] / _NS_PER_SECOND)
        added = WarehouseImport(number, project, config, now, creator, run_every)
        if run_every or config["sync_mode"] == "one_time":
            added.next_run = now
        if config["sync_mode"] == "one_time":
            added.run_every = timedelta(0)
        self._imports[project.project_id, number] = added
        return added

    def set_next_runs(self, project_id: int, import_id: int, outcomes: Iterable[RunOutcome]) -> None:
        """Set the outcomes of the next runs of an import. Raises ValueError for an unknown import."""
        if (project_id, import_id) not in self._imports:
            known = [number for owner, number in self._imports if owner == project_id]
            raise ValueError(f"import_id {import_id} is not a warehouse import of the project; known: {known}")
        self._imports[project_id, import_id].outcomes.extend(outcomes)

    def new_run_id(self) -> str:
        return hashlib.sha256(f"warehouse run {next(self._run_numbers)}".encode()).hexdigest()[:32]

    def _declare(self, project: Project, declared: dict[str, Any], now: datetime) -> None:
        """Add a declared import: its `id` and configuration, and `created`, `paused`, `outcomes`."""
        config = {
            "import_type": "event_stream",
            "sync_mode": "time_based",
            "warehouse_source_id": _FIRST_DECLARED_SOURCE,
            "table_params": {},
            "run_every": 0,
            **declared,
        }
        import_id, created = config.pop("id"), config.pop("created", now)
        paused, outcomes = config.pop("paused", False), config.pop("outcomes", ())
        creator = {"creator_id": 1, "creator_name": "Sandbox", "creator_email": "user@sandbox.example"}
        if created.tzinfo is None:
            created = created.replace(tzinfo=UTC)
        added = self.add(project, config, creator, created, import_id)
        added.outcomes.extend(item if isinstance(item, RunOutcome) else RunOutcome(**item) for item in outcomes)
        if paused:
            added.pause(created)
