"""The assets of a data subject request: request, Mixpanel job, outcome, lake erasure or delivery, certificate.

Each is a step that the sensor starts when it is due. What is due is in the ledger, never in Dagster: a run that is
started twice, or for a request that is further already, changes nothing, and records again what is true.
"""

# Dagster reads the annotations of assets, so they must be types, not strings.
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import dagster as dg

from mixpanel_etl.dagster.gdpr.metadata import step_metadata
from mixpanel_etl.dagster.recording import as_failure
from mixpanel_etl.gdpr.delivery import deliver
from mixpanel_etl.gdpr.fulfilment import NotErased, certify, close, erase_from_lake
from mixpanel_etl.gdpr.jobs import NotCreated, submit
from mixpanel_etl.gdpr.ledger import Ledger
from mixpanel_etl.gdpr.ledger_entries import Entry
from mixpanel_etl.gdpr.progress import Progress, Step, open_requests
from mixpanel_etl.gdpr.redaction import GdprError, without_ids
from mixpanel_etl.gdpr.request_expansion import expand_requests

if TYPE_CHECKING:
    from mixpanel_etl.dagster.gdpr.component import MixpanelGdpr


def asset_of(gdpr: "MixpanelGdpr", step: Step) -> dg.AssetsDefinition:
    """The asset of a step, partitioned by data subject request."""
    spec = gdpr.get_asset_spec(step)

    @dg.multi_asset(
        specs=[spec],
        **gdpr.op.arguments(
            name=spec.key.to_python_identifier(), pool=gdpr.pool, backfill_policy=dg.BackfillPolicy.single_run()
        ),
    )
    def gdpr_step(context: dg.AssetExecutionContext) -> Iterator[Any]:
        yield from gdpr.execute(context, step)

    return gdpr_step


def run_step(context: dg.AssetExecutionContext, gdpr: "MixpanelGdpr", step: Step) -> Iterator[dg.AssetMaterialization]:
    """Do what is due in a step for the data subject requests of a run; one materialization for each that is done."""
    ledger = gdpr.ledger
    with as_failure():
        for one in STEPS[step].work(gdpr, ledger, list(context.partition_keys)):
            metadata = step_metadata(ledger, one, step, gdpr.now())
            yield dg.AssetMaterialization(gdpr.key(step), partition=one.entry.request_id, metadata=metadata)


def _expand(gdpr: "MixpanelGdpr", ledger: Ledger, keys: Sequence[str]) -> Iterator[Progress]:
    entries, errors = expand_requests(
        ledger,
        keys,
        gdpr.profiles(ledger),
        gdpr.now(),
        hold=timedelta(hours=gdpr.hold_hours),
        protected=frozenset(gdpr.protected),
    )
    for entry in entries:
        if entry.rejected:
            dg.get_dagster_logger().warning(f"request {entry.request_id} is rejected: {entry.rejected}")
        if entry.rejected or entry.expanded_at:
            yield Progress(entry, ())
    if waiting := [entry for entry in entries if entry.in_doubt]:
        dg.get_dagster_logger().warning(
            f"{len(waiting)} requests wait for your decision; see `mixpanel-etl gdpr confirm`"
        )
    _raise_first(errors)


def _submit(gdpr: "MixpanelGdpr", ledger: Ledger, keys: Sequence[str]) -> Iterator[Progress]:
    ready = {one.entry.request_id: one.entry.request.kind for one in _due(gdpr, ledger, "jobs", keys)}
    wanted = [request_id for request_id, kind in ready.items() if gdpr.destination or kind == "deletion"]
    with gdpr.client(ledger) as mixpanel:
        jobs, errors = submit(
            ledger,
            mixpanel.gdpr,
            wanted,
            gdpr.now,
            together=gdpr.pack_retrievals,
            protected=frozenset(gdpr.protected),
        )
    if len(wanted) < len(ready):
        errors.append(GdprError("deliver_to is not set; retrieved personal data needs a place to be delivered"))
    for job in jobs:
        dg.get_dagster_logger().info(
            f"{job.kind} {job.tracking_id}: {len(job.request_ids)} requests, {job.id_count} ids"
        )
    yield from _passed(ledger, "jobs", keys)
    for error in errors:
        dg.get_dagster_logger().warning(str(error))
    _raise_first([error for error in errors if not (isinstance(error, NotCreated) and error.retryable)])


def _note_outcome(gdpr: "MixpanelGdpr", ledger: Ledger, keys: Sequence[str]) -> Iterator[Progress]:
    for one in _due(gdpr, ledger, "outcomes", keys):
        outcome = "SUCCESS" if one.state(gdpr.now()) == "ended" else "FAILURE"
        ledger.change(one.entry, partial(Entry.replace, outcome=outcome))
    yield from _passed(ledger, "outcomes", keys)


def _erase(gdpr: "MixpanelGdpr", ledger: Ledger, keys: Sequence[str]) -> Iterator[Progress]:
    due, protected = _due(gdpr, ledger, "erasures", keys), frozenset(gdpr.protected)
    erased, errors = list[Entry](), list[Exception]()
    try:
        erased = erase_from_lake(ledger, due, gdpr.now(), protected)
    except NotErased as error:  # of some of the requests
        errors = [error]
    for entry in erased[:1]:
        rows = sum(table["rows_removed"] for table in entry.erasures[-1]["tables"].values())
        dg.get_dagster_logger().info(f"{rows:,} rows removed from the lake; the final scan found nothing")
    yield from _passed(ledger, "erasures", keys)
    _raise_first(errors)


def _deliver(gdpr: "MixpanelGdpr", ledger: Ledger, keys: Sequence[str]) -> Iterator[Progress]:
    due, errors = _due(gdpr, ledger, "deliveries", keys), list[Exception]()
    if due and gdpr.destination:
        with gdpr.client(ledger) as mixpanel:
            _, errors = deliver(ledger, mixpanel.gdpr, due, gdpr.destination, gdpr.now())
    yield from _passed(ledger, "deliveries", keys)
    ids = {one for each in due for one in each.entry.named_persons}
    _raise_first([GdprError(without_ids(str(error), ids)) for error in errors])


def _certify(gdpr: "MixpanelGdpr", ledger: Ledger, keys: Sequence[str]) -> Iterator[Progress]:
    project_id = gdpr.mixpanel.settings().project_id
    with ledger.locked("certificates") as held:
        jobs = ledger.jobs()
        for one in _due(gdpr, ledger, "certificates", keys):
            held.check()
            done = certify(ledger, one, jobs, gdpr.now(), project_id)
            yield Progress(done, one.jobs)
            close(ledger, done)  # when Dagster has recorded it: what is closed is not started again


def _due(gdpr: "MixpanelGdpr", ledger: Ledger, step: Step, keys: Collection[str]) -> list[Progress]:
    return [one for one in open_requests(ledger, keys) if one.due(gdpr.now(), gdpr.erase) == step]


def _passed(ledger: Ledger, step: Step, keys: Collection[str]) -> Iterator[Progress]:
    return (one for one in open_requests(ledger, keys) if one.has_passed(step))


def _raise_first(errors: Sequence[Exception]) -> None:
    if errors:
        more = f" ({len(errors) - 1} more like it)" if len(errors) > 1 else ""
        raise GdprError(f"{errors[0]}{more}")


class StepAsset(NamedTuple):
    """What the asset of a step does.

    Attributes:
        work: does the step for the data subject requests of some ids, as far as it is due; yields those that are done
            with it, to be recorded.
        deps: steps before it.
        description: description of the asset.
    """

    work: "Callable[[MixpanelGdpr, Ledger, Sequence[str]], Iterator[Progress]]"
    deps: Sequence[Step]
    description: str


STEPS: Mapping[Step, StepAsset] = {
    "requests": StepAsset(
        _expand, [], "A data subject request, and how many ids belong to this person (counts and hashes)."
    ),
    "jobs": StepAsset(_submit, ["requests"], "The Mixpanel job that fulfils the request, together with others."),
    "outcomes": StepAsset(_note_outcome, ["jobs"], "How Mixpanel's job ended."),
    "erasures": StepAsset(_erase, ["outcomes"], "The person's rows removed from every file of the lake."),
    "deliveries": StepAsset(_deliver, ["outcomes"], "The person's data, delivered to `deliver_to`."),
    "certificates": StepAsset(
        _certify, ["erasures", "deliveries"], "The proof: JSON and Markdown, without personal data."
    ),
}
