"""The checks: Mixpanel's jobs end well, and requests are done before their deadlines; and the daily look at all."""

# Dagster reads the annotations of checks, so they must be types, not strings.
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import dagster as dg

from mixpanel_etl.dagster.gdpr.metadata import request_metadata, table_of
from mixpanel_etl.dagster.gdpr.settings import Gdpr
from mixpanel_etl.dagster.recording import withheld_messages
from mixpanel_etl.gdpr.delivery import remove_expired
from mixpanel_etl.gdpr.intake import rejected_table
from mixpanel_etl.gdpr.ledger import Ledger
from mixpanel_etl.gdpr.polling import trouble
from mixpanel_etl.gdpr.progress import Progress, open_requests
from mixpanel_etl.gdpr.suppression_list import Suppression

JOBS, DEADLINES, CONFIRMED = "jobs_are_well", "deadlines_are_kept", "ids_confirmed"
_MAX_LISTED = 20
SOON = timedelta(days=7)  # before a deadline, when it is alerted


def jobs_are_well(gdpr: Gdpr, ledger: Ledger) -> dg.AssetCheckEvaluation:
    """Whether no Mixpanel job of an open request has failed, is late, or is not known to exist."""
    now, late = gdpr.now(), timedelta(days=gdpr.late_days)
    jobs = {job.job_id: job for one in open_requests(ledger) for job in one.jobs}
    troubles = [text for job in jobs.values() if (text := trouble(job, now, late))]
    return dg.AssetCheckEvaluation(
        asset_key=gdpr.key("outcomes"),
        check_name=JOBS,
        passed=not troubles,
        description="; ".join(troubles) or "every Mixpanel job is on its way, or has ended well",
        metadata={"mixpanel_etl/jobs": len(jobs), "mixpanel_etl/in_trouble": len(troubles)},
    )


def ids_confirmed(gdpr: Gdpr, ledger: Ledger) -> dg.AssetCheckEvaluation:
    """Whether no request waits for a person to decide which ids belong to it; counts only, as ids name persons."""
    waiting = [one.entry for one in open_requests(ledger) if one.entry.in_doubt]
    reasons = Counter(reason for entry in waiting for reason in entry.in_doubt)
    grades = Counter(claim.reason for entry in waiting for claim in entry.claims if claim.is_open)
    names = ", ".join(entry.request_id for entry in waiting[:_MAX_LISTED])
    more = f" and {len(waiting) - _MAX_LISTED} more" if len(waiting) > _MAX_LISTED else ""
    why = ", ".join(f"{count} for {reason}" for reason, count in sorted(reasons.items()))
    return dg.AssetCheckEvaluation(
        asset_key=gdpr.key("requests"),
        check_name=CONFIRMED,
        passed=not waiting,
        description=f"{len(waiting)} requests wait for a person ({why}): {names}{more}. `mixpanel-etl gdpr confirm` "
        "shows the evidence"
        if waiting
        else "no request waits for a person to decide which ids belong to it",
        metadata={
            "mixpanel_etl/waiting": len(waiting),
            "mixpanel_etl/reasons": dict(reasons),
            "mixpanel_etl/claims": dict(grades),
        },
    )


def gdpr_checks(gdpr: Gdpr) -> list[dg.AssetChecksDefinition]:
    """The checks of the jobs and of the ids, which the sensor evaluates, too."""

    @dg.asset_check(
        name=JOBS,
        asset=gdpr.key("outcomes"),
        description="No Mixpanel job of an open request has failed, is late, or is not known to exist.",
    )
    @withheld_messages()
    def jobs() -> dg.AssetCheckResult:
        found = jobs_are_well(gdpr, gdpr.ledger())
        return dg.AssetCheckResult(passed=found.passed, description=found.description, metadata=found.metadata)

    @dg.asset_check(
        name=CONFIRMED,
        asset=gdpr.key("requests"),
        description="No open request waits for a person to decide which ids belong to it.",
    )
    def confirmed() -> dg.AssetCheckResult:
        found = ids_confirmed(gdpr, gdpr.ledger())
        return dg.AssetCheckResult(passed=found.passed, description=found.description, metadata=found.metadata)

    return [jobs, confirmed]


def overview_asset(gdpr: Gdpr) -> dg.AssetsDefinition:
    """All open requests with their deadlines. What has expired is removed when it is materialized."""
    key = gdpr.key("overview")

    @dg.multi_asset(
        specs=[
            dg.AssetSpec(
                key,
                description="All open requests with their deadlines (GDPR: 30 days, CCPA: 45). Delivered data that "
                "have expired are removed.",
                group_name=gdpr.group_name,
                kinds={"mixpanel"},
            )
        ],
        check_specs=[
            dg.AssetCheckSpec(DEADLINES, asset=key, description="No open request is near or after its deadline.")
        ],
        name=key.to_python_identifier(),
        pool=gdpr.pool,
    )
    def overview(context: dg.AssetExecutionContext) -> Iterator[dg.AssetObservation | dg.MaterializeResult[Any]]:
        with withheld_messages():
            ledger, now = gdpr.ledger(), gdpr.now()
            removed = remove_expired(ledger, gdpr.destination, now) if gdpr.destination else []
        for entry in removed:
            context.log.info(f"the data of request {entry.request_id} have expired, and are removed")
        Suppression(ledger.lake).expire(now)
        progress = open_requests(ledger)
        for one in progress:
            metadata = {f"mixpanel_etl/{name}": value for name, value in request_metadata(one, now).items()}
            yield dg.AssetObservation(gdpr.key("requests"), partition=one.entry.request_id, metadata=metadata)
        near = [one for one in progress if one.deadline - now < SOON]
        for one in near:
            gdpr.on_alert(
                f"request {one.entry.request_id} ({one.entry.request.kind}, {one.state(now)}) is due on "
                f"{one.deadline:%Y-%m-%d}"
            )
        yield dg.MaterializeResult(
            asset_key=key,
            metadata={
                "mixpanel_etl/open_requests": table_of(progress, now),
                "mixpanel_etl/open": len(progress),
                "mixpanel_etl/rejected": len(rejected_table(ledger.lake).keys()),
                "mixpanel_etl/deliveries_removed": len(removed),
            },
            check_results=[_deadlines(near)],
        )

    return overview


def daily_schedule(gdpr: Gdpr) -> dg.ScheduleDefinition:
    """Looks at all deadlines every day."""
    job = dg.define_asset_job(
        f"{gdpr.name}_daily",
        selection=dg.AssetSelection.assets(gdpr.key("overview"))
        | dg.AssetSelection.checks(
            dg.AssetCheckKey(gdpr.key("outcomes"), JOBS), dg.AssetCheckKey(gdpr.key("requests"), CONFIRMED)
        ),
        description="Looks at the deadlines of all requests, and removes what has expired.",
    )
    return dg.ScheduleDefinition(
        name=f"{gdpr.name}_every_day", job=job, cron_schedule=gdpr.daily_at, execution_timezone="UTC"
    )


def _deadlines(near: list[Progress]) -> dg.AssetCheckResult:
    late = "; ".join(f"{one.entry.request_id} ({one.deadline:%Y-%m-%d})" for one in near)
    return dg.AssetCheckResult(
        check_name=DEADLINES,
        passed=not near,
        description=f"near or after their deadlines: {late}" if near else "every open request has a week or more",
    )
