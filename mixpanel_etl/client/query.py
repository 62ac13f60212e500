"""Query API. Source: specification 5.4; api-facts 3.0 and 3.4. All dates are days of the project's time zone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Literal, get_args

from mixpanel_etl.client import parameters
from mixpanel_etl.client.credentials import ProjectSecret, ServiceAccount
from mixpanel_etl.client.errors import InvalidRequest
from mixpanel_etl.client.operations import Operation, Request
from mixpanel_etl.client.replies import Reply, plain, typed
from mixpanel_etl.client.transport import Transport

Unit = Literal["minute", "hour", "day", "week", "month"]
Counting = Literal["general", "unique", "average"]

ACCEPTS = (ServiceAccount, ProjectSecret)
EVENTS = Operation("GET", "query", "/events", accepts=ACCEPTS, budgets=("query",))
EVENT_NAMES = Operation("GET", "query", "/events/names", accepts=ACCEPTS, budgets=("query",))

MOST_NAMES = 5000  # a higher limit is clamped by Mixpanel without a word


class EventCounts(Reply, frozen=True, kw_only=True):
    """How often each event happened in each unit of time.

    Args:
        series: the units of time, in the project's zone, as Mixpanel writes them (`2026-01-31` for days).
        values: for each event, counts by unit of time.
        legend_size: number of events.
    """

    series: list[str]
    values: dict[str, dict[str, int | float]]
    legend_size: int | None = None


class Query:
    """Analytics over a project's events. 60 requests an hour for the whole project: ask for much at a time."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def events(
        self,
        events: Sequence[str],
        from_date: date,
        to_date: date,
        unit: Unit = "day",
        type: Counting = "general",  # noqa: A002
    ) -> EventCounts:
        """Counts of the named events over time, duplicates left out (api-facts 1.4).

        Args:
            events: at least one name.
            from_date: first day.
            to_date: last day, included.
            unit: of the time series.
            type: `general` counts events, `unique` users (not by hour or minute), `average` events per user.

        Raises:
            InvalidRequest: a parameter can't work; nothing was sent.
            MixpanelError: one of the kinds in `client.errors`.
        """
        endpoint = EVENTS.endpoint
        _check_choice("unit", unit, get_args(Unit), endpoint)
        _check_choice("type", type, get_args(Counting), endpoint)
        if type == "unique" and unit in ("minute", "hour"):
            raise InvalidRequest(
                f"unit {unit!r} with type 'unique'",
                endpoint=endpoint,
                advice="Unique users are counted by day or more.",
            )
        query = {
            "event": parameters.event_names(events, endpoint),
            "type": type,
            "unit": unit,
            **parameters.window(from_date, to_date, endpoint),
        }
        reply = self._get(EVENTS, query)
        if isinstance(reply, dict) and isinstance(data := reply.pop("data", None), dict):
            reply |= data
        return typed(EventCounts, reply, endpoint=endpoint)

    def event_names(
        self,
        type: Counting = "general",  # noqa: A002
        limit: int = MOST_NAMES,
        from_date: date | None = None,
        to_date: date | None = None,
    ) -> list[str]:
        """Names of the most common events, in no order; of the last 31 days when no dates are given.

        Args:
            type: what makes an event common.
            limit: 1 to 5000.
            from_date: first day.
            to_date: last day, included; both dates or none.

        Raises:
            InvalidRequest: a parameter can't work; nothing was sent.
            MixpanelError: one of the kinds in `client.errors`.
        """
        endpoint = EVENT_NAMES.endpoint
        _check_choice("type", type, get_args(Counting), endpoint)
        query = {"type": type, "limit": parameters.limit(limit, MOST_NAMES, endpoint)}
        if from_date is not None and to_date is not None:
            query |= parameters.window(from_date, to_date, endpoint)
        elif from_date is not None or to_date is not None:
            raise InvalidRequest("only one of from_date and to_date", endpoint=endpoint, advice="Give both or none.")
        return plain(self._get(EVENT_NAMES, query), list[str], endpoint=endpoint)

    def _get(self, operation: Operation, query: dict[str, str]) -> object:
        if self._transport.settings.workspace_id:
            query["workspace_id"] = str(self._transport.settings.workspace_id)
        return self._transport.json(Request(operation, query=query))


def _check_choice(name: str, value: object, choices: tuple[str, ...], endpoint: str) -> None:
    if value not in choices:
        raise InvalidRequest(f"{name} is {value!r}", endpoint=endpoint, advice=f"Give one of {', '.join(choices)}.")
