"""The sensor that polls Mixpanel and starts the steps that are due."""

# Dagster reads the annotations of sensors, so they must be types, not strings.
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, get_args

import dagster as dg

from mixpanel_etl.dagster.gdpr.checks import CONFIRMED, ids_confirmed, jobs_healthy
from mixpanel_etl.dagster.internals import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG
from mixpanel_etl.dagster.recording import withheld_messages
from mixpanel_etl.gdpr.jobs import submittable
from mixpanel_etl.gdpr.ledger import Ledger
from mixpanel_etl.gdpr.ledger_entries import Job
from mixpanel_etl.gdpr.polling import poll, trouble
from mixpanel_etl.gdpr.progress import Step, open_requests

if TYPE_CHECKING:
    from mixpanel_etl.dagster.gdpr.component import MixpanelGdpr

STEP_TAG = "mixpanel_etl/gdpr_step"

_TICK_SECONDS = 20.0  # of the 60 that Dagster gives a tick
_POLL_DEADLINE = 10.0
_INTERVAL = 60
#: Partitions between two that are due, up to which one run covers both.
_MAX_GAP_PER_RUN = 200
_MAX_WAIT = timedelta(hours=6)  # after failures


def progress_sensor(gdpr: "MixpanelGdpr") -> dg.SensorDefinition:
    """Polls open jobs, alerts what needs a decision, and starts the steps that are due."""

    @dg.sensor(
        name=f"{gdpr.name}_progress_sensor",
        minimum_interval_seconds=_INTERVAL,
        target=dg.AssetSelection.assets(*(gdpr.key(step) for step in get_args(Step))),
        description="Polls Mixpanel's jobs (after minutes, then hours, for weeks), and starts the steps that are due.",
    )
    @withheld_messages()
    def progress(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        ledger = gdpr.ledger
        _poll(gdpr, context, ledger)
        _alert(gdpr, ledger)
        checks = [jobs_healthy(gdpr, ledger), ids_confirmed(gdpr, ledger)]
        before = json.loads(cursor) if (cursor := context.cursor or "").startswith("{") else {}
        states = {check.check_name: f"{check.passed} {check.description}" for check in checks}
        changed = [check for check in checks if states[check.check_name] != before.get(check.check_name)]
        waiting = len([entry for entry in ledger.entries() if entry.in_doubt])
        if waiting > before.get("waiting", 0):
            gdpr.alert(next(check.description or "" for check in checks if check.check_name == CONFIRMED))
        runs = list(_runs(gdpr, context.instance, ledger))
        return dg.SensorResult(
            run_requests=runs,
            # Dagster shows it beside a tick that starts no run, which is otherwise an "empty result".
            skip_reason=None if runs else f"{len(ledger.entries())} data subject requests are open; no step is due",
            asset_events=changed,
            cursor=json.dumps({**states, "waiting": waiting}),
        )

    return progress


def _poll(gdpr: "MixpanelGdpr", context: dg.SensorEvaluationContext, ledger: Ledger) -> None:
    stop_at = time.monotonic() + _TICK_SECONDS
    before = {job.job_id: job.status for job in ledger.jobs() if job.ended_at is None}
    if not before:
        return
    with gdpr.client(ledger, _POLL_DEADLINE) as mixpanel:
        for job in poll(ledger, mixpanel.gdpr, gdpr.now, lambda: time.monotonic() > stop_at):
            if job.problem:
                context.log.warning(f"{job.kind} {job.tracking_id}: {job.problem}; polled again at {job.next_poll_at}")
            elif job.status != before.get(job.job_id):
                context.log.info(f"{job.kind} {job.tracking_id} is {job.status}")


def _alert(gdpr: "MixpanelGdpr", ledger: Ledger) -> None:
    """Alert each problem once. It is marked as alerted afterwards, so a crash repeats an alert but loses none."""
    for job in ledger.jobs():
        text = trouble(job, gdpr.now(), timedelta(days=gdpr.late_days))
        kind = f"{job.status} {bool(job.tracking_id)}" if text else ""
        if kind and kind != job.alerted:
            gdpr.alert(text)
            ledger.change_job(job, partial(Job.replace, alerted=kind))


def _runs(gdpr: "MixpanelGdpr", instance: dg.DagsterInstance, ledger: Ledger) -> Iterator[dg.RunRequest]:
    """One run for each step that is due, over the partitions from the first to the last that needs it."""
    keys = list(instance.get_dynamic_partitions(gdpr.partitions.name or ""))
    for step, ids in _due(gdpr, instance, ledger).items():
        due = [number for number, key in enumerate(keys) if key in ids]
        if not due or _must_wait(gdpr, instance, step):
            continue
        for first, last in _ranges(due):
            yield dg.RunRequest(
                asset_selection=[gdpr.key(step)],
                asset_check_keys=[],  # Dagster would skip it with the output that no step has
                tags={
                    ASSET_PARTITION_RANGE_START_TAG: keys[first],
                    ASSET_PARTITION_RANGE_END_TAG: keys[last],
                    STEP_TAG: gdpr.key(step).to_user_string(),
                },
            )


def _ranges(numbers: list[int]) -> Iterator[tuple[int, int]]:
    """First and last of numbers that are near each other: a run costs Dagster something for each partition in it."""
    first = last = numbers[0]
    for number in numbers[1:]:
        if number - last > _MAX_GAP_PER_RUN:
            yield first, last
            first = number
        last = number
    yield first, last


def _due(gdpr: "MixpanelGdpr", instance: dg.DagsterInstance, ledger: Ledger) -> dict[Step, set[str]]:
    """By step, the data subject requests that need a run of it.

    A run may have been killed before it recorded what it did. That is recorded before the next step: what was found of
    a person is shown before anything happens that can't be undone, and all of it before the request is completed.
    """
    now, progress = gdpr.now(), open_requests(ledger)
    if not progress:
        return {}
    recorded = {step: instance.get_materialized_partitions(gdpr.key(step)) for step in get_args(Step)}
    ready = {one.entry.request_id for one in submittable(ledger, progress, now)}
    due: dict[Step, set[str]] = {step: set() for step in get_args(Step)}
    for one in progress:
        request_id = one.entry.request_id
        unrecorded = (step for step in due if one.has_passed(step) and request_id not in recorded[step])
        step = next(unrecorded, one.due(now, gdpr.erase))
        if step and (step != "jobs" or one.has_passed("jobs") or request_id in ready):
            due[step].add(request_id)
    return due


def _must_wait(gdpr: "MixpanelGdpr", instance: dg.DagsterInstance, step: Step) -> bool:
    """Whether a run of the step is under way, or runs failed a short while ago: minutes, then hours."""
    filters = dg.RunsFilter(tags={STEP_TAG: gdpr.key(step).to_user_string()})
    failures = 0
    for record in instance.get_run_records(filters, limit=10):
        run = record.dagster_run
        if not run.is_finished:
            return True
        if run.is_success:
            break
        failures += 1
        if failures == 1:
            last = record.end_time or record.create_timestamp.timestamp()
    wait = min(timedelta(minutes=2**failures), _MAX_WAIT)
    return bool(failures) and datetime.now(UTC) - datetime.fromtimestamp(last, UTC) < wait
