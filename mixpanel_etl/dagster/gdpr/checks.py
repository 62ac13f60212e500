"""The checks of Mixpanel's jobs and of ids that wait for a decision."""

# Dagster reads the annotations of checks, so they must be types, not strings.
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

import dagster as dg

from mixpanel_etl.dagster.recording import withheld_messages
from mixpanel_etl.errors import listed
from mixpanel_etl.gdpr.ledger import Ledger
from mixpanel_etl.gdpr.polling import trouble
from mixpanel_etl.gdpr.progress import open_requests

if TYPE_CHECKING:
    from mixpanel_etl.dagster.gdpr.component import MixpanelGdpr

JOBS, CONFIRMED = "jobs_healthy", "ids_confirmed"


def jobs_healthy(gdpr: "MixpanelGdpr", ledger: Ledger) -> dg.AssetCheckEvaluation:
    """Whether no Mixpanel job of an open data subject request has failed, is late, or may not exist."""
    now, late = gdpr.now(), timedelta(days=gdpr.late_days)
    jobs = {job.job_id: job for one in open_requests(ledger) for job in one.jobs}
    troubles = [text for job in jobs.values() if (text := trouble(job, now, late))]
    return dg.AssetCheckEvaluation(
        asset_key=gdpr.key("outcomes"),
        check_name=JOBS,
        passed=not troubles,
        description="; ".join(troubles) or "every Mixpanel job is running or has succeeded",
        metadata={"mixpanel_etl/jobs": len(jobs), "mixpanel_etl/in_trouble": len(troubles)},
    )


def ids_confirmed(gdpr: "MixpanelGdpr", ledger: Ledger) -> dg.AssetCheckEvaluation:
    """Whether no data subject request waits for a decision on its ids; counts only, because ids name persons."""
    waiting = [one.entry for one in open_requests(ledger) if one.entry.in_doubt]
    reasons = Counter(reason for entry in waiting for reason in entry.in_doubt)
    grades = Counter(claim.reason for entry in waiting for claim in entry.claims if claim.is_open)
    names = listed([entry.request_id for entry in waiting])
    why = ", ".join(f"{count} for {reason}" for reason, count in sorted(reasons.items()))
    return dg.AssetCheckEvaluation(
        asset_key=gdpr.key("requests"),
        check_name=CONFIRMED,
        passed=not waiting,
        description=f"{len(waiting)} requests wait for a decision ({why}): {names}. `mixpanel-etl gdpr confirm` "
        "shows the evidence"
        if waiting
        else "no request waits for a decision",
        metadata={
            "mixpanel_etl/waiting": len(waiting),
            "mixpanel_etl/reasons": dict(reasons),
            "mixpanel_etl/claims": dict(grades),
        },
    )


def gdpr_checks(gdpr: "MixpanelGdpr") -> list[dg.AssetChecksDefinition]:
    """The checks of the jobs and of the ids, which the sensor evaluates as well."""

    @dg.asset_check(
        name=JOBS,
        asset=gdpr.key("outcomes"),
        description="No Mixpanel job of an open data subject request has failed, is late, or may not exist.",
    )
    @withheld_messages()
    def jobs() -> dg.AssetCheckResult:
        found = jobs_healthy(gdpr, gdpr.ledger)
        return dg.AssetCheckResult(passed=found.passed, description=found.description, metadata=found.metadata)

    @dg.asset_check(
        name=CONFIRMED,
        asset=gdpr.key("requests"),
        description="No open data subject request waits for a decision which ids belong to it.",
    )
    def confirmed() -> dg.AssetCheckResult:
        found = ids_confirmed(gdpr, gdpr.ledger)
        return dg.AssetCheckResult(passed=found.passed, description=found.description, metadata=found.metadata)

    return [jobs, confirmed]
