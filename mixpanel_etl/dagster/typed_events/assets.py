"""Typed events as assets: one asset per event, made of the days that the export has published."""

# Dagster reads the annotations of assets, so they must be types, not strings.
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import dagster as dg

from mixpanel_etl.client import Mixpanel, Schema
from mixpanel_etl.dagster.metadata import column_lineage, column_schema, published
from mixpanel_etl.dagster.recording import Metadata, Results, recorded
from mixpanel_etl.dagster.resource import MixpanelResource
from mixpanel_etl.dagster.snapshots import run_id_of
from mixpanel_etl.lake.event_columns import column_name
from mixpanel_etl.lexicon import fetch
from mixpanel_etl.pull import MAX_DAYS
from mixpanel_etl.pull.typed import (
    TypedDay,
    declared_descriptions,
    declared_types,
    descriptions,
    settled_columns,
    survey,
    type_day,
    typed_schema,
    types_of,
)
from mixpanel_etl.pull.typed.typed_columns import TypedColumn

if TYPE_CHECKING:
    from mixpanel_etl.dagster.typed_events.component import MixpanelTypedEvents


@dataclass(frozen=True)
class TypedEvent:
    """An event that gets a table of its own.

    Args:
        event: name in Mixpanel.
        name: name of the asset and table; default: made from the event's name (`Sign Up` becomes `sign_up`).
    """

    event: str
    name: str = ""

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", column_name(self.event))


def typed_events_asset(typed: "MixpanelTypedEvents") -> dg.AssetsDefinition:
    """The assets of all events, made by one step: one request to the Lexicon, of five per minute, serves them all.

    Args:
        typed: the component.
    """

    @dg.multi_asset(
        specs=[typed.get_asset_spec(event) for event in typed.events],
        can_subset=True,
        **typed.op.arguments(name=typed.name, backfill_policy=dg.BackfillPolicy.multi_run(MAX_DAYS)),
    )
    def events_typed(context: dg.AssetExecutionContext) -> Results:
        keys = {typed.get_asset_spec(event).key: event for event in typed.events}
        yield from typed.execute(context, [event for key, event in keys.items() if key in context.selected_asset_keys])

    return events_typed


def type_events(
    context: dg.AssetExecutionContext, typed: "MixpanelTypedEvents", events: Sequence[TypedEvent]
) -> Results:
    """Publish the days of the run of some events, each recorded as one materialization.

    Args:
        context: context of the run.
        typed: the component.
        events: the events that the run materializes.
    """
    keys = {event.name: typed.get_asset_spec(event).key for event in events}
    with ExitStack() as recording:
        done = {name: recording.enter_context(recorded(context, key)) for name, key in keys.items()}
        _type_events(context, typed, events, done)
    for key in keys.values():
        yield dg.MaterializeResult(asset_key=key)


def _type_events(
    context: dg.AssetExecutionContext,
    typed: "MixpanelTypedEvents",
    events: Sequence[TypedEvent],
    done: Mapping[str, dict[str, Metadata]],
) -> None:
    days = [date.fromisoformat(key) for key in context.partition_keys]
    exported = typed.exported
    present = set(exported.days())
    available, missing = [day for day in days if day in present], [day for day in days if day not in present]
    schemas = event_schemas(typed.mixpanel, context) if typed.types_from == "lexicon" else {}
    undeclared = [event.event for event in events if typed.types_from == "lexicon" and event.event not in schemas]
    for event in events:
        if event.event in undeclared:
            continue
        columns = _columns(typed, event, schemas, available)
        for day in available:
            made = type_day(
                exported, day, event.event, columns, table=typed.typed_table(event).name, run_id=run_id_of(context)
            )
            done[event.name][str(day)] = _metadata(made, columns, typed)
        context.log.info(f"{event.event!r}: published {len(available)} days with {len(columns)} typed columns")
    # Only now, when all that could be published is.
    if undeclared:
        raise dg.Failure(
            f"the Lexicon has no schema of {', '.join(map(repr, undeclared))}: describe it (`mixpanel-etl lexicon "
            "apply`), or take the types of the data (types_from: data)",
            allow_retries=False,
        )
    if missing:
        raise dg.Failure(
            f"{exported.uri} has no {', '.join(map(str, missing[:5]))}{' ...' if len(missing) > 5 else ''}: "
            f"materialize these days of {typed.export} first",
            allow_retries=False,
        )


def event_schemas(
    resource: MixpanelResource, context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext
) -> dict[str, Schema]:
    """The Lexicon's schemas of events, by name. One request.

    Args:
        resource: resource of the project.
        context: context of the run, for its log.
    """
    mixpanel: Mixpanel
    with resource.client(context.log) as mixpanel:
        return {name: entry.schema_json for (kind, name), entry in fetch(mixpanel).items() if kind == "event"}


def _columns(
    typed: "MixpanelTypedEvents", event: TypedEvent, schemas: Mapping[str, Schema], days: Sequence[date]
) -> list[TypedColumn]:
    table = typed.typed_table(event)
    if typed.types_from == "lexicon":
        schema = schemas[event.event]
        return settled_columns(table, declared_types(schema), declared_descriptions(schema))
    types = survey(typed.exported, days, event.event).property_types()
    # With the types of the newest day of the table, so that columns neither vanish nor become narrower.
    newest = table.keys()[-1:]
    known = types_of(partition) if newest and (partition := table.partition(newest[0])) else {}
    both = {name: types.get(name, frozenset()) | known.get(name, frozenset()) for name in {*types, *known}}
    return settled_columns(table, both)


def _metadata(made: TypedDay, columns: Sequence[TypedColumn], typed: "MixpanelTypedEvents") -> Metadata:
    # Names and counts only: erasure doesn't reach Dagster's storage.
    records = [
        dg.TableRecord({"property": name, "values": count, "column": column.name, "type": str(column.arrow)})
        for column in columns
        for name in [column.source]
        if (count := made.seen.unfit[name])
    ]
    schema = typed_schema(columns)
    same = set(typed.exported.schema.names)
    return {
        **published(made.partition),
        "dagster/column_schema": column_schema(schema, descriptions(columns)),
        "dagster/column_lineage": column_lineage(
            dg.AssetKey.from_user_string(typed.export),
            {name: name if name in same else "properties" for name in schema.names},
        ),
        "mixpanel_etl/values_that_do_not_fit": made.seen.unfit.total(),
        **({"mixpanel_etl/do_not_fit": dg.MetadataValue.table(records)} if records else {}),
    }
