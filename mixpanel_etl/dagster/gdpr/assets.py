"""The assets of a request: request, Mixpanel job, outcome, lake erasure or delivery, certificate.

Each is a step that the sensor starts when it is due. What is due is in the ledger, never in Dagster: a run that is
started twice, or for a request that is further already, changes nothing, and records again what is true.
"""

# Dagster reads the annotations of assets, so they must be types, not strings.
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from typing import get_args

import dagster as dg

from mixpanel_etl.dagster.gdpr.metadata import step_metadata
from mixpanel_etl.dagster.gdpr.settings import Gdpr
from mixpanel_etl.dagster.recording import as_failure
from mixpanel_etl.gdpr.delivery import deliver
from mixpanel_etl.gdpr.fulfilment import NotErased, certify, close, erase_from_lake
from mixpanel_etl.gdpr.jobs import NotCreated, submit
from mixpanel_etl.gdpr.ledger import Entry, Ledger
from mixpanel_etl.gdpr.progress import Progress, Step, open_requests
from mixpanel_etl.gdpr.redaction import GdprError, without
from mixpanel_etl.gdpr.request_expansion import expand_requests

#: Does a step for the requests of some ids, as far as it is due; yields those for which it is done, to be recorded.
Work = Callable[[Gdpr, Ledger, Sequence[str]], Iterator[Progress]]


def step_assets(gdpr: Gdpr) -> list[dg.AssetsDefinition]:
    """An asset for each step, partitioned by request."""
    works: dict[Step, tuple[Work, list[Step], str]] = {
        "requests": (_expand, [], "A person's request, and how many ids belong to this person (counts and hashes)."),
        "jobs": (_submit, ["requests"], "The Mixpanel job that carries the request out, together with others."),
        "outcomes": (_note_outcome, ["jobs"], "What Mixpanel's job has ended in."),
        "erasures": (_erase, ["outcomes"], "The person's rows removed from every file of the lake."),
        "deliveries": (_deliver, ["outcomes"], "The person's data, in the place where they are handed out."),
        "certificates": (_certify, ["erasures", "deliveries"], "The proof: JSON and Markdown, without personal data."),
    }
    return [_asset(gdpr, step, *works[step]) for step in get_args(Step)]


def _asset(gdpr: Gdpr, step: Step, work: Work, deps: Sequence[Step], description: str) -> dg.AssetsDefinition:
    spec = dg.AssetSpec(
        gdpr.key(step),
        deps=[gdpr.key(dep) for dep in deps],
        description=description,
        partitions_def=gdpr.partitions,
        group_name=gdpr.group_name,
        kinds={"mixpanel"},
        skippable=True,  # what is not due is not recorded
    )

    @dg.multi_asset(
        specs=[spec],
        name=spec.key.to_python_identifier(),
        pool=gdpr.pool,
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def gdpr_step(context: dg.AssetExecutionContext) -> Iterator[dg.AssetMaterialization]:
        ledger = gdpr.ledger()
        with as_failure():
            for one in work(gdpr, ledger, list(context.partition_keys)):
                metadata = step_metadata(ledger, one, step, gdpr.now())
                yield dg.AssetMaterialization(spec.key, partition=one.entry.request_id, metadata=metadata)

    return gdpr_step


def _expand(gdpr: Gdpr, ledger: Ledger, keys: Sequence[str]) -> Iterator[Progress]:
    entries, errors = expand_requests(
        ledger, keys, gdpr.directory(ledger), gdpr.now(), hold=gdpr.hold, protected=frozenset(gdpr.protected)
    )
    for entry in entries:
        if entry.rejected:
            dg.get_dagster_logger().warning(f"request {entry.request_id} is rejected: {entry.rejected}")
        if entry.rejected or entry.expanded_at:
            yield Progress(entry, ())
    if waiting := [entry for entry in entries if entry.in_doubt]:
        dg.get_dagster_logger().warning(f"{len(waiting)} requests wait for a person; see `mixpanel-etl gdpr confirm`")
    _raise_first(errors)


def _submit(gdpr: Gdpr, ledger: Ledger, keys: Sequence[str]) -> Iterator[Progress]:
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
        errors.append(GdprError("retrieved data have no destination: set `deliver_to` to a place for personal data"))
    for job in jobs:
        dg.get_dagster_logger().info(
            f"{job.kind} {job.tracking_id}: {len(job.request_ids)} requests, {job.id_count} ids"
        )
    yield from _passed(ledger, "jobs", keys)
    for error in errors:
        dg.get_dagster_logger().warning(str(error))
    _raise_first([error for error in errors if not (isinstance(error, NotCreated) and error.passes)])


def _note_outcome(gdpr: Gdpr, ledger: Ledger, keys: Sequence[str]) -> Iterator[Progress]:
    for one in _due(gdpr, ledger, "outcomes", keys):
        outcome = "SUCCESS" if one.state(gdpr.now()) == "ended" else "FAILURE"
        ledger.change(one.entry, partial(Entry.but, outcome=outcome))
    yield from _passed(ledger, "outcomes", keys)


def _erase(gdpr: Gdpr, ledger: Ledger, keys: Sequence[str]) -> Iterator[Progress]:
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


def _deliver(gdpr: Gdpr, ledger: Ledger, keys: Sequence[str]) -> Iterator[Progress]:
    due, errors = _due(gdpr, ledger, "deliveries", keys), list[Exception]()
    if due and gdpr.destination:
        with gdpr.client(ledger) as mixpanel:
            _, errors = deliver(ledger, mixpanel.gdpr, due, gdpr.destination, gdpr.now())
    yield from _passed(ledger, "deliveries", keys)
    ids = {one for each in due for one in each.entry.named_persons}
    _raise_first([GdprError(without(str(error), ids)) for error in errors])


def _certify(gdpr: Gdpr, ledger: Ledger, keys: Sequence[str]) -> Iterator[Progress]:
    project_id = gdpr.mixpanel.settings().project_id
    with ledger.locked("certificates") as held:
        jobs = ledger.jobs()
        for one in _due(gdpr, ledger, "certificates", keys):
            held.check()
            done = certify(ledger, one, jobs, gdpr.now(), project_id)
            yield Progress(done, one.jobs)
            close(ledger, done)  # when Dagster has recorded it: what is closed is not started again


def _due(gdpr: Gdpr, ledger: Ledger, step: Step, keys: Collection[str]) -> list[Progress]:
    return [one for one in open_requests(ledger, keys) if one.due(gdpr.now(), gdpr.erase) == step]


def _passed(ledger: Ledger, step: Step, keys: Collection[str]) -> Iterator[Progress]:
    return (one for one in open_requests(ledger, keys) if one.has_passed(step))


def _raise_first(errors: Sequence[Exception]) -> None:
    if errors:
        more = f" ({len(errors) - 1} more like it)" if len(errors) > 1 else ""
        raise GdprError(f"{errors[0]}{more}")
