"""Events of given users. Source: mixpanel-api.md#query-stream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mixpanel_etl.client.http.encoding import json_string
from mixpanel_etl.client.operations import parameters
from mixpanel_etl.client.operations.parameters import Day
from mixpanel_etl.client.operations.replies import Reply, typed
from mixpanel_etl.client.query.base import Number, QueryApi, query_operations

operation = query_operations("query-stream")


class StreamEvent(Reply, frozen=True, kw_only=True):
    """An event of a user's history. Mixpanel may repeat `time` among the properties."""

    event: str
    properties: dict[str, Any]
    time: Number | None = None


class StreamQueries(QueryApi):
    """Activity streams of users."""

    @operation("GET", "/stream/query")
    def stream_query(self, distinct_ids: Sequence[str], from_date: Day, to_date: Day) -> list[StreamEvent]:
        """The events of some users. Mixpanel keeps this endpoint in maintenance mode."""
        query = {
            "distinct_ids": json_string(parameters.strings("distinct_ids", distinct_ids)),
            **parameters.window(from_date, to_date),
        }
        reply = self._json(query=query)
        # Events are a list in `results`, or in `results.events`.
        results = reply.get("results") if isinstance(reply, dict) else reply
        return typed(results.get("events") if isinstance(results, dict) else results, list[StreamEvent])
