"""Raw event export: `GET /export`. Source: specification 4; api-facts 2."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta

import msgspec

from mixpanel_etl.client.credentials import ProjectSecret, ServiceAccount
from mixpanel_etl.client.errors import InvalidRequest
from mixpanel_etl.client.operations import Operation, Request
from mixpanel_etl.client.response import Response
from mixpanel_etl.client.transport import Transport

EXPORT = Operation("GET", "export", "/export", accepts=(ServiceAccount, ProjectSecret), budgets=("export",))

MOST_DAYS = 100
MOST_EVENTS = 100_000


@contextmanager
def export(
    transport: Transport,
    from_date: date,
    to_date: date,
    *,
    today: date,
    events: Sequence[str] | None = None,
    where: str | None = None,
    limit: int | None = None,
) -> Iterator[Response]:
    """Stream the raw events of a window as decompressed JSON lines. See `Mixpanel.export`."""
    query = parameters(from_date, to_date, today=today, events=events, where=where, limit=limit)
    with transport.stream(Request(EXPORT, query=query)) as response:
        yield response


def parameters(
    from_date: date,
    to_date: date,
    *,
    today: date,
    events: Sequence[str] | None,
    where: str | None,
    limit: int | None,
) -> dict[str, str]:
    """The query of an export, checked.

    Raises:
        InvalidRequest: a parameter can't work; nothing was sent.
    """
    _check_window(from_date, to_date, today)
    query = {"from_date": from_date.isoformat(), "to_date": to_date.isoformat(), "time_in_ms": "true"}
    if events is not None:
        query["event"] = msgspec.json.encode(_checked_events(events)).decode()
    if where is not None:
        query["where"] = _checked_where(where)
    if limit is not None:
        query["limit"] = str(_checked_limit(limit))
    return query


def _check_window(from_date: date, to_date: date, today: date) -> None:
    for name, day in (("from_date", from_date), ("to_date", to_date)):
        # A datetime is a date to isinstance, and would be sent with its time of day.
        if not isinstance(day, date) or isinstance(day, datetime):
            raise _invalid(f"{name} is {day!r}, a {type(day).__name__}", "Give a datetime.date.")
    if from_date > to_date:
        raise _invalid(f"from_date {from_date} is after to_date {to_date}", "Swap them: both days are included.")
    days = (to_date - from_date).days + 1
    if days > MOST_DAYS:
        raise _invalid(
            f"{from_date} to {to_date} are {days} days, Mixpanel gives at most {MOST_DAYS} in one request",
            f"Ask for {from_date} to {from_date + timedelta(days=MOST_DAYS - 1)} first.",
        )
    if to_date > today:
        raise _invalid(
            f"to_date {to_date} is in the future: in the project's time zone today is {today}",
            f"End at {today}, or correct MIXPANEL_TIMEZONE.",
        )


def _checked_events(events: Sequence[str]) -> list[str]:
    if isinstance(events, str) or not all(isinstance(name, str) for name in events):
        raise _invalid(f"events is {events!r}", "Give a list of event names.")
    if not events or not all(events):
        raise _invalid("events has no name, or an empty one", "Leave it out to export every event.")
    return list(events)


def _checked_where(where: str) -> str:
    if not isinstance(where, str) or not where.strip():
        raise _invalid(f"where is {where!r}", "Give a segmentation expression, or leave it out.")
    return where


def _checked_limit(limit: int) -> int:
    if not isinstance(limit, int) or isinstance(limit, bool) or not 1 <= limit <= MOST_EVENTS:
        raise _invalid(f"limit is {limit!r}", f"Give a whole number from 1 to {MOST_EVENTS}, or leave it out.")
    return limit


def _invalid(message: str, advice: str) -> InvalidRequest:
    return InvalidRequest(message, endpoint=EXPORT.endpoint, advice=advice)
