"""`type: mixpanel_etl.MixpanelTypedEvents`."""

# Dagster reads the annotations of components, so they must be types, not strings.
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

import dagster as dg

from mixpanel_etl.dagster.fields import EnvPrefix, Lake, StartDate, first_day, identifier
from mixpanel_etl.dagster.mistakes import rendered
from mixpanel_etl.dagster.resource import MixpanelResource
from mixpanel_etl.dagster.typed_events.assets import TypedEvent, TypedEvents, TypesFrom
from mixpanel_etl.dagster.typed_events.checks import typed_events_definitions
from mixpanel_etl.settings import DEFAULT_PREFIX


class Event(dg.Model):
    """An event, and the name of its asset and table."""

    event: str
    name: str = ""


def _events(context: dg.ResolutionContext, entries: Sequence[str | Event]) -> list[TypedEvent]:
    """The events of a list in YAML."""
    found = []
    for entry in entries:
        event, name = (entry, "") if isinstance(entry, str) else (entry.event, entry.name)
        found.append(TypedEvent(rendered(context, event), rendered(context, name)))
    return found


@dataclass
class MixpanelTypedEvents(dg.Component, dg.Resolvable):
    """Events of an export with a typed column for each property: one asset an event, one Parquet file a day."""

    events: Annotated[
        Sequence[TypedEvent],
        dg.Resolver(
            _events,
            model_field_type=Sequence[str | Event],
            description="Names of events. `{event: ..., name: ...}` gives the asset another name than the event's.",
            examples=[["checkout", {"event": "登録", "name": "sign_up"}]],
        ),
    ]
    types_from: Annotated[
        TypesFrom,
        dg.Resolver.default(
            description="`lexicon`: columns and types as Mixpanel's Lexicon declares them, for one request a run. "
            "`data`: as the events have them."
        ),
    ] = "lexicon"
    export: Annotated[str, dg.Resolver.default(description="Key of the asset that exports the events.")] = (
        "mixpanel/events"
    )
    key_prefix: Annotated[str, dg.Resolver.default(description="Of the assets.")] = "mixpanel/events_typed"
    group_name: Annotated[str | None, dg.Resolver.default(description="Of the assets.")] = None
    owners: Annotated[Sequence[str], dg.Resolver.default(description="Of the assets.")] = field(default_factory=list)
    table: Annotated[
        str,
        dg.Resolver.default(
            description="Folder of the lake that the export writes; the tables are in `<table>_typed`."
        ),
    ] = "events"
    env_prefix: EnvPrefix = DEFAULT_PREFIX
    lake: Lake = None
    start_date: StartDate = None
    check_drift: Annotated[
        bool, dg.Resolver.default(description="Compare data and Lexicon after each run (one request).")
    ] = True

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Assets, checks and job."""
        return typed_events_definitions(self.typed_events(identifier(context.path)))

    def typed_events(self, name: str) -> TypedEvents:
        """What this instance describes; override it to describe something else."""
        return TypedEvents(
            events=self.events,
            name=name,
            export=dg.AssetKey.from_user_string(self.export),
            types_from=self.types_from,
            mixpanel=MixpanelResource(env_prefix=self.env_prefix),
            key_prefix=self.key_prefix.split("/"),
            group_name=self.group_name,
            owners=self.owners,
            table=self.table,
            lake=self.lake,
            start_date=first_day(self.start_date),
            check_drift=self.check_drift,
        )
