"""The project's dictionary: reading it, and making it what a plan says, within 5 requests and 4,000 items a minute."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from mixpanel_etl.client import EntityType, Mixpanel, SchemaEntry
from mixpanel_etl.client.lexicon import MAX_ITEMS
from mixpanel_etl.lake.leases import Lease, lease
from mixpanel_etl.lake.storage import storage
from mixpanel_etl.lexicon.differences import Key, Plan
from mixpanel_etl.lexicon.lexicon_errors import LexiconError

_MAX_DELETIONS = 3_000  # of one truncation


@dataclass(frozen=True)
class Applied:
    """What was sent: how many entities were uploaded and deleted, and how many requests it took."""

    uploaded: int = 0
    deleted: int = 0
    requests: int = 0


def fetch(mixpanel: Mixpanel) -> dict[Key, SchemaEntry]:
    """The project's schemas, by kind and name. One request.

    Raises:
        MixpanelError: one of the kinds in `client.errors`.
    """
    return {(entry.entity_type, entry.name): entry for entry in mixpanel.lexicon.list_schemas()}


def apply(mixpanel: Mixpanel, plan: Plan, *, allow_drop: bool = False) -> Applied:
    """Make Mixpanel say what the plan says. Running it again after a failure converges: make a new plan first.

    Args:
        mixpanel: the project; its budget makes us wait for the limits.
        plan: of `compare`.
        allow_drop: let Mixpanel lose what is `dropped`.

    Raises:
        DropsData: something would be dropped, unasked. Nothing was sent.
        LexiconError: there is more to truncate than one request can. Nothing was sent.
        MixpanelError: one of the kinds in `client.errors`. Earlier requests may have had their effect.
        LeaseHeld: another process applies a plan to the same project. Nothing was sent.
    """
    plan.check_drops(allow_drop=allow_drop)
    with lease(storage(mixpanel.settings.lake), f"lexicon/{mixpanel.settings.project_id}") as held:
        return _apply(mixpanel, plan, held)


def _apply(mixpanel: Mixpanel, plan: Plan, held: Lease) -> Applied:
    uploads = [change.upload for change in plan.changes if change.upload is not None]
    deletions = [change for change in plan.changes if change.action == "delete"]
    before = mixpanel.spent("lexicon")
    truncate = plan.truncated is not None
    if plan.truncated is not None and plan.truncated > _MAX_DELETIONS:
        raise LexiconError(
            f"{plan.truncated:,} schemas would be truncated, Mixpanel deletes at most {_MAX_DELETIONS:,} at once; "
            "use --delete, which deletes them one by one"
        )
    deleted = 0
    for number, batch in enumerate(batches(uploads)):
        held.check()
        mixpanel.lexicon.create_schemas(batch, truncate=truncate and number == 0)
    if truncate:
        deleted = len(deletions)
        if deletions and not uploads:
            held.check()
            mixpanel.lexicon.delete_schemas()
    else:
        for change in deletions:
            held.check()
            deleted += mixpanel.lexicon.delete_schema(cast("EntityType", change.kind), change.name)
    return Applied(len(uploads), deleted, mixpanel.spent("lexicon") - before)


def batches(entries: Sequence[SchemaEntry]) -> Iterator[list[SchemaEntry]]:
    """The entries in as few requests as their order allows, each of at most 4,000 events and properties."""
    batch: list[SchemaEntry] = []
    items = 0
    for entry in entries:
        size = 1 + len(entry.schema_json.properties)
        if batch and items + size > MAX_ITEMS:
            yield batch
            batch, items = [], 0
        batch.append(entry)
        items += size
    if batch:
        yield batch
