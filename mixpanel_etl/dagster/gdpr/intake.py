"""The sensor that accepts data subject requests, and the check that fails while one of them is rejected or unread."""

# Dagster reads the annotations of sensors and checks, so they must be types, not strings.
import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

import dagster as dg

from mixpanel_etl.dagster.recording import withheld_messages
from mixpanel_etl.errors import MAX_LISTED
from mixpanel_etl.gdpr.data_subject_requests import Row
from mixpanel_etl.gdpr.intake import (
    IntakeError,
    IntakeResult,
    open_rejections,
    rejections,
    take_from_folder,
    take_in,
    waiting_files,
)
from mixpanel_etl.gdpr.ledger import Ledger
from mixpanel_etl.gdpr.source_rows import rows_of
from mixpanel_etl.settings import SettingsError
from mixpanel_etl.warehouse import WarehouseError

if TYPE_CHECKING:
    from mixpanel_etl.dagster.gdpr.component import MixpanelGdpr

COMPLETE = "intake_complete"
#: A rejected request that was not corrected fails the check for so long: until its deadline (CCPA) has passed.
ALERTED = timedelta(days=45)
_TICK_SECONDS = 20.0  # of the 60 that Dagster gives a tick


def intake_sensor(gdpr: "MixpanelGdpr") -> dg.SensorDefinition:
    """Reads the query and the folder, and adds a partition for each new data subject request."""

    @dg.sensor(
        name=f"{gdpr.name}_intake_sensor",
        minimum_interval_seconds=gdpr.intake_minutes * 60,
        target=dg.AssetSelection.assets(gdpr.key("requests")),
        description="Accepts data subject requests from the query and the folder: one partition for each.",
    )
    @withheld_messages()
    def intake(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        ledger, stop_at = gdpr.ledger, time.monotonic() + _TICK_SECONDS
        taken, troubles = _take_in(gdpr, ledger, lambda: time.monotonic() > stop_at)
        events: list[dg.AssetObservation | dg.AssetMaterialization | dg.AssetCheckEvaluation] = []
        for request_id, reason in (pair for one in taken for pair in one.newly_rejected):
            context.log.warning(f"request {request_id or '(without an id)'} is rejected: {reason}")
            metadata = {"mixpanel_etl/request_id": request_id, "mixpanel_etl/rejected": reason}
            events.append(dg.AssetObservation(gdpr.key("requests"), description=reason, metadata=metadata))
        for trouble in troubles:
            context.log.error(trouble)
        # All open requests, not only those of this tick: a tick that was killed may have left one without a partition.
        present = set(context.instance.get_dynamic_partitions(gdpr.partitions.name or ""))
        new = [entry.request_id for entry in ledger.entries() if entry.request_id not in present]
        state = _state(gdpr, ledger, troubles)
        if state != context.cursor:
            events.append(intake_complete(gdpr, ledger, troubles))
        return dg.SensorResult(
            # Dagster shows it beside the tick, which is otherwise an "empty result".
            skip_reason=_summary(taken, troubles),
            dynamic_partitions_requests=[gdpr.partitions.build_add_request(new)] if new else [],
            asset_events=events,
            cursor=state,
        )

    return intake


def intake_check(gdpr: "MixpanelGdpr") -> dg.AssetChecksDefinition:
    """The check of the intake, which its sensor evaluates as well."""

    @dg.asset_check(
        name=COMPLETE,
        asset=gdpr.key("requests"),
        description="The query and every file of the folder can be read, and every rejected request was corrected.",
    )
    @withheld_messages()
    def complete() -> dg.AssetCheckResult:
        troubles = []
        try:
            _query(gdpr)
        except IntakeError as error:
            troubles.append(str(error))
        found = intake_complete(gdpr, gdpr.ledger, troubles)
        return dg.AssetCheckResult(passed=found.passed, description=found.description, metadata=found.metadata)

    return complete


def intake_complete(gdpr: "MixpanelGdpr", ledger: Ledger, troubles: list[str]) -> dg.AssetCheckEvaluation:
    """Whether every submitted data subject request is in the ledger. Neither files nor persons are named."""
    rejected = open_rejections(ledger, gdpr.now() - ALERTED)
    unread = _unread(gdpr)
    problems = [
        *troubles,
        *(f"{count} files of the folder can't be read (see their receipts): {why}" for why, count in unread.items()),
        *(f"request {name or '(without an id)'} is rejected: {why}" for name, why in rejected[:MAX_LISTED]),
        *([f"{len(rejected) - MAX_LISTED} more requests are rejected"] if len(rejected) > MAX_LISTED else []),
    ]
    return dg.AssetCheckEvaluation(
        asset_key=gdpr.key("requests"),
        check_name=COMPLETE,
        passed=not problems,
        description="; ".join(problems) or "every submitted request is in the ledger",
        metadata={"mixpanel_etl/unread_files": sum(unread.values()), "mixpanel_etl/rejected": len(rejected)},
    )


def _take_in(gdpr: "MixpanelGdpr", ledger: Ledger, enough: Callable[[], bool]) -> tuple[list[IntakeResult], list[str]]:
    """What became of the requests of both sources, and why a source can't be read, which does not stop the other."""
    protected = frozenset(gdpr.protected)
    taken: list[IntakeResult] = []
    troubles: list[str] = []
    try:
        rows = _query(gdpr)
    except IntakeError as error:
        troubles.append(str(error))
    else:
        taken.append(take_in(ledger, rows, "query", gdpr.now(), protected=protected, enough=enough))
    if gdpr.folder:
        try:
            for _, one in take_from_folder(ledger, gdpr.folder, gdpr.now(), protected=protected, enough=enough):
                taken.append(one)
        except IntakeError as error:
            troubles.append(str(error))
        except OSError as error:
            troubles.append(f"the folder of data subject requests can't be listed ({type(error).__name__})")
    return taken, troubles


def _query(gdpr: "MixpanelGdpr") -> list[Row]:
    if not gdpr.query:
        return []
    try:
        with gdpr.warehouse_resource.warehouse().query(gdpr.query) as batches:
            return rows_of(batches.read_all())
    except SettingsError as error:
        reason = f"the query of data subject requests can't be sent: {error}"
    except WarehouseError:
        reason = "the query of data subject requests fails in the warehouse; run its SQL file there to see why"
    except Exception as error:  # noqa: BLE001 - of a driver or of Arrow, on rows of any content
        reason = f"the result of the query of data subject requests can't be read ({type(error).__name__})"
    raise IntakeError(reason)  # out here: the warehouse's message may name persons, and Dagster would store it


def _unread(gdpr: "MixpanelGdpr") -> Counter[str]:
    try:
        return Counter(reason for _, reason in waiting_files(gdpr.folder)) if gdpr.folder else Counter()
    except OSError:
        return Counter({"the folder can't be listed": 1})


def _state(gdpr: "MixpanelGdpr", ledger: Ledger, troubles: list[str]) -> str:
    """Changes when the check must be evaluated again: with what needs a decision, and every day."""
    needs = [str(gdpr.now().date()), troubles, sorted(_unread(gdpr).items()), rejections(ledger)]
    return hashlib.sha256(json.dumps(needs).encode()).hexdigest()


def _summary(taken: list[IntakeResult], troubles: list[str]) -> str:
    counts = {
        "accepted": sum(len(one.accepted) for one in taken),
        "already known": sum(len(one.known) for one in taken),
        "rejected": sum(len(one.rejected) for one in taken),
    }
    told = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    later = "the rest follows at the next tick" if not all(one.complete for one in taken) else ""
    return "; ".join(filter(None, [f"requests: {told}" if told else "no new requests", later, *troubles]))
