"""Raw event export: `GET /export`. Source: mixpanel-api.md#export."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta

from mixpanel_etl.client.errors import InvalidRequest
from mixpanel_etl.client.http.response import Response
from mixpanel_etl.client.http.transport import Transport
from mixpanel_etl.client.operations import parameters
from mixpanel_etl.client.operations.catalogue import CATALOGUE
from mixpanel_etl.client.operations.operation import Request
from mixpanel_etl.client.operations.parameters import Day

EXPORT = CATALOGUE["export"]

MOST_DAYS = 100
MOST_EVENTS = 100_000


@contextmanager
def export(
    transport: Transport,
    from_date: Day,
    to_date: Day,
    *,
    events: Sequence[str] | None = None,
    where: str | None = None,
    limit: int | None = None,
) -> Iterator[Response]:
    """Stream the raw events of a window as decompressed JSON lines. See `Mixpanel.export`."""
    first = parameters.day("from_date", from_date, EXPORT.endpoint)
    last = parameters.day("to_date", to_date, EXPORT.endpoint)
    query = _query(first, last, events=events, where=where, limit=limit)
    _check_not_in_future(last, transport)
    with transport.stream(Request(EXPORT, query=query, divisible=first < last)) as response:
        yield response


def _query(
    from_date: date,
    to_date: date,
    *,
    events: Sequence[str] | None,
    where: str | None,
    limit: int | None,
) -> dict[str, str]:
    endpoint = EXPORT.endpoint
    query = {**parameters.window(from_date, to_date, endpoint), "time_in_ms": "true"}
    _check_span(from_date, to_date)
    if events is not None:
        query["event"] = parameters.event_names(events, endpoint)
    if where is not None:
        query["where"] = parameters.expression("where", where, endpoint)
    if limit is not None:
        query["limit"] = parameters.limit(limit, MOST_EVENTS, endpoint)
    return query


def _check_span(from_date: date, to_date: date) -> None:
    days = (to_date - from_date).days + 1
    if days > MOST_DAYS:
        raise InvalidRequest(
            f"{from_date} to {to_date} are {days} days, Mixpanel gives at most {MOST_DAYS} in one request",
            endpoint=EXPORT.endpoint,
            advice=f"Ask for {from_date} to {from_date + timedelta(days=MOST_DAYS - 1)} first.",
        )


def _check_not_in_future(to_date: date, transport: Transport) -> None:
    today = transport.today()
    if to_date > today:
        raise InvalidRequest(
            f"to_date {to_date} is in the future: in the project's time zone today is {today}",
            endpoint=EXPORT.endpoint,
            advice=f"End at {today}, or correct {transport.settings.variable('timezone')}.",
        )
