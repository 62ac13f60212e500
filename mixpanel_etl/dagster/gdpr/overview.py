"""The daily list of all open data subject requests with their deadlines."""

# Dagster reads the annotations of assets, so they must be types, not strings.
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Literal

import dagster as dg

from mixpanel_etl.dagster.gdpr.checks import CONFIRMED, JOBS
from mixpanel_etl.dagster.gdpr.metadata import request_metadata, table_of
from mixpanel_etl.dagster.recording import withheld_messages
from mixpanel_etl.gdpr.delivery import remove_expired
from mixpanel_etl.gdpr.intake import rejected_table
from mixpanel_etl.gdpr.progress import Progress, Step, open_requests
from mixpanel_etl.gdpr.suppression_list import Suppression

if TYPE_CHECKING:
    from mixpanel_etl.dagster.gdpr.component import MixpanelGdpr

#: The assets of the component: one for each step, and the list of all open data subject requests.
AssetName = Step | Literal["overview"]
OVERVIEW: Final = "overview"
DEADLINES = "deadlines_met"
#: Time before a deadline from which it is alerted.
_SOON = timedelta(days=7)


def overview_asset(gdpr: "MixpanelGdpr") -> dg.AssetsDefinition:
    """The list of all open data subject requests, and the check of their deadlines."""
    spec = gdpr.get_asset_spec(OVERVIEW)
    description = "No open data subject request is within a week of its deadline, or after it."

    @dg.multi_asset(
        specs=[spec],
        check_specs=[dg.AssetCheckSpec(DEADLINES, asset=spec.key, description=description)],
        **gdpr.op.arguments(name=spec.key.to_python_identifier(), pool=gdpr.pool),
    )
    def overview(context: dg.AssetExecutionContext) -> Iterator[Any]:
        yield from gdpr.execute(context, OVERVIEW)

    return overview


def run_overview(
    context: dg.AssetExecutionContext, gdpr: "MixpanelGdpr"
) -> Iterator[dg.AssetObservation | dg.MaterializeResult[Any]]:
    """List what is open, alert close deadlines, and delete expired deliveries."""
    with withheld_messages():
        ledger, now = gdpr.ledger, gdpr.now()
        removed = remove_expired(ledger, gdpr.destination, now) if gdpr.destination else []
    for entry in removed:
        context.log.info(f"the delivery of request {entry.request_id} has expired and is deleted")
    Suppression(ledger.lake).expire(now)
    progress = open_requests(ledger)
    for one in progress:
        metadata = {f"mixpanel_etl/{name}": value for name, value in request_metadata(one, now).items()}
        yield dg.AssetObservation(gdpr.key("requests"), partition=one.entry.request_id, metadata=metadata)
    near = [one for one in progress if one.deadline - now < _SOON]
    for one in near:
        gdpr.alert(
            f"request {one.entry.request_id} ({one.entry.request.kind}, {one.state(now)}) is due on "
            f"{one.deadline:%Y-%m-%d}"
        )
    yield dg.MaterializeResult(
        asset_key=gdpr.key(OVERVIEW),
        metadata={
            "dagster/row_count": len(progress),
            "mixpanel_etl/open_requests": table_of(progress, now),
            "mixpanel_etl/rejected": len(rejected_table(ledger.lake).keys()),
            "mixpanel_etl/deliveries_removed": len(removed),
        },
        check_results=[_deadlines_met(near)],
    )


def daily_schedule(gdpr: "MixpanelGdpr") -> dg.ScheduleDefinition:
    """The daily deadline check."""
    job = dg.define_asset_job(
        f"{gdpr.name}_job",
        selection=dg.AssetSelection.assets(gdpr.key(OVERVIEW))
        | dg.AssetSelection.checks(
            dg.AssetCheckKey(gdpr.key("outcomes"), JOBS), dg.AssetCheckKey(gdpr.key("requests"), CONFIRMED)
        ),
        description="Checks the deadlines of all data subject requests, and deletes expired deliveries.",
    )
    return dg.ScheduleDefinition(
        name=f"{gdpr.name}_schedule", job=job, cron_schedule=gdpr.cron_schedule, execution_timezone="UTC"
    )


def _deadlines_met(near: Sequence[Progress]) -> dg.AssetCheckResult:
    listed = "; ".join(f"{one.entry.request_id} ({one.deadline:%Y-%m-%d})" for one in near)
    return dg.AssetCheckResult(
        check_name=DEADLINES,
        passed=not near,
        description=f"near or after their deadlines: {listed}" if near else "every open request has a week or more",
    )
