"""GDPR jobs. Source: mixpanel-api.md#gdpr-jobs.

A job ends 24 stages after its request, where a stage is `Project.gdpr_stage_seconds`: it is PENDING for the first and
STAGING for the second. Tests can set its final status.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from typing import Literal, get_args

import msgspec

from mixpanel_etl.sandbox.engine.clock import milliseconds
from mixpanel_etl.sandbox.engine.identifiers import stable_uuid
from mixpanel_etl.sandbox.engine.projects import Project
from mixpanel_etl.sandbox.engine.state import State

Task = Literal["retrieval", "deletion"]
Outcome = Literal["SUCCESS", "FAILURE", "UNKNOWN"]
_STAGES = 24
CCPA_DAYS = 365
_LINES = """
SELECT line(head, time_ms, tail) FROM events
WHERE project_id = ? AND list_contains(?, distinct_id) AND time_ms >= ? ORDER BY seq"""


@dataclass
class Job:
    """One retrieval or deletion. `archive` is the name of the download, if any."""

    tracking_id: str
    project: Project
    task: Task
    distinct_ids: list[str]
    compliance_type: str
    disclosure_type: str
    requested: datetime
    scanned_days: int
    outcome: Outcome = "SUCCESS"
    revoked: datetime | None = None
    archive: str = ""
    requesting_user: str = "user@sandbox.example"

    @property
    def ends(self) -> datetime:
        return self.requested + _STAGES * self._stage

    def status(self, now: datetime) -> str:
        if self.revoked:
            return "REVOKED"
        if now >= self.ends:
            return self.outcome
        if now >= self.requested + 2 * self._stage:
            return "STARTED"
        return "STAGING" if now >= self.requested + self._stage else "PENDING"

    @property
    def _stage(self) -> timedelta:
        return timedelta(seconds=self.project.gdpr_stage_seconds)


class GdprJobs:
    """The jobs of all projects, and the archives of the retrievals among them."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._numbers = count(1)
        self._jobs: dict[str, Job] = {}
        self._archives: dict[str, bytes] = {}
        self._next_outcomes: list[Outcome] = []
        self._next_archives: list[bytes] = []

    def add(
        self,
        project: Project,
        task: Task,
        *,
        distinct_ids: Sequence[str],
        compliance_type: str,
        disclosure_type: str,
        requested: datetime,
        scanned_days: int,
    ) -> Job:
        job = Job(
            stable_uuid(f"gdpr {project.project_id} {next(self._numbers)}"),
            project,
            task,
            list(distinct_ids),
            compliance_type,
            disclosure_type,
            requested,
            scanned_days,
            outcome=self._next_outcomes.pop(0) if self._next_outcomes else "SUCCESS",
        )
        self._jobs[job.tracking_id] = job
        self._state.scheduler.schedule(job.ends, lambda: self._finish(job))
        return job

    def get(self, project_id: int, task: Task, tracking_id: str) -> Job | None:
        job = self._jobs.get(tracking_id)
        return job if job and (job.project.project_id, job.task) == (project_id, task) else None

    def archive(self, name: str) -> bytes | None:
        return self._archives.get(name)

    def outstanding_days(self, project_id: int, now: datetime) -> int:
        """Days of data that the unfinished retrievals of a project scan."""
        return sum(
            job.scanned_days for job in self._jobs.values() if job.project.project_id == project_id and now < job.ends
        )

    def set_next_outcome(self, outcome: Outcome) -> None:
        """Set the final status of the next job. Raises ValueError for an unknown one."""
        if outcome not in get_args(Outcome):
            raise ValueError(f"outcome {outcome!r} must be one of {', '.join(get_args(Outcome))}")
        self._next_outcomes.append(outcome)

    def set_next_archive(self, content: bytes) -> None:
        """Set the archive of the next retrieval that succeeds, instead of the users' data."""
        self._next_archives.append(content)

    def _finish(self, job: Job) -> None:
        if job.revoked or job.outcome != "SUCCESS":
            return
        identities, project_id = self._state.identities, job.project.project_id
        ids = sorted({identities.canonical(project_id, distinct_id) for distinct_id in job.distinct_ids})
        if job.task == "deletion":
            self._state.store.delete_users(project_id, ids)
            for distinct_id in ids:
                self._state.profiles.change_user(project_id, distinct_id, lambda _: None)
            return
        job.archive = hashlib.sha256(job.tracking_id.encode()).hexdigest() + ".zip"
        decided = self._next_archives.pop(0) if self._next_archives else None
        self._archives[job.archive] = self._archive_of(job, ids) if decided is None else decided

    def _archive_of(self, job: Job, ids: list[str]) -> bytes:
        """`events.jsonl` and `profiles.jsonl`; for Categories the names of properties, for Sources the libraries."""
        since = milliseconds(job.requested - timedelta(days=CCPA_DAYS)) if job.compliance_type.upper() == "CCPA" else 0
        rows = self._state.store.query(_LINES, [job.project.project_id, ids, since])
        events = [json.loads(line) for (line,) in rows]
        users = self._state.profiles.users(job.project.project_id)
        profiles = [{"$distinct_id": name, "$properties": users[name].properties} for name in ids if name in users]
        if job.disclosure_type == "Categories":
            names = {name for event in events for name in event["properties"]}
            names |= {name for profile in profiles for name in profile["$properties"]}
            files = {"categories.jsonl": sorted(names)}
        elif job.disclosure_type == "Sources":
            sources = {event["properties"].get("mp_lib", "server") for event in events}
            files = {"sources.jsonl": sorted(map(str, sources))}
        else:
            files = {"events.jsonl": events, "profiles.jsonl": profiles}
        return _zip(files)


def _zip(files: dict[str, list[object]]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, records in files.items():
            content = b"".join(msgspec.json.encode(record) + b"\n" for record in records)
            archive.writestr(zipfile.ZipInfo(name), content)  # without a time: the same bytes in every run
    return buffer.getvalue()
