"""The check of typed events: the data are as the Lexicon declares them."""

# Dagster reads the annotations of checks, so they must be types, not strings.
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg

from mixpanel_etl.client import MixpanelError, Schema
from mixpanel_etl.dagster.checks import check_specs, evaluated
from mixpanel_etl.dagster.recording import withheld_messages
from mixpanel_etl.dagster.typed_events.assets import TypedEvent, event_schemas
from mixpanel_etl.pull import MAX_DAYS
from mixpanel_etl.pull.typed import Drift, Seen, declared_types, drift

if TYPE_CHECKING:
    from mixpanel_etl.dagster.typed_events.component import MixpanelTypedEvents

CHECK = "matches_lexicon"
_MAX_LISTED = 100
_WARN = dg.AssetCheckSeverity.WARN


def drift_check(typed: "MixpanelTypedEvents") -> dg.AssetChecksDefinition:
    """The check of all events; each day of a run has a result of its own.

    Args:
        typed: the component.
    """
    described = {event.name: typed.get_asset_spec(event) for event in typed.events}

    @dg.multi_asset_check(
        name=f"{typed.name}_drift",
        specs=[spec for event in typed.events for spec in check_specs(described[event.name], _description(event))],
        can_subset=True,
    )
    def checks(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult | dg.AssetCheckEvaluation]:
        chosen = {key.asset_key: key for key in context.selected_asset_check_keys}
        schemas, reason = _schemas(context, typed)
        for event in typed.events:
            key = chosen.get(described[event.name].key)
            if key is None:
                continue
            with withheld_messages():
                by_day = _seen(context, typed, event)
                results = {day: _result(event, schemas, reason, {day: seen}) for day, seen in by_day.items()}
                summary = _result(event, schemas, reason, by_day)
            yield evaluated(context, key, summary, results)

    return checks


def _description(event: TypedEvent) -> dict[str, str]:
    return {
        CHECK: f"Properties of {event.event!r} have the types that the Lexicon declares, and no others. "
        f"Checks the days of the run; started by itself, the last {MAX_DAYS}."
    }


def _schemas(
    context: dg.AssetCheckExecutionContext, typed: "MixpanelTypedEvents"
) -> tuple[Mapping[str, Schema] | None, str]:
    """The Lexicon's schemas, or why they are not available."""
    try:
        return event_schemas(typed.mixpanel, context), ""
    except MixpanelError as error:
        return None, f"the Lexicon is not available: {error} (`check_drift: false` turns this check off)"


def _result(
    event: TypedEvent, schemas: Mapping[str, Schema] | None, reason: str, by_day: Mapping[str, Seen]
) -> dg.AssetCheckResult:
    if schemas is None:
        return dg.AssetCheckResult(passed=False, severity=_WARN, description=reason)
    if event.event not in schemas:
        reason = f"the Lexicon has no schema of {event.event!r}"
        return dg.AssetCheckResult(passed=False, severity=_WARN, description=reason)
    total = Seen()
    for seen in by_day.values():
        total.add(seen)
    found = drift(declared_types(schemas[event.event]), total)
    return dg.AssetCheckResult(
        passed=not found,
        severity=_WARN,
        description=f"{found} ({total.rows:,} events of {len(by_day)} days)",
        metadata={"days": len(by_day), "events": total.rows, **_metadata(found)},
    )


def _seen(context: dg.AssetCheckExecutionContext, typed: "MixpanelTypedEvents", event: TypedEvent) -> dict[str, Seen]:
    """What the files of the days say was seen when they were made."""
    table = typed.typed_table(event)
    keys = table.keys()
    if context.has_partition_key or context.has_partition_key_range:
        keys = [key for key in keys if key in set(context.partition_keys)]
    partitions = {key: table.partition(key) for key in keys[-MAX_DAYS:]}
    return {key: Seen.read(found.provenance.get("seen", {})) for key, found in partitions.items() if found}


def _metadata(found: Drift) -> dict[str, Any]:
    rows = [
        *({"property": name, "declared": "", "seen": _counts(counts)} for name, counts in found.undeclared.items()),
        *({"property": name, "declared": "yes", "seen": "never"} for name in found.unseen),
        *(
            {"property": name, "declared": ", ".join(sorted(types)), "seen": _counts(counts)}
            for name, (types, counts) in found.differing.items()
        ),
    ]
    records = [dg.TableRecord(row) for row in rows[:_MAX_LISTED]]
    return {
        "undeclared": list(found.undeclared)[:_MAX_LISTED],
        "never_seen": list(found.unseen)[:_MAX_LISTED],
        "of_other_types": list(found.differing)[:_MAX_LISTED],
        **({"differences": dg.MetadataValue.table(records)} if records else {}),
    }


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{kind}: {times:,}" for kind, times in counts.items())
