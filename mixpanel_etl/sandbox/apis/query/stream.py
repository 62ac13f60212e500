"""`GET /stream/query`: the events of some users, ordered by time. Source: mixpanel-api.md#query-stream."""

from __future__ import annotations

from datetime import datetime

from mixpanel_etl.sandbox.apis.query.query_request import QueryRequest
from mixpanel_etl.sandbox.engine.event_log import Event, EventLog
from mixpanel_etl.sandbox.engine.query_parameters import no_where, read_names, required


def stream(query: QueryRequest) -> object:
    no_where(query.parameters)
    required(query.parameters, "distinct_ids")
    users = read_names(query.parameters, "distinct_ids") or []
    buckets = query.buckets(*query.dates(), "all")
    log = EventLog(query.state, query.project)
    events = log.events(buckets.starts[0], buckets.end, users=users, ordered=True)
    return {"status": "ok", "results": {"events": [_shown(event) for event in events]}}


def _shown(event: Event) -> dict[str, object]:
    # A datetime is not from the event, but was added for expressions.
    properties = {name: value for name, value in event.properties.items() if not isinstance(value, datetime)}
    return {"event": event.name, "properties": properties}
