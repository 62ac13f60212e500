"""Typed events as assets: one event, one asset, made of the days that the export has published."""

# Dagster reads the annotations of assets, so they must be types, not strings.
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

import dagster as dg
import pyarrow as pa

from mixpanel_etl.client import Mixpanel, Schema
from mixpanel_etl.dagster.metadata import column_schema, declared_table, published
from mixpanel_etl.dagster.recording import Metadata, recorded
from mixpanel_etl.dagster.resource import MixpanelResource
from mixpanel_etl.dagster.snapshots import run_id_of
from mixpanel_etl.lake import EventsTable, Table
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

TypesFrom = Literal["lexicon", "data"]


@dataclass(frozen=True)
class TypedEvent:
    """An event that gets a table of its own.

    Attributes:
        event: its name in Mixpanel.
        name: of its asset and table; by default made of the event's (`Sign Up` -> `sign_up`).
    """

    event: str
    name: str = ""

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", column_name(self.event))


@dataclass(frozen=True)
class TypedEvents:
    """Events of one export with a typed column for each property, as Dagster assets.

    Attributes:
        events: which ones.
        name: what the step, the check and the job are called after.
        export: key of the asset that exports them.
        types_from: `lexicon` asks for the schemas once a run, `data` takes the types that the events have.
        mixpanel: the project.
        key_prefix: of the assets.
        group_name: of the assets.
        owners: of the assets.
        table: folder of the lake that holds the exported days.
        lake: path or URI of the lake; by default the project's setting.
        start_date: the first day; by default the project's setting.
        check_drift: compare with the Lexicon after each run, for one request.
    """

    events: Sequence[TypedEvent]
    name: str = "typed_events"
    export: dg.AssetKey = field(default_factory=lambda: dg.AssetKey(["mixpanel", "events"]))
    types_from: TypesFrom = "lexicon"
    mixpanel: MixpanelResource = field(default_factory=MixpanelResource)
    key_prefix: Sequence[str] = ("mixpanel", "events_typed")
    group_name: str | None = None
    owners: Sequence[str] = ()
    table: str = "events"
    lake: str | None = None
    start_date: date | None = None
    check_drift: bool = True

    def key(self, typed: TypedEvent) -> dg.AssetKey:
        return dg.AssetKey([*self.key_prefix, typed.name])

    def exported(self) -> EventsTable:
        return EventsTable(self.lake or self.mixpanel.settings().lake, self.table)

    def folder(self, typed: TypedEvent) -> str:
        """Of the lake: `events_typed/<name>`, beside `events`."""
        return f"{self.table}_typed/{typed.name}"

    def typed_table(self, typed: TypedEvent, schema: pa.Schema | None = None) -> Table:
        return Table(self.exported().lake, self.folder(typed), typed_schema([]) if schema is None else schema)

    def partitions(self) -> dg.DailyPartitionsDefinition:
        """Those of the export."""
        settings = self.mixpanel.settings()
        return dg.DailyPartitionsDefinition(str(self.start_date or settings.start_date), timezone=settings.export_zone)


def typed_events_asset(typed: TypedEvents) -> dg.AssetsDefinition:
    """The assets of all events, made by one step: one request to the Lexicon, of five a minute, serves them all."""

    @dg.multi_asset(
        specs=[_spec(typed, one) for one in typed.events],
        name=typed.name,
        can_subset=True,
        backfill_policy=dg.BackfillPolicy.multi_run(MAX_DAYS),
    )
    def events_typed(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[Any]]:
        chosen = [one for one in typed.events if typed.key(one) in context.selected_asset_keys]
        with ExitStack() as recording:
            done = {one.name: recording.enter_context(recorded(context, typed.key(one))) for one in chosen}
            days = [date.fromisoformat(key) for key in context.partition_keys]
            _type_events(context, typed, chosen, days, done)
        for one in chosen:
            yield dg.MaterializeResult(asset_key=typed.key(one))

    return events_typed


def _spec(typed: TypedEvents, one: TypedEvent) -> dg.AssetSpec:
    source = "the types that the Lexicon declares" if typed.types_from == "lexicon" else "the types that they have"
    table = typed.typed_table(one)
    changed = dg.AutomationCondition.any_deps_updated().since_last_handled()
    busy = dg.AutomationCondition.any_deps_in_progress() | dg.AutomationCondition.in_progress()
    return dg.AssetSpec(
        typed.key(one),
        deps=[typed.export],
        description=f"Events called {one.event!r}, one row an event, its properties as columns of {source}. What has "
        "no column, or does not fit in it, is in `other_properties`.",
        group_name=typed.group_name,
        owners=list(typed.owners),
        kinds={"mixpanel", "parquet"},
        partitions_def=typed.partitions(),
        # All days that the export has brought anew, not only the last one: events come late.
        automation_condition=changed & ~busy,
        metadata=declared_table(table, descriptions([])),
    )


def _type_events(
    context: dg.AssetExecutionContext,
    typed: TypedEvents,
    chosen: Sequence[TypedEvent],
    days: Sequence[date],
    done: Mapping[str, dict[str, Metadata]],
) -> None:
    exported = typed.exported()
    present = set(exported.days())
    there, missing = [day for day in days if day in present], [day for day in days if day not in present]
    schemas = event_schemas(typed.mixpanel, context) if typed.types_from == "lexicon" else {}
    undeclared = [one.event for one in chosen if typed.types_from == "lexicon" and one.event not in schemas]
    for one in chosen:
        if one.event in undeclared:
            continue
        columns = _columns(typed, one, schemas, exported, there)
        for day in there:
            made = type_day(exported, day, one.event, columns, table=typed.folder(one), run_id=run_id_of(context))
            done[one.name][str(day)] = _metadata(made, columns)
        context.log.info(f"{one.event!r}: published {len(there)} days with {len(columns)} typed columns")
    # Only now: what could be done is done.
    if undeclared:
        raise dg.Failure(
            f"the Lexicon has no schema of {', '.join(map(repr, undeclared))}: describe it (`mixpanel-etl lexicon "
            "apply`), or take the types of the data (types_from: data)",
            allow_retries=False,
        )
    if missing:
        raise dg.Failure(
            f"{exported.uri} has no {', '.join(map(str, missing[:5]))}{' ...' if len(missing) > 5 else ''}: "
            f"materialize these days of {typed.export.to_user_string()} first",
            allow_retries=False,
        )


def event_schemas(
    resource: MixpanelResource, context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext
) -> dict[str, Schema]:
    """The Lexicon's schemas of events, by name. One request."""
    mixpanel: Mixpanel
    with resource.client(context.log) as mixpanel:
        return {name: entry.schema_json for (kind, name), entry in fetch(mixpanel).items() if kind == "event"}


def _columns(
    typed: TypedEvents,
    one: TypedEvent,
    schemas: Mapping[str, Schema],
    exported: EventsTable,
    days: Sequence[date],
) -> list[TypedColumn]:
    table = typed.typed_table(one)
    if typed.types_from == "lexicon":
        schema = schemas[one.event]
        return settled_columns(table, declared_types(schema), declared_descriptions(schema))
    types = survey(exported, days, one.event).property_types()
    # With the types of the newest day that is there, so that columns neither vanish nor become narrower.
    newest = table.keys()[-1:]
    known = types_of(partition) if newest and (partition := table.partition(newest[0])) else {}
    both = {name: types.get(name, frozenset()) | known.get(name, frozenset()) for name in {*types, *known}}
    return settled_columns(table, both)


def _metadata(made: TypedDay, columns: Sequence[TypedColumn]) -> Metadata:
    # Names and counts only: what Dagster stores of a person, no erasure would find.
    records = [
        dg.TableRecord({"property": name, "values": count, "column": column.name, "type": str(column.arrow)})
        for column in columns
        for name in [column.source]
        if (count := made.seen.unfit[name])
    ]
    return {
        **published(made.partition),
        "dagster/column_schema": column_schema(typed_schema(columns), descriptions(columns)),
        "mixpanel_etl/values_that_do_not_fit": made.seen.unfit.total(),
        **({"mixpanel_etl/do_not_fit": dg.MetadataValue.table(records)} if records else {}),
    }
