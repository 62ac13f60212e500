"""`GET /stream/query`: what some users did, in order. Source: mixpanel-api.md#query-stream."""

from __future__ import annotations

from datetime import datetime

from mixpanel_etl.sandbox.apis.query.log import Event, Log
from mixpanel_etl.sandbox.apis.query.question import Question
from mixpanel_etl.sandbox.engine.parameters import no_where, read_names, required


def stream(question: Question) -> object:
    no_where(question.parameters)
    required(question.parameters, "distinct_ids")
    users = read_names(question.parameters, "distinct_ids") or []
    buckets = question.buckets(*question.dates(), "all")
    log = Log(question.state, question.project)
    events = log.events(buckets.starts[0], buckets.end, users=users, ordered=True)
    return {"status": "ok", "results": {"events": [_shown(event) for event in events]}}


def _shown(event: Event) -> dict[str, object]:
    # A datetime is not of the event, but there for expressions.
    properties = {name: value for name, value in event.properties.items() if not isinstance(value, datetime)}
    return {"event": event.name, "properties": properties}
