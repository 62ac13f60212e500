"""What chosen people did. Specification 5.8; api-facts 3.8."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Annotated

import msgspec
import pyarrow as pa
from pydantic import Field

from mixpanel_etl.client.query import Query
from mixpanel_etl.client.query_replies import StreamEvent
from mixpanel_etl.pull.reports.calendar import Days
from mixpanel_etl.pull.reports.report import EVENT, MOMENT, Column, Fact, RangeReport, Value

_MILLISECONDS = 1e11  # seconds would be the year 5138


class ActivityStream(RangeReport):
    """Every event of some users, by day of project time."""

    kind = "activity_stream"
    columns = (
        Column("time", MOMENT, "When it happened."),
        EVENT,
        Column("distinct_id", pa.string(), "Who did it."),
        Column("insert_id", pa.string(), "`$insert_id`; null where there is none."),
        Column("properties", pa.string(), "All properties, as JSON."),
    )

    distinct_ids: Annotated[list[Value], Field(min_length=1)] = Field(description="Ids of the users.")

    def ask(self, query: Query, days: Days) -> Sequence[StreamEvent]:
        return query.stream_query(self.distinct_ids, *days)

    def facts(self, reply: Sequence[StreamEvent], zone: tzinfo) -> Iterator[Fact]:
        for event in reply:
            properties = event.properties
            stored = event.time if event.time is not None else properties["time"]
            moment = datetime.fromtimestamp(stored / 1000 if stored > _MILLISECONDS else stored, UTC)
            user = properties.get("distinct_id", properties.get("$distinct_id"))
            yield Fact(
                str(moment.astimezone(zone).date()),
                (
                    moment,
                    event.event,
                    None if user is None else str(user),
                    properties.get("$insert_id"),
                    msgspec.json.encode(properties).decode(),
                ),
            )
