"""What chosen people did. Source: mixpanel-api.md#query-stream."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import tzinfo
from typing import Annotated, NamedTuple

import pyarrow as pa
from pydantic import Field

from mixpanel_etl.client import Query, ReplyError, StreamEvent
from mixpanel_etl.lake.event_columns import TIMESTAMP, readable_json
from mixpanel_etl.pull.published import Column
from mixpanel_etl.pull.reports.calendar import Days
from mixpanel_etl.pull.reports.report import EVENT, Fact, RangeReport, Value
from mixpanel_etl.timestamps import from_epoch

_ENDPOINT = "GET /api/query/stream/query"


class _Deed(NamedTuple):
    """An event, and who did it."""

    event: StreamEvent
    user: str | None


def _user(event: StreamEvent) -> str | None:
    user = event.properties.get("distinct_id", event.properties.get("$distinct_id"))
    return None if user is None else str(user)


class ActivityStream(RangeReport):
    """Every event of some users, by day of project time."""

    kind = "activity_stream"
    columns = (
        Column("time", TIMESTAMP, "When it happened."),
        EVENT,
        Column("distinct_id", pa.string(), "Who did it."),
        Column("insert_id", pa.string(), "`$insert_id`; null where there is none."),
        Column("properties", pa.string(), "All properties, as JSON."),
    )

    distinct_ids: Annotated[list[Value], Field(min_length=1)] = Field(description="Ids of the users.")

    def ask(self, query: Query, days: Days) -> Sequence[_Deed]:
        found = query.stream_query(self.distinct_ids, *days)
        if all(_user(event) is not None for event in found):
            return [_Deed(event, _user(event)) for event in found]
        # In the specification's shape an event does not say whose it is: the question has to.
        deeds = [_Deed(event, self.distinct_ids[0]) for event in found] if len(self.distinct_ids) == 1 else []
        for name in self.distinct_ids if not deeds else ():
            deeds += [_Deed(event, _user(event) or name) for event in query.stream_query([name], *days)]
        return deeds

    def facts(self, reply: Sequence[_Deed], zone: tzinfo) -> Iterator[Fact]:
        for event, user in reply:
            properties = event.properties
            stored = event.time if event.time is not None else properties.get("time")
            if not isinstance(stored, int | float):
                raise ReplyError("an event of the reply has no time", endpoint=_ENDPOINT)
            time = from_epoch(stored)
            insert_id = properties.get("$insert_id")
            yield Fact(
                str(time.astimezone(zone).date()),
                (
                    time,
                    event.event,
                    user,
                    None if insert_id is None else str(insert_id),
                    readable_json(properties),
                ),
            )
