"""Data pipelines and their tasks, which are computed from the clock.

Source: mixpanel-api.md#pipelines.

A daily pipeline exports a day half an hour after its end, an hourly one an hour likewise, in project time. Days before
the pipeline's creation are backfilled from then on, one task every five minutes. A pause cancels running tasks; due
tasks follow after it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Literal, NamedTuple, get_args

from mixpanel_etl.sandbox.apis.pipelines.creation import PipelineSettings
from mixpanel_etl.sandbox.engine.projects import Project
from mixpanel_etl.sandbox.engine.state import State

TaskState = Literal["pending", "running", "succeeded", "retried", "failed", "canceled", "timed_out"]
FinalState = Literal["retried", "failed", "timed_out"]
_DELAY = timedelta(minutes=30)
_DURATION = timedelta(minutes=10)
_BACKFILL_STEP = timedelta(minutes=5)
_TRIAL = timedelta(days=30)
_RETRY_AFTER = timedelta(minutes=30)


class Task(NamedTuple):
    """One attempt to export a day or hour; `finished` is None until then."""

    start: datetime
    end: datetime
    run_at: datetime
    finished: datetime | None
    state: TaskState


@dataclass
class Pipeline:
    """A pipeline; `pauses` are (from, until), where None is an open end; `states` are set by tests."""

    name: str
    project: Project
    data_source: str
    settings: PipelineSettings
    created: datetime
    parameters: dict[str, str]
    pauses: list[tuple[datetime, datetime | None]] = field(default_factory=list)
    states: dict[date, FinalState] = field(default_factory=dict)

    @property
    def is_paused(self) -> bool:
        return bool(self.pauses) and self.pauses[-1][1] is None

    def tasks(self, now: datetime) -> Iterator[Task]:
        """All attempts for days or hours that are over, in their order."""
        for number, (start, end) in enumerate(self._windows(now)):
            due = max(end + _DELAY, self.created + number * _BACKFILL_STEP)
            yield from self._attempts(start, end, due, now)

    def _windows(self, now: datetime) -> Iterator[tuple[datetime, datetime]]:
        """The days or hours of the export that are over."""
        zone = self.project.zone
        start = datetime.combine(self.settings.from_date, time(), zone)
        last = self.settings.from_date + _TRIAL - timedelta(days=1) if self.settings.is_trial else self.settings.to_date
        stop = min(now, datetime.combine(last + timedelta(days=1), time(), zone)) if last else now
        while True:
            if self.settings.frequency == "daily":
                end = datetime.combine(start.date() + timedelta(days=1), time(), zone)
            else:  # an hour of real time, even if clocks change in between
                end = (start.astimezone(now.tzinfo) + timedelta(hours=1)).astimezone(zone)
            if end > stop:
                return
            yield start, end
            start = end

    def _attempts(self, start: datetime, end: datetime, due: datetime, now: datetime) -> Iterator[Task]:
        run_at: datetime | None = due
        for paused, resumed in self.pauses:
            if run_at is None:
                break
            if run_at < paused < run_at + _DURATION:
                yield Task(start, end, run_at, paused, "canceled")
                run_at = resumed
            elif run_at >= paused and (resumed is None or run_at < resumed):
                due, run_at = run_at, resumed
        if run_at is None:
            yield Task(start, end, due, None, "pending")
            return
        first = self._attempt(start, end, run_at, now, self.states.get(start.date(), "succeeded"))
        yield first
        if first.state == "retried" and first.finished:
            yield self._attempt(start, end, first.finished + _RETRY_AFTER, now, "succeeded")

    def _attempt(self, start: datetime, end: datetime, run_at: datetime, now: datetime, outcome: TaskState) -> Task:
        if run_at > now:
            return Task(start, end, run_at, None, "pending")
        if now < run_at + _DURATION:
            return Task(start, end, run_at, None, "running")
        return Task(start, end, run_at, run_at + _DURATION, outcome)


class Pipelines:
    """The pipelines of each project by name, and when each project created its dated ones."""

    def __init__(self, _state: State) -> None:
        self.pipelines: dict[int, dict[str, Pipeline]] = defaultdict(dict)
        self.dated: dict[int, list[datetime]] = defaultdict(list)

    def set_state(self, project_id: int, name: str, day: date, state: FinalState) -> None:
        """Set the state of the tasks of a day. Raises ValueError for an unknown pipeline or state."""
        known = self.pipelines[project_id]
        if name not in known:
            raise ValueError(f"name {name!r} is not a pipeline of the project; known: {sorted(known)}")
        if state not in get_args(FinalState):
            raise ValueError(f"state {state!r} must be one of {', '.join(get_args(FinalState))}")
        known[name].states[day] = state
