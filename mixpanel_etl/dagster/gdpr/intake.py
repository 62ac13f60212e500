"""The sensor that takes requests in, and the check that is red as long as one of them needs a person."""

# Dagster reads the annotations of sensors and checks, so they must be types, not strings.
import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import dagster as dg

from mixpanel_etl.dagster.gdpr.settings import Gdpr
from mixpanel_etl.dagster.recording import withheld_messages
from mixpanel_etl.gdpr.data_subject_requests import Row
from mixpanel_etl.gdpr.intake import (
    NotTakenIn,
    Taken,
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

TAKEN_IN = "requests_taken_in"
#: For so long a rejected request that was not sent anew keeps the check red: until its deadline (CCPA) has passed.
ALERTED = timedelta(days=45)
_TICK_SECONDS = 20.0  # of the 60 that Dagster gives a tick
_MAX_LISTED = 20


def intake_sensor(gdpr: Gdpr) -> dg.SensorDefinition:
    """Reads the query and the folder, and makes a partition of each new request."""

    @dg.sensor(
        name=f"{gdpr.name}_intake",
        minimum_interval_seconds=gdpr.intake_minutes * 60,
        target=dg.AssetSelection.assets(gdpr.key("requests")),
        description="Takes requests in, from the query and the folder: a partition for each.",
    )
    @withheld_messages()
    def intake(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        ledger, stop_at = gdpr.ledger(), time.monotonic() + _TICK_SECONDS
        taken, troubles = _take_in(gdpr, ledger, lambda: time.monotonic() > stop_at)
        events: list[dg.AssetObservation | dg.AssetMaterialization | dg.AssetCheckEvaluation] = []
        for request_id, reason in (pair for one in taken for pair in one.newly_rejected):
            context.log.warning(f"request {request_id or '(without an id)'} is rejected: {reason}")
            metadata = {"mixpanel_etl/request_id": request_id, "mixpanel_etl/rejected": reason}
            events.append(dg.AssetObservation(gdpr.key("requests"), description=reason, metadata=metadata))
        for trouble in troubles:
            context.log.error(trouble)
        # Of all that are open, so that a tick that was killed leaves none without.
        present = set(context.instance.get_dynamic_partitions(gdpr.partitions.name or ""))
        new = [entry.request_id for entry in ledger.entries() if entry.request_id not in present]
        state = _state(gdpr, ledger, troubles)
        if state != context.cursor:
            events.append(requests_taken_in(gdpr, ledger, troubles))
        return dg.SensorResult(
            # Dagster shows it beside the tick, which is otherwise an "empty result".
            skip_reason=_summary(taken, troubles),
            dynamic_partitions_requests=[gdpr.partitions.build_add_request(new)] if new else [],
            asset_events=events,
            cursor=state,
        )

    return intake


def intake_check(gdpr: Gdpr) -> dg.AssetChecksDefinition:
    """The check of the intake, which its sensor evaluates, too."""

    @dg.asset_check(
        name=TAKEN_IN,
        asset=gdpr.key("requests"),
        description="The query and every file of the folder can be read, and no request is rejected and not sent anew.",
    )
    @withheld_messages()
    def taken_in() -> dg.AssetCheckResult:
        troubles = []
        try:
            _query(gdpr)
        except NotTakenIn as error:
            troubles.append(str(error))
        found = requests_taken_in(gdpr, gdpr.ledger(), troubles)
        return dg.AssetCheckResult(passed=found.passed, description=found.description, metadata=found.metadata)

    return taken_in


def requests_taken_in(gdpr: Gdpr, ledger: Ledger, troubles: list[str]) -> dg.AssetCheckEvaluation:
    """Whether everything that was handed in is in the ledger. Neither files nor persons are named."""
    rejected = open_rejections(ledger, gdpr.now() - ALERTED)
    unread = _unread(gdpr)
    problems = [
        *troubles,
        *(f"{count} files of the folder can't be read, as their receipts say: {why}" for why, count in unread.items()),
        *(f"request {name or '(without an id)'} is rejected: {why}" for name, why in rejected[:_MAX_LISTED]),
        *([f"{len(rejected) - _MAX_LISTED} more requests are rejected"] if len(rejected) > _MAX_LISTED else []),
    ]
    return dg.AssetCheckEvaluation(
        asset_key=gdpr.key("requests"),
        check_name=TAKEN_IN,
        passed=not problems,
        description="; ".join(problems) or "every request that was handed in is in the ledger",
        metadata={"mixpanel_etl/unread_files": sum(unread.values()), "mixpanel_etl/rejected": len(rejected)},
    )


def _take_in(gdpr: Gdpr, ledger: Ledger, enough: Callable[[], bool]) -> tuple[list[Taken], list[str]]:
    """What became of the requests of both sources, and why a source could not be read, which stops no other."""
    protected = frozenset(gdpr.protected)
    taken: list[Taken] = []
    troubles: list[str] = []
    try:
        rows = _query(gdpr)
    except NotTakenIn as error:
        troubles.append(str(error))
    else:
        taken.append(take_in(ledger, rows, "query", gdpr.now(), protected=protected, enough=enough))
    if gdpr.folder:
        try:
            for _, one in take_from_folder(ledger, gdpr.folder, gdpr.now(), protected=protected, enough=enough):
                taken.append(one)
        except NotTakenIn as error:
            troubles.append(str(error))
        except OSError as error:
            troubles.append(f"the folder for requests can't be listed ({type(error).__name__})")
    return taken, troubles


def _query(gdpr: Gdpr) -> list[Row]:
    if not gdpr.query:
        return []
    try:
        with gdpr.warehouse.warehouse().query(gdpr.query) as batches:
            return rows_of(batches.read_all())
    except SettingsError as error:
        reason = f"the query for requests can't be sent: {error}"
    except WarehouseError:
        reason = "the warehouse refuses the query for requests; run its SQL file there to see why"
    except Exception as error:  # noqa: BLE001 - of a driver, or of Arrow, about what strangers wrote
        reason = f"the result of the query for requests can't be read ({type(error).__name__})"
    raise NotTakenIn(reason)  # out here: what the warehouse said may name persons, and Dagster would keep it


def _unread(gdpr: Gdpr) -> Counter[str]:
    try:
        return Counter(reason for _, reason in waiting_files(gdpr.folder)) if gdpr.folder else Counter()
    except OSError:
        return Counter({"the folder can't be listed": 1})


def _state(gdpr: Gdpr, ledger: Ledger, troubles: list[str]) -> str:
    """Changes when the check has to be evaluated anew: with what needs a person, and every day."""
    needs = [str(gdpr.now().date()), troubles, sorted(_unread(gdpr).items()), rejections(ledger)]
    return hashlib.sha256(json.dumps(needs).encode()).hexdigest()


def _summary(taken: list[Taken], troubles: list[str]) -> str:
    counts = {
        "taken in": sum(len(one.accepted) for one in taken),
        "known": sum(len(one.known) for one in taken),
        "rejected": sum(len(one.rejected) for one in taken),
    }
    told = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    later = "the rest follows at the next tick" if not all(one.complete for one in taken) else ""
    return "; ".join(filter(None, [f"requests: {told}" if told else "no request waits", later, *troubles]))
