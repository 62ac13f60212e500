"""Names that a report asks for and Mixpanel does not know: a typo otherwise looks like a quiet day."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import date, timedelta
from logging import Logger
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from mixpanel_etl.client import Mixpanel, MixpanelError
from mixpanel_etl.client.query.events import MAX_NAMES
from mixpanel_etl.client.query.parameters import MAX_VALUES
from mixpanel_etl.lake import Table
from mixpanel_etl.pull.reports.report import Report

#: Of every event, but in no list of properties.
_ALWAYS = {"time", "$time", "distinct_id", "$distinct_id", "$insert_id", "$device_id", "$user_id", "$event_name"}
#: Segments of events that do not have the property.
_WITHOUT_VALUE = {None, "undefined", "null"}
#: How far back Mixpanel's lists look when they are not told.
_LISTED_DAYS = 31


class Found(NamedTuple):
    """Names that are known because the report's own reply has numbers of them."""

    events: Collection[str]
    properties: Collection[str]


def names_found(report: Report, tables: Iterable[pa.Table]) -> Found:
    """What the rows of a reply say of the report's names.

    Args:
        report: whose rows.
        tables: of its partitions.
    """
    found = [rows for rows in tables if report.amount(rows) > 0]
    events: set[str] = set() if _tells_events_apart(report) else set(report.named_events if found else ())
    has_values = False
    for rows in found:
        if _tells_events_apart(report):
            events |= set(rows.filter(pc.not_equal(rows["value"], 0))["event"].to_pylist())
        segments = set(rows["segment"].unique().to_pylist()) if "segment" in rows.schema.names else {""}
        has_values = has_values or bool(segments - _WITHOUT_VALUE)
    return Found(events, report.segment_properties if has_values else ())


def _tells_events_apart(report: Report) -> bool:
    return len(report.named_events) > 1 and {"event", "value"} <= {column.name for column in report.table_columns()}


def unknown_names(
    mixpanel: Mixpanel, report: Report, table: Table, found: Found, *, since: date | None = None, log: Logger
) -> list[str] | None:
    """Events and properties of the report that are in none of Mixpanel's lists, as phrases.

    Costs nothing where the reply itself has numbers of all names. Otherwise it costs one query when the report first
    runs, and one in each run as long as a name is unknown.

    Args:
        mixpanel: the project.
        report: its parameters name events and properties.
        table: its files say what earlier runs have found out.
        found: what the report's own reply says of the names.
        since: first day of the run.
        log: told when the lists cannot be had.

    Returns:
        The unknown names; None when the lists could not be had, so that the next run asks again.
    """
    events = [name for name in report.named_events if name not in found.events and not _is_custom(name)]
    properties = [name for name in report.named_properties if name not in {*found.properties, *_ALWAYS}]
    if not report.named_events or not (events or properties) or _known_already(report, table):
        return []
    try:
        if len(report.named_events) == 1 and properties:
            return _unknown_properties(mixpanel, report.named_events[0], events, properties)
        return _unknown_events(mixpanel, events, since)
    except MixpanelError as error:
        log.warning(f"whether Mixpanel knows the report's events and properties could not be asked: {error}")
        return None


def asked_names(report: Report) -> list[str]:
    """What a file records beside `unknown_names`: other names are looked up again."""
    return [*report.named_events, *report.named_properties]


def _known_already(report: Report, table: Table) -> bool:
    keys = table.keys()
    last = table.partition(keys[-1]) if keys else None
    if last is None:
        return False
    return last.provenance.get("unknown_names") == [] and last.provenance.get("names") == asked_names(report)


def _is_custom(event: str) -> bool:
    """Whether an event was defined in Mixpanel, which does not list those."""
    return event.startswith("$custom_event:")


def _unknown_events(mixpanel: Mixpanel, events: Sequence[str], since: date | None) -> list[str]:
    if not events:
        return []
    today = mixpanel.transport.today()
    first = min(since or today, today - timedelta(days=_LISTED_DAYS - 1))
    listed = mixpanel.query.event_names(from_date=first, to_date=today)
    return [] if len(listed) >= MAX_NAMES else [f"event {name!r}" for name in events if name not in listed]


def _unknown_properties(mixpanel: Mixpanel, event: str, unseen: Sequence[str], properties: Sequence[str]) -> list[str]:
    listed = mixpanel.query.top_properties(event, MAX_VALUES)
    if not listed:  # nothing of the last 31 days
        return [f"event {name!r}" for name in unseen]
    if len(listed) >= MAX_VALUES:
        return []
    return [f"property {name!r} of event {event!r}" for name in properties if name not in listed]
