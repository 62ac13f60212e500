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
from typing import Any, Literal, NamedTuple, get_args

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
from mixpanel_etl.dagster.resource import MixpanelResource
from mixpanel_etl.lake import ConfigurationError
from mixpanel_etl.push.annotate import annotate

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


@dataclass(frozen=True)
class JobAnnotation:
    """What is written when which job ends.

    Attributes:
        jobs: names of jobs of this code location; `__ASSET_JOB` is what the UI's *Materialize* runs.
        name: of the sensor.
        description: the text, with `{job}`, `{status}`, `{partitions}`, `{run_id}`, `{seconds}` and `{tags[NAME]}`.
        tags: of the annotation, by name.
        endings: of which kinds.
        mixpanel: the project.

    Raises:
        ConfigurationError: no job, an unknown ending, or a text with unknown fields.
    """

    jobs: Sequence[str]
    name: str = "mixpanel_annotation"
    description: str = "{job}: {status} {partitions}"
    tags: Sequence[str] = ()
    endings: Sequence[Ending] = ("success",)
    mixpanel: MixpanelResource = field(default_factory=MixpanelResource)

    def __post_init__(self) -> None:
        if not self.jobs:
            raise ConfigurationError("jobs is empty: name at least one job")
        for ending in self.endings:
            if ending not in get_args(Ending):
                raise ConfigurationError(f"endings has {ending!r}: use {', '.join(get_args(Ending))}")
        try:
            text = self.text(_Ended("job", "success", "id", datetime.now(UTC), "", 1.0, {}))
        except (KeyError, IndexError, ValueError, AttributeError, TypeError) as error:
            raise ConfigurationError(
                f"description is {self.description!r} ({type(error).__name__}: {error}): use {{job}}, {{status}}, "
                "{partitions}, {run_id}, {seconds} and {tags[NAME]}; write {{ and }} for braces"
            ) from None
        if not text:
            raise ConfigurationError("description is empty: write what the annotation shall say")

    def text(self, ended: "_Ended") -> str:
        """What the annotation of a run says."""
        return self.description.format(
            job=ended.job,
            status=ended.ending,
            run_id=ended.run_id,
            partitions=ended.partitions,
            seconds=round(ended.seconds),
            tags=_Tags(ended.tags),
        ).strip()


class _Ended(NamedTuple):
    """A run, or all runs of a backfill; `run_id` is the backfill's then."""

    job: str
    ending: Ending
    run_id: str
    at: datetime
    partitions: str
    seconds: float
    tags: Mapping[str, str]


class _Tags(dict[str, str]):
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


def annotation_definitions(annotation: JobAnnotation) -> dg.Definitions:
    """The sensor. It writes what ends after it was switched on, one annotation for a run, and one for a backfill."""

    @dg.sensor(
        name=annotation.name,
        minimum_interval_seconds=30,
        description=f"Annotates Mixpanel's charts when one of these ends: {', '.join(annotation.jobs)}.",
    )
    @withheld_messages()
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        _check_jobs(context, annotation)
        if not context.cursor:
            cursor = _Cursor(datetime.now(UTC))
            cursor.done = {record.dagster_run.run_id for record in _changed(context.instance, annotation, cursor)}
            return dg.SensorResult(cursor=cursor.plain(), skip_reason="from now on")
        cursor = _Cursor.read(context.cursor)
        written = _annotate(context, annotation, cursor)
        return dg.SensorResult(cursor=cursor.plain(), skip_reason=f"{written} annotations written")

    return dg.Definitions(sensors=[sensor])


def _check_jobs(context: dg.SensorEvaluationContext, annotation: JobAnnotation) -> None:
    location = context.repository_def
    unknown = [name for name in annotation.jobs if location and not location.has_job(name)]
    if location and unknown:
        raise ConfigurationError(
            f"jobs has {', '.join(map(repr, unknown))}, which this code location has not; it has "
            f"{', '.join(sorted(location.job_names))}"
        )


def _annotate(context: dg.SensorEvaluationContext, annotation: JobAnnotation, cursor: _Cursor) -> int:
    """Write what is new, and move the cursor behind it; how many annotations were written."""
    records = _changed(context.instance, annotation, cursor)
    waiting: dict[str, _Ended] = {}
    for record in records:
        run = record.dagster_run
        if run.run_id in cursor.done:
            continue
        if backfill := run.tags.get(BACKFILL_ID_TAG):
            cursor.backfills[backfill] = run.job_name
        else:
            waiting[run.run_id] = _ended(record)
    for backfill, job in cursor.backfills.items():
        if over := _backfill(context.instance, backfill, job):
            waiting[backfill] = over
    chosen = {name: ended for name, ended in waiting.items() if ended.ending in annotation.endings}
    written = _write(context, annotation, chosen)
    left = chosen.keys() - written.keys()
    cursor.backfills = {name: job for name, job in cursor.backfills.items() if name not in waiting or name in left}
    cursor.done = {record.dagster_run.run_id for record in records} - left
    if not left:
        cursor.after = max([cursor.after, *(_changed_at(record) for record in records)])
    return sum(written.values())


def _write(
    context: dg.SensorEvaluationContext, annotation: JobAnnotation, chosen: Mapping[str, _Ended]
) -> dict[str, bool]:
    """Write annotations while there is time: which ones stand in Mixpanel now, and whether they are new there."""
    written: dict[str, bool] = {}
    if not chosen:
        return written
    stop_at = time.monotonic() + _TICK_SECONDS
    with annotation.mixpanel.client(context.log, deadline=_DEADLINE) as mixpanel:
        for name, ended in chosen.items():
            if time.monotonic() > stop_at:
                context.log.info(f"{len(chosen) - len(written)} annotations are left for the next tick")
                break
            text = annotation.text(ended)
            written[name] = annotate(mixpanel, ended.at, text, annotation.tags)
            context.log.info(f"annotated {ended.at:%Y-%m-%d %H:%M:%S} UTC for {ended.job} {ended.run_id}")
    return written


def _changed(instance: dg.DagsterInstance, annotation: JobAnnotation, cursor: _Cursor) -> list[RunRecord]:
    """Runs that ended since, of each job the oldest first."""
    return [
        record
        for job in annotation.jobs
        for record in instance.get_run_records(
            dg.RunsFilter(job_name=job, statuses=FINISHED_STATUSES, updated_after=cursor.after - _OVERLAP),
            order_by="update_timestamp",
            ascending=True,
        )
    ]


def _changed_at(record: RunRecord) -> datetime:
    return record.update_timestamp.replace(tzinfo=UTC)


def _ended(record: RunRecord) -> _Ended:
    run = record.dagster_run
    ending: Ending = {"SUCCESS": "success", "FAILURE": "failure"}.get(run.status.value, "canceled")  # type: ignore[assignment]
    end = record.end_time or _changed_at(record).timestamp()
    seconds = end - (record.start_time or end)
    at = datetime.fromtimestamp(int(end), UTC)
    return _Ended(run.job_name, ending, run.run_id, at, _partitions([run.tags]), seconds, run.tags)


def _backfill(instance: dg.DagsterInstance, backfill_id: str, job: str) -> _Ended | None:
    """A backfill that is over; None for one that is not."""
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
    return _Ended(
        job, ending, backfill_id, datetime.fromtimestamp(int(end), UTC), partitions, seconds, backfill.tags or {}
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
