"""Events over time, and which there are, with what properties. Source: mixpanel-api.md#query-events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import tzinfo
from typing import Annotated

import pyarrow as pa
from pydantic import Field

from mixpanel_etl.client import Counting, EventCounts, Query, Segmentation
from mixpanel_etl.client import TopEvents as TopEventsReply
from mixpanel_etl.client.query.events import MAX_NAMES
from mixpanel_etl.client.query.parameters import MAX_VALUES
from mixpanel_etl.pull.published import Column
from mixpanel_etl.pull.reports.calendar import Days, timestamp_of
from mixpanel_etl.pull.reports.report import EVENT, MEASURE, TIME, VALUE, Count, Counted, Fact, Name, Snapshot, Value
from mixpanel_etl.pull.reports.segment_limits import Limited, is_cut

_PROPERTY = Column("property", pa.string(), "Name of the property.")
_COUNTING = "What is counted: `general` events, `unique` users, `average` events per user."


class Events(Counted):
    """How often several events happened, or how many users did them, over time."""

    kind = "events"
    counted = "value"
    columns = (TIME, EVENT, MEASURE, VALUE)
    impersonal = ("time", "event", "measure", "value")

    events: Annotated[list[Name], Field(min_length=1)] = Field(description="Names of the events.")

    @property
    def numbers_a_unit(self) -> int:
        return len(self.events)

    def ask(self, query: Query, days: Days) -> EventCounts:
        return query.events(self.events, *days, unit=self.unit, type=self.type)

    def facts(self, reply: EventCounts, zone: tzinfo) -> Iterator[Fact]:
        for event, counts in reply.values.items():
            for label, value in counts.items():
                yield Fact(label, (timestamp_of(label, zone), event, self.type, value))


class EventProperties(Counted, Limited):
    """How often an event had each value of one property, over time."""

    kind = "event_properties"
    counted = "value"
    columns = (TIME, EVENT, _PROPERTY, Column("segment", pa.string(), "Value of the property."), MEASURE, VALUE)
    impersonal = ("time", "event", "property", "measure", "value")

    event: Name = Field(description="Name of the event.")
    property: Name = Field(description="Name of the property.")
    values: Annotated[list[Value], Field(min_length=1)] | None = Field(
        default=None, description="Which values; the most common ones by default."
    )

    def ask(self, query: Query, days: Days) -> Segmentation:
        return query.event_properties(
            self.event, self.property, *days, type=self.type, unit=self.unit, values=self.values, limit=MAX_VALUES
        )

    def is_cut(self, reply: Segmentation) -> bool:
        return is_cut(reply)

    def facts(self, reply: Segmentation, zone: tzinfo) -> Iterator[Fact]:
        for name, counts in reply.values.items():
            for label, value in counts.items():
                yield Fact(label, (timestamp_of(label, zone), self.event, self.property, name, self.type, value))


class TopEvents(Snapshot):
    """Today's most common events so far, and how they changed since yesterday."""

    kind = "top_events"
    columns = (
        EVENT,
        MEASURE,
        VALUE,
        Column("percent_change", pa.float64(), "Change since yesterday, as Mixpanel gives it."),
    )
    impersonal = ("measure", "value", "percent_change")  # anybody can send an event of any name

    type: Counting = Field(default="general", description=_COUNTING)
    limit: Count = Field(default=MAX_NAMES, description="Most events.")

    def ask(self, query: Query) -> TopEventsReply:
        return query.top_events(self.type, self.limit)

    def is_cut(self, reply: TopEventsReply) -> bool:
        return len(reply.events) >= self.limit

    def facts(self, reply: TopEventsReply, zone: tzinfo) -> Iterator[Fact]:  # noqa: ARG002
        for event in reply.events:
            yield Fact(None, (event.event, self.type, event.amount, event.percent_change))


class EventNames(Snapshot):
    """The names of the most common events of the last 31 days."""

    kind = "event_names"
    columns = (EVENT,)

    type: Counting = Field(default="general", description="What makes an event common: events, users, their ratio.")
    limit: Annotated[int, Field(ge=1, le=MAX_NAMES)] = Field(default=MAX_NAMES, description="Most names.")

    def ask(self, query: Query) -> Sequence[str]:
        return query.event_names(self.type, self.limit)

    def is_cut(self, reply: Sequence[str]) -> bool:
        return len(reply) >= self.limit

    def facts(self, reply: Sequence[str], zone: tzinfo) -> Iterator[Fact]:  # noqa: ARG002
        return (Fact(None, (name,)) for name in reply)


class TopProperties(Snapshot):
    """The most common properties of an event, and how many events have each."""

    kind = "top_properties"
    columns = (
        EVENT,
        _PROPERTY,
        Column("count", pa.float64(), "Events that have it (a share in percent, from an older Mixpanel)."),
    )
    impersonal = ("event", "count")

    event: Name = Field(description="Name of the event.")
    limit: Count = Field(default=MAX_VALUES, description="Most properties. (Mixpanel's own default is ten.)")

    def ask(self, query: Query) -> Mapping[str, float]:
        return query.top_properties(self.event, self.limit)

    def is_cut(self, reply: Mapping[str, float]) -> bool:
        return len(reply) >= self.limit

    def facts(self, reply: Mapping[str, float], zone: tzinfo) -> Iterator[Fact]:  # noqa: ARG002
        return (Fact(None, (self.event, name, count)) for name, count in reply.items())


class PropertyValues(Snapshot):
    """The most common values of a property of an event."""

    kind = "property_values"
    columns = (EVENT, _PROPERTY, Column("value", pa.string(), "Value of the property, as text."))
    impersonal = ("event", "property")

    event: Name = Field(description="Name of the event.")
    property: Name = Field(description="Name of the property.")
    limit: Count = Field(default=MAX_VALUES, description="Most values. (Mixpanel's own default is 255.)")

    def ask(self, query: Query) -> Sequence[str]:
        return query.property_values(self.event, self.property, self.limit)

    def is_cut(self, reply: Sequence[str]) -> bool:
        return len(reply) >= self.limit

    def facts(self, reply: Sequence[str], zone: tzinfo) -> Iterator[Fact]:  # noqa: ARG002
        return (Fact(None, (self.event, self.property, value)) for value in reply)
