"""Raw event export: `GET /export`. Source: mixpanel-api.md#export."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import date, timedelta

from mixpanel_etl.client.errors import InvalidRequest
from mixpanel_etl.client.http.response import Response
from mixpanel_etl.client.operations import parameters
from mixpanel_etl.client.operations.api import READERS, Api, Operations
from mixpanel_etl.client.operations.parameters import Day

operation = Operations("export", "export", accepts=READERS, budgets=("export",))

MAX_DAYS = 100
MAX_EVENTS = 100_000


class Export(Api):
    """The part of `Mixpanel` that exports events."""

    @operation("GET", "/export", "100 days", "limit of 100,000 events", "to_date today")
    def export(
        self,
        from_date: Day,
        to_date: Day,
        *,
        events: Sequence[str] | None = None,
        where: str | None = None,
        limit: int | None = None,
    ) -> AbstractContextManager[Response]:
        """Stream the raw events of at most 100 days, as decompressed chunks of JSON lines in no order.

        `time` is requested in milliseconds. Duplicates come as Mixpanel stores them (mixpanel-api.md#deduplication). A
        200 can end with a line that is not JSON (`terminated early`, mixpanel-api.md#export-truncation): the decoder
        must reject it.

        Args:
            from_date: first day, a date or a string like `2026-01-31`, in UTC (project time for projects created
                before 2023).
            to_date: last day, included; not in the future in the project's zone.
            events: names of the events to export; all by default.
            where: segmentation expression, such as `properties["plan"] == "pro"`.
            limit: maximum number of events (1 to 100,000). The rest can't be requested: never use it for a full copy.

        Returns:
            A context manager of a `Response`, whose iterator gives the chunks.

        Raises:
            InvalidRequest: a parameter can't work; nothing was sent.
            MixpanelError: one of the kinds in `client.errors`; `IncompleteResponse` while iterating.
        """
        first, last = parameters.day("from_date", from_date), parameters.day("to_date", to_date)
        query = {**parameters.window(first, last), "time_in_ms": "true"}
        _check_span(first, last)
        if events is not None:
            query["event"] = parameters.event_names(events)
        if where is not None:
            query["where"] = parameters.expression("where", where)
        if limit is not None:
            query["limit"] = str(parameters.integer("limit", limit, maximum=MAX_EVENTS))
        _check_not_in_future(last, self.transport.today())
        return self._stream(query=query, divisible=first < last)


def _check_span(first: date, last: date) -> None:
    days = (last - first).days + 1
    if days > MAX_DAYS:
        raise InvalidRequest(
            f"{first} to {last} are {days} days, the maximum of one request is {MAX_DAYS}",
            advice=f"Ask for {first} to {first + timedelta(days=MAX_DAYS - 1)} first.",
        )


def _check_not_in_future(to_date: date, today: date) -> None:
    if to_date > today:
        raise InvalidRequest(
            f"to_date {to_date} is in the future: in the project's time zone today is {today}",
            advice=f"End at {today}, or correct MIXPANEL_TIMEZONE.",
        )
