"""`type: mixpanel_etl.MixpanelTypedEvents`: one asset per event with a typed column for each property."""

# Dagster reads the annotations of components, so they must be types, not strings.
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal, get_args

import dagster as dg

from mixpanel_etl.dagster.component import MixpanelComponent
from mixpanel_etl.dagster.fields import KeyPrefix, StartDate, prefixed
from mixpanel_etl.dagster.metadata import table_spec
from mixpanel_etl.dagster.mistakes import located, rendered
from mixpanel_etl.dagster.recording import Results
from mixpanel_etl.dagster.typed_events.assets import TypedEvent, type_events, typed_events_asset
from mixpanel_etl.dagster.typed_events.checks import drift_check
from mixpanel_etl.lake import ConfigurationError, EventsTable, Table
from mixpanel_etl.pull.typed import descriptions, typed_schema

TypesFrom = Literal["lexicon", "data"]


class EventModel(dg.Model):
    """An event in YAML, and the name of its asset and table."""

    event: str
    name: str = ""


@located
def _events(context: dg.ResolutionContext, entries: Sequence[str | EventModel]) -> list[TypedEvent]:
    found = []
    for entry in entries:
        event, name = (entry, "") if isinstance(entry, str) else (entry.event, entry.name)
        found.append(TypedEvent(rendered(context, event), rendered(context, name)))
    return found


@dataclass(kw_only=True)
class MixpanelTypedEvents(MixpanelComponent):
    """Events of an export with a typed column for each property: one asset per event, one Parquet file per day.

    Example: a subclass that tells another system when days are typed

        .. code-block:: python

            class AnnouncedEvents(MixpanelTypedEvents):
                def execute(self, context, events):
                    yield from super().execute(context, events)
                    announce([event.name for event in events], context.partition_keys)
    """

    group: ClassVar[str] = "mixpanel_typed_events"

    events: Annotated[
        Sequence[TypedEvent],
        dg.Resolver(
            _events,
            model_field_type=Sequence[str | EventModel],
            description="Names of events. `{event: ..., name: ...}` gives the asset another name than the event's.",
            examples=[["checkout", {"event": "登録", "name": "sign_up"}]],
        ),
    ]
    types_from: Annotated[
        TypesFrom,
        dg.Resolver.default(
            description="`lexicon`: columns and types as Mixpanel's Lexicon declares them, for one request per run. "
            "`data`: as the events have them."
        ),
    ] = "lexicon"
    export: Annotated[str, dg.Resolver.default(description="Key of the asset that exports the events.")] = (
        "mixpanel/events"
    )
    table: Annotated[
        str,
        dg.Resolver.default(
            description="Folder of the lake that holds the exported days; the typed tables are in `<table>_typed`."
        ),
    ] = "events"
    key_prefix: KeyPrefix = "mixpanel/events_typed"
    group_name: Annotated[
        str | None, dg.Resolver.default(description="Group of the assets; default: mixpanel_typed_events.")
    ] = None
    owners: Annotated[
        Sequence[str], dg.Resolver.default(description="Owners of the assets.", examples=[["team:growth"]])
    ] = field(default_factory=list)
    start_date: StartDate = None
    check_drift: Annotated[
        bool, dg.Resolver.default(description="Compare the data with the Lexicon after each run (one request).")
    ] = True

    def get_asset_spec(self, event: TypedEvent) -> dg.AssetSpec:
        """Spec of an event's asset. Override it to change tags, metadata or the automation condition.

        Args:
            event: one of `events`.

        Example:
            .. code-block:: python

                class TaggedEvents(MixpanelTypedEvents):
                    def get_asset_spec(self, event):
                        return super().get_asset_spec(event).merge_attributes(tags={"event": event.name})
        """
        source = "the types that the Lexicon declares" if self.types_from == "lexicon" else "the types of the data"
        changed = dg.AutomationCondition.any_deps_updated().since_last_handled()
        busy = dg.AutomationCondition.any_deps_in_progress() | dg.AutomationCondition.in_progress()
        spec = dg.AssetSpec(
            prefixed(self.key_prefix, event.name),
            deps=[dg.AssetKey.from_user_string(self.export)],
            description=f"Events called {event.event!r}, one row per event, their properties as columns of {source}. "
            "Values without a column, or that do not fit into it, are in `other_properties`.",
            group_name=self.group_name or self.group,
            owners=list(self.owners),
            # All days that were exported again, not only the last one: events arrive late.
            automation_condition=changed & ~busy,
        )
        return table_spec(spec, self.typed_table(event), descriptions([]), self.partitions)

    def execute(self, context: dg.AssetExecutionContext, events: Sequence[TypedEvent]) -> Results:
        """Publish the days of the run. Override it to do something before or after.

        Args:
            context: context of the run.
            events: the events that the run materializes.
        """
        yield from type_events(context, self, events)

    def build(self) -> dg.Definitions:
        """Assets, the check, and a job.

        Raises:
            ConfigurationError: no event, two with one name, or an unknown source of types.
        """
        self._check()
        names = ", ".join(event.event for event in self.events)
        job = dg.define_asset_job(
            f"{self.name}_job",
            selection=dg.AssetSelection.assets(*(self.get_asset_spec(event).key for event in self.events)),
            description=f"Makes typed events of {names}.",
        )
        checks = [drift_check(self)] if self.check_drift else []
        return dg.Definitions(assets=[typed_events_asset(self)], asset_checks=checks, jobs=[job])

    @property
    def exported(self) -> EventsTable:
        """The table of the export."""
        return EventsTable(self.lake_uri, self.table)

    def typed_table(self, event: TypedEvent) -> Table:
        """The table of an event, beside that of the export: `events_typed/<name>`.

        Args:
            event: one of `events`.
        """
        return Table(self.exported.lake, f"{self.table}_typed/{event.name}", typed_schema([]))

    @property
    def partitions(self) -> dg.DailyPartitionsDefinition:
        """The partitions of the export."""
        settings = self.mixpanel.settings()
        return dg.DailyPartitionsDefinition(str(self.start_date or settings.start_date), timezone=settings.export_zone)

    def _check(self) -> None:
        if self.types_from not in get_args(TypesFrom):
            raise ConfigurationError(f"types_from is {self.types_from!r}; allowed: {', '.join(get_args(TypesFrom))}")
        if not self.events:
            raise ConfigurationError("events is empty: name at least one")
        names: dict[str, str] = {}
        for event in self.events:
            if event.name in names:
                raise ConfigurationError(
                    f"events {names[event.name]!r} and {event.event!r} would both have the name {event.name!r}: "
                    "give one of them another `name`"
                )
            names[event.name] = event.event
