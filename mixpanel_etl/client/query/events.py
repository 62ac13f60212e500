"""Counts, names and properties of events. Source: mixpanel-api.md#query-events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mixpanel_etl.client.errors import InvalidRequest
from mixpanel_etl.client.http.encoding import json_string
from mixpanel_etl.client.operations import parameters
from mixpanel_etl.client.operations.parameters import Day, given
from mixpanel_etl.client.operations.replies import Reply, typed
from mixpanel_etl.client.query.base import Counts, Number, QueryApi, query_operations, unwrapped
from mixpanel_etl.client.query.frames import data_frame, series_frame
from mixpanel_etl.client.query.parameters import (
    Counting,
    Unit,
    counting,
    event_window,
    optional_choices,
    optional_integers,
    optional_strings,
)
from mixpanel_etl.client.query.segmentation import Segmentation

if TYPE_CHECKING:
    import polars as pl

operation = query_operations("query-events")

MAX_NAMES = 5000  # Mixpanel silently cuts a higher limit to this one


class EventCounts(Reply, frozen=True, kw_only=True):
    """Counts of each event in each unit of time.

    Args:
        series: units of time, in the project's zone, as Mixpanel writes them (`2026-01-31` for days).
        values: counts by unit of time, by event.
        legend_size: number of events.
    """

    series: list[str]
    values: dict[str, Counts]
    legend_size: int | None = None

    def to_polars(self) -> pl.DataFrame:
        """The counts: columns event, time (as Mixpanel writes it) and value. Needs `mixpanel_etl[lake]`."""
        return series_frame(self.values, "event")


class TopEvent(Reply, frozen=True, kw_only=True):
    """Today's count of an event, and its change since yesterday."""

    event: str
    amount: Number
    percent_change: Number | None = None


class TopEvents(Reply, frozen=True, kw_only=True):
    """Today's most frequent events."""

    events: list[TopEvent]
    type: str | None = None

    def to_polars(self) -> pl.DataFrame:
        """The events: columns event, amount and percent_change. Needs `mixpanel_etl[lake]`."""
        columns = {"event": str, "amount": float, "percent_change": float}
        return data_frame(columns, ([event[name] for name in columns] for event in self.events))


class EventQueries(QueryApi):
    """Events and their properties."""

    @operation("GET", "/events", "no unique users by hour or minute")
    def events(
        self,
        events: Sequence[str],
        from_date: Day,
        to_date: Day,
        unit: Unit = "day",
        type: Counting = "general",  # noqa: A002
    ) -> EventCounts:
        """Counts of the named events over time, without duplicates (mixpanel-api.md#deduplication).

        Args:
            events: names of the events, at least one.
            from_date: first day, a date or a string like `2026-01-31`.
            to_date: last day, included.
            unit: unit of the time series.
            type: `general` counts events, `unique` users (not by hour or minute), `average` events per user.
        """
        query = {
            "event": parameters.event_names(events),
            **counting(type, unit),
            **parameters.window(from_date, to_date),
        }
        return typed(unwrapped(self._json(query=query)), EventCounts)

    @operation("GET", "/events/top")
    def top_events(
        self,
        type: Counting = "general",  # noqa: A002
        limit: int | None = None,
    ) -> TopEvents:
        """Today's most frequent events, and their change since yesterday; 100 without a limit."""
        query = {**optional_choices(type=(type, Counting)), **optional_integers(limit=limit)}
        return typed(self._json(query=query), TopEvents)

    @operation("GET", "/events/names", "limit of 5,000 names")
    def event_names(
        self,
        type: Counting = "general",  # noqa: A002
        limit: int = MAX_NAMES,
        from_date: Day | None = None,
        to_date: Day | None = None,
    ) -> list[str]:
        """Names of the most frequent events, in no order; of the last 31 days without dates.

        Args:
            type: what is counted.
            limit: maximum number of names, 1 to 5000.
            from_date: first day, a date or a string like `2026-01-31`.
            to_date: last day, included; both dates or none.
        """
        query = {**optional_choices(type=(type, Counting)), **optional_integers(maximum=MAX_NAMES, limit=limit)}
        if from_date is not None and to_date is not None:
            query |= parameters.window(from_date, to_date)
        elif from_date is not None or to_date is not None:
            raise InvalidRequest("only one of from_date and to_date", advice="Give both or none.")
        return typed(self._json(query=query), list[str])

    @operation("GET", "/events/properties", "no unique users by hour or minute")
    def event_properties(
        self,
        event: str,
        name: str,
        from_date: Day,
        to_date: Day,
        *,
        type: Counting = "general",  # noqa: A002
        unit: Unit = "day",
        values: Sequence[str] | None = None,
        limit: int | None = None,
    ) -> Segmentation:
        """Counts of one event over time, by the values of one property.

        Args:
            event: name of the event.
            name: name of the property.
            from_date: first day, a date or a string like `2026-01-31`.
            to_date: last day, included.
            type: what is counted.
            unit: unit of the time series; no unique users by hour or minute.
            values: values of the property; the most frequent ones by default.
            limit: maximum number of values (255 by default).
        """
        query = {
            **event_window(event, from_date, to_date),
            **optional_strings(name=name),
            **counting(type, unit),
            **given(values=None if values is None else json_string(parameters.strings("values", values))),
            **optional_integers(limit=limit),
        }
        return typed(unwrapped(self._json(query=query)), Segmentation)

    @operation("GET", "/events/properties/top", open_keys=True)
    def top_properties(self, event: str, limit: int | None = None) -> dict[str, int | float]:
        """An event's most frequent properties, with the number of events that have them (a share in older replies).

        Without a limit these are ten: never take them for all.
        """
        reply = self._json(query={**optional_strings(event=event), **optional_integers(limit=limit)})
        if isinstance(reply, dict):
            reply = {name: value.get("count") if isinstance(value, dict) else value for name, value in reply.items()}
        return typed(reply, dict[str, int | float])

    @operation("GET", "/events/properties/values")
    def property_values(self, event: str, name: str, limit: int | None = None) -> list[str]:
        """A property's most frequent values, as strings; 255 without a limit."""
        query = {**optional_strings(event=event, name=name), **optional_integers(limit=limit)}
        return typed(self._json(query=query), list[str])
