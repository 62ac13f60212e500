"""A sensor that annotates Mixpanel's charts when a job ends, so that a backfill or a release shows there.

Dagster's own run-status sensors forget a run when their function fails, so that an hour without Mixpanel would lose its
annotations. This one asks for the runs itself: what could not be written is written by a later tick.
"""

# Dagster reads the annotations of sensors, so they must be types, not strings.
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import dagster as dg

from mixpanel_etl.dagster.internals import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    BACKFILL_ID_TAG,
    FINISHED_STATUSES,
    PARTITION_NAME_TAG,
    BulkActionStatus,
    PartitionBackfill,
    RunRecord,
)
from mixpanel_etl.dagster.recording import withheld_messages
from mixpanel_etl.lake import ConfigurationError
from mixpanel_etl.push.chart_annotations import annotate

if TYPE_CHECKING:
    from mixpanel_etl.dagster.annotations.component import MixpanelAnnotations

Ending = Literal["success", "failure", "canceled"]

_TICK_SECONDS = 20.0  # of the 60 that Dagster gives a tick
_DEADLINE = 15.0
#: A run may show up later than one that ended after it.
_OVERLAP = timedelta(minutes=2)
_BACKFILL_ENDINGS: dict[BulkActionStatus, Ending] = {
    BulkActionStatus.COMPLETED: "success",
    BulkActionStatus.COMPLETED_SUCCESS: "success",
    BulkActionStatus.COMPLETED_FAILED: "failure",
    BulkActionStatus.FAILED: "failure",
    BulkActionStatus.CANCELED: "canceled",
}


class EndedRun(NamedTuple):
    """A run that ended, or all runs of a backfill.

    Attributes:
        job: name of the job.
        ending: how it ended.
        run_id: id of the run or backfill.
        at: when it ended (aware).
        partitions: partition, or first and last partition; empty for a job without partitions.
        seconds: duration.
        tags: tags of the run or backfill; a missing tag is empty.
    """

    job: str
    ending: Ending
    run_id: str
    at: datetime
    partitions: str
    seconds: float
    tags: Mapping[str, str]


class RunTags(dict[str, str]):
    """Tags of a run; a missing tag is empty."""

    def __missing__(self, name: str) -> str:
        return ""


@dataclass
class _Cursor:
    """Where the sensor is.

    Attributes:
        after: runs that changed before this (UTC) are done.
        done: runs that changed later, but are done.
        backfills: whose end is awaited, with the job of their runs.
    """

    after: datetime
    done: set[str] = field(default_factory=set)
    backfills: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, text: str) -> "_Cursor":
        plain = json.loads(text)
        return cls(datetime.fromisoformat(plain["after"]), set(plain["done"]), plain["backfills"])

    def plain(self) -> str:
        return json.dumps({"after": self.after.isoformat(), "done": sorted(self.done), "backfills": self.backfills})


def annotation_sensor(component: "MixpanelAnnotations") -> dg.SensorDefinition:
    """The sensor: one annotation for each run or backfill that ends after the sensor was switched on."""

    @dg.sensor(
        name=f"{component.name}_sensor",
        minimum_interval_seconds=30,
        description=f"Annotates Mixpanel's charts when one of these ends: {', '.join(component.jobs)}.",
    )
    @withheld_messages()
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        _check_jobs(context, component)
        if not context.cursor:
            cursor = _Cursor(datetime.now(UTC))
            cursor.done = {record.dagster_run.run_id for record in _changed(context.instance, component, cursor)}
            return dg.SensorResult(cursor=cursor.plain(), skip_reason="jobs that end from now on are annotated")
        cursor = _Cursor.read(context.cursor)
        written = _annotate(context, component, cursor)
        return dg.SensorResult(cursor=cursor.plain(), skip_reason=f"{written} annotations written")

    return sensor


def _check_jobs(context: dg.SensorEvaluationContext, component: "MixpanelAnnotations") -> None:
    location = context.repository_def
    unknown = [name for name in component.jobs if location and not location.has_job(name)]
    if location and unknown:
        raise ConfigurationError(
            f"unknown jobs {', '.join(map(repr, unknown))}; jobs of this code location: "
            f"{', '.join(sorted(location.job_names))}"
        )


def _annotate(context: dg.SensorEvaluationContext, component: "MixpanelAnnotations", cursor: _Cursor) -> int:
    """Write annotations of what ended since the cursor, and move the cursor; returns how many were written."""
    records = _changed(context.instance, component, cursor)
    waiting: dict[str, EndedRun] = {}
    for record in records:
        run = record.dagster_run
        if run.run_id in cursor.done:
            continue
        if backfill := run.tags.get(BACKFILL_ID_TAG):
            cursor.backfills[backfill] = run.job_name
        else:
            waiting[run.run_id] = _ended(record)
    for backfill, job in cursor.backfills.items():
        if ended := _backfill(context.instance, backfill, job):
            waiting[backfill] = ended
    chosen = {name: ended for name, ended in waiting.items() if ended.ending in component.endings}
    written = _write(context, component, chosen)
    left = chosen.keys() - written.keys()
    cursor.backfills = {name: job for name, job in cursor.backfills.items() if name not in waiting or name in left}
    cursor.done = {record.dagster_run.run_id for record in records} - left
    if not left:
        cursor.after = max([cursor.after, *(_changed_at(record) for record in records)])
    return sum(written.values())


def _write(
    context: dg.SensorEvaluationContext, component: "MixpanelAnnotations", chosen: Mapping[str, EndedRun]
) -> dict[str, bool]:
    """Write annotations while there is time: which ones Mixpanel has now, and whether they are new there."""
    written: dict[str, bool] = {}
    if not chosen:
        return written
    stop_at = time.monotonic() + _TICK_SECONDS
    with component.mixpanel.client(context.log, deadline=_DEADLINE) as mixpanel:
        for name, ended in chosen.items():
            if time.monotonic() > stop_at:
                context.log.info(f"{len(chosen) - len(written)} annotations are left for the next tick")
                break
            text = component.text(ended)
            written[name] = annotate(mixpanel, ended.at, text, component.tags)
            context.log.info(f"annotated {ended.at:%Y-%m-%d %H:%M:%S} UTC for {ended.job} {ended.run_id}")
    return written


def _changed(instance: dg.DagsterInstance, component: "MixpanelAnnotations", cursor: _Cursor) -> list[RunRecord]:
    """Runs that ended since, of each job the oldest first."""
    return [
        record
        for job in component.jobs
        for record in instance.get_run_records(
            dg.RunsFilter(job_name=job, statuses=FINISHED_STATUSES, updated_after=cursor.after - _OVERLAP),
            order_by="update_timestamp",
            ascending=True,
        )
    ]


def _changed_at(record: RunRecord) -> datetime:
    return record.update_timestamp.replace(tzinfo=UTC)


def _ended(record: RunRecord) -> EndedRun:
    run = record.dagster_run
    ending: Ending = {"SUCCESS": "success", "FAILURE": "failure"}.get(run.status.value, "canceled")  # type: ignore[assignment]
    end = record.end_time or _changed_at(record).timestamp()
    seconds = end - (record.start_time or end)
    at = datetime.fromtimestamp(int(end), UTC)
    return EndedRun(run.job_name, ending, run.run_id, at, _partitions([run.tags]), seconds, RunTags(run.tags))


def _backfill(instance: dg.DagsterInstance, backfill_id: str, job: str) -> EndedRun | None:
    """A backfill that ended; None while it runs."""
    backfill: PartitionBackfill | None = instance.get_backfill(backfill_id)
    ending = _BACKFILL_ENDINGS.get(backfill.status) if backfill else None
    if backfill is None or ending is None:
        return None
    runs = instance.get_run_records(dg.RunsFilter(tags={BACKFILL_ID_TAG: backfill_id}))
    if not all(record.dagster_run.is_finished for record in runs):
        return None  # `dagster job backfill` calls it completed when all runs are submitted,
    if backfill.status == BulkActionStatus.COMPLETED and any(not record.dagster_run.is_success for record in runs):
        ending = "failure"  # and never says how they ended
    ends = [record.end_time for record in runs if record.end_time]
    end = max(ends, default=backfill.backfill_end_timestamp or backfill.backfill_timestamp)
    partitions = _partitions([record.dagster_run.tags for record in runs])
    seconds = end - backfill.backfill_timestamp
    return EndedRun(
        job,
        ending,
        backfill_id,
        datetime.fromtimestamp(int(end), UTC),
        partitions,
        seconds,
        RunTags(backfill.tags or {}),
    )


def _partitions(tags: Sequence[Mapping[str, Any]]) -> str:
    """The partitions of runs: one, or from the first to the last."""
    keys = sorted(_keys(tags))
    return "" if not keys else keys[0] if keys[0] == keys[-1] else f"{keys[0]} to {keys[-1]}"


def _keys(tags: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for one in tags:
        for name in (PARTITION_NAME_TAG, ASSET_PARTITION_RANGE_START_TAG, ASSET_PARTITION_RANGE_END_TAG):
            if name in one:
                yield str(one[name])
