"""All that typed events bring into a Dagster project: assets, the check for drift, and a job."""

# Dagster reads the annotations of checks, so they must be types, not strings.
from collections.abc import Iterator, Mapping
from typing import Any, get_args

import dagster as dg

from mixpanel_etl.client import MixpanelError, Schema
from mixpanel_etl.dagster.recording import withheld_messages
from mixpanel_etl.dagster.typed_events.assets import (
    TypedEvent,
    TypedEvents,
    TypesFrom,
    event_schemas,
    typed_events_asset,
)
from mixpanel_etl.lake import ConfigurationError
from mixpanel_etl.pull import MAX_DAYS
from mixpanel_etl.pull.typed import Drift, Seen, declared_types, drift

CHECK = "lexicon_and_data_agree"
_SHOWN = 100


def typed_events_definitions(typed: TypedEvents) -> dg.Definitions:
    """The definitions of typed events.

    Raises:
        SettingsError: the project's settings are malformed or contradict each other.
        ConfigurationError: no event, two with one name, an unknown source of types, or the lake is of an unknown kind.
    """
    if typed.types_from not in get_args(TypesFrom):
        raise ConfigurationError(f"types_from is {typed.types_from!r}: use one of {', '.join(get_args(TypesFrom))}")
    if not typed.events:
        raise ConfigurationError("events is empty: name at least one")
    names: dict[str, str] = {}
    for one in typed.events:
        if one.name in names:
            raise ConfigurationError(
                f"events {names[one.name]!r} and {one.event!r} would both be called {one.name!r}: "
                "give one of them another `name`"
            )
        names[one.name] = one.event
    job = dg.define_asset_job(
        f"{typed.name}_refresh",
        selection=dg.AssetSelection.assets(*map(typed.key, typed.events)),
        description=f"Makes typed events of {', '.join(names.values())} again.",
    )
    checks = [_drift_check(typed)] if typed.check_drift else []
    return dg.Definitions(assets=[typed_events_asset(typed)], asset_checks=checks, jobs=[job])


def _drift_check(typed: TypedEvents) -> dg.AssetChecksDefinition:
    @dg.multi_asset_check(
        name=f"{typed.name}_drift",
        specs=[
            dg.AssetCheckSpec(
                CHECK,
                asset=typed.key(one),
                description=f"Properties of {one.event!r} have the types that the Lexicon declares, and no others. "
                f"Looks at the days of the run; started by itself, at the last {MAX_DAYS}.",
            )
            for one in typed.events
        ],
        can_subset=True,
    )
    def checks(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        chosen = {key.asset_key for key in context.selected_asset_check_keys}
        try:
            schemas: Mapping[str, Schema] | None = event_schemas(typed.mixpanel, context)
            reason = ""
        except MixpanelError as error:
            schemas, reason = None, f"the Lexicon could not be asked: {error} (`check_drift: false` turns this off)"
        for one in typed.events:
            if typed.key(one) in chosen:
                with withheld_messages():
                    found = _result(context, typed, one, schemas, reason)
                yield found._replace(check_name=CHECK, asset_key=typed.key(one))

    return checks


def _result(
    context: dg.AssetCheckExecutionContext,
    typed: TypedEvents,
    one: TypedEvent,
    schemas: Mapping[str, Schema] | None,
    reason: str,
) -> dg.AssetCheckResult:
    severity = dg.AssetCheckSeverity.WARN
    if schemas is None:
        return dg.AssetCheckResult(passed=False, severity=severity, description=reason)
    if one.event not in schemas:
        return dg.AssetCheckResult(
            passed=False, severity=severity, description=f"the Lexicon has no schema of {one.event!r}"
        )
    days, seen = _seen(context, typed, one)
    found = drift(declared_types(schemas[one.event]), seen)
    return dg.AssetCheckResult(
        passed=not found,
        severity=severity,
        description=f"{found} ({seen.rows:,} events of {days} days)",
        metadata={"days": days, "events": seen.rows, **_metadata(found)},
    )


def _seen(context: dg.AssetCheckExecutionContext, typed: TypedEvents, one: TypedEvent) -> tuple[int, Seen]:
    """How many days were looked at, and what their files say was seen when they were made."""
    table = typed.typed_table(one)
    keys = table.keys()
    if context.has_partition_key or context.has_partition_key_range:
        keys = [key for key in keys if key in set(context.partition_keys)]
    total = Seen()
    for key in keys[-MAX_DAYS:]:
        if partition := table.partition(key):
            total.add(Seen.read(partition.provenance.get("seen", {})))
    return len(keys[-MAX_DAYS:]), total


def _metadata(found: Drift) -> dict[str, Any]:
    rows = [
        *({"property": name, "declared": "", "seen": _counts(counts)} for name, counts in found.undeclared.items()),
        *({"property": name, "declared": "yes", "seen": "never"} for name in found.unseen),
        *(
            {"property": name, "declared": ", ".join(sorted(types)), "seen": _counts(counts)}
            for name, (types, counts) in found.differing.items()
        ),
    ]
    records = [dg.TableRecord(row) for row in rows[:_SHOWN]]
    return {
        "undeclared": list(found.undeclared)[:_SHOWN],
        "never_seen": list(found.unseen)[:_SHOWN],
        "of_other_types": list(found.differing)[:_SHOWN],
        **({"differences": dg.MetadataValue.table(records)} if records else {}),
    }


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{kind}: {times:,}" for kind, times in counts.items())
