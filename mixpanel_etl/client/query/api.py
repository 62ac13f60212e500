"""Query API. Source: mixpanel-api.md#query. All dates are days of the project's time zone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from mixpanel_etl.client.errors import InvalidRequest
from mixpanel_etl.client.http.encoding import as_text
from mixpanel_etl.client.http.json_items import items
from mixpanel_etl.client.operations import parameters
from mixpanel_etl.client.operations.parameters import Day, given
from mixpanel_etl.client.operations.replies import plain, typed
from mixpanel_etl.client.query import replies
from mixpanel_etl.client.query.parameters import Counting, Unit, choices, counting, event_window, flag, text, whole
from mixpanel_etl.client.query.profile_pages import Arrived, pages
from mixpanel_etl.client.query.replies import PAGE_SIZE, EventCounts
from mixpanel_etl.client.query.reports import Reports

MOST_NAMES = 5000  # a higher limit is clamped by Mixpanel without a word


class Query(Reports):
    """Analytics over a project's events. 60 requests an hour for the whole project: ask for much at a time.

    Every method raises `InvalidRequest` when a parameter can't work (nothing was sent then), and one of the kinds in
    `client.errors` when Mixpanel refuses. `where` and `on` are segmentation expressions, such as
    `properties["plan"] == "pro"`.
    """

    def events(
        self,
        events: Sequence[str],
        from_date: Day,
        to_date: Day,
        unit: Unit = "day",
        type: Counting = "general",  # noqa: A002
    ) -> EventCounts:
        """Counts of the named events over time, duplicates left out (mixpanel-api.md#deduplication).

        Args:
            events: at least one name.
            from_date: first day.
            to_date: last day, included.
            unit: of the time series.
            type: `general` counts events, `unique` users (not by hour or minute), `average` events per user.
        """
        endpoint = self._endpoint("events")
        query = {
            "event": parameters.event_names(events, endpoint),
            **counting(type, unit, endpoint),
            **parameters.window(from_date, to_date, endpoint),
        }
        return typed(EventCounts, replies.unwrapped(self._get("events", query)), endpoint=endpoint)

    def top_events(
        self,
        type: Counting = "general",  # noqa: A002
        limit: int | None = None,
    ) -> replies.TopEvents:
        """Today's most common events, and how they changed since yesterday; 100 without a limit."""
        endpoint = self._endpoint("top_events")
        query = {**choices(endpoint, type=(type, Counting)), **whole(endpoint, limit=limit)}
        return typed(replies.TopEvents, self._get("top_events", query), endpoint=endpoint)

    def event_names(
        self,
        type: Counting = "general",  # noqa: A002
        limit: int = MOST_NAMES,
        from_date: Day | None = None,
        to_date: Day | None = None,
    ) -> list[str]:
        """Names of the most common events, in no order; of the last 31 days when no dates are given.

        Args:
            type: what makes an event common.
            limit: 1 to 5000.
            from_date: first day.
            to_date: last day, included; both dates or none.
        """
        endpoint = self._endpoint("event_names")
        query = {**choices(endpoint, type=(type, Counting)), **whole(endpoint, most=MOST_NAMES, limit=limit)}
        if from_date is not None and to_date is not None:
            query |= parameters.window(from_date, to_date, endpoint)
        elif from_date is not None or to_date is not None:
            raise InvalidRequest("only one of from_date and to_date", endpoint=endpoint, advice="Give both or none.")
        return plain(self._get("event_names", query), list[str], endpoint=endpoint)

    def event_properties(
        self,
        event: str,
        name: str,
        from_date: Day,
        to_date: Day,
        *,
        type: Counting = "general",  # noqa: A002
        unit: Unit = "day",
        values: Sequence[str] | None = None,
        limit: int | None = None,
    ) -> replies.Segmentation:
        """Counts of one event over time, by the values of one property.

        Args:
            event: its name.
            name: the property's.
            from_date: first day.
            to_date: last day, included.
            type: what is counted.
            unit: of the time series; no unique users by hour or minute.
            values: which ones; the most common ones when left out.
            limit: at most so many values (255 when left out).
        """
        endpoint = self._endpoint("event_properties")
        query = {
            **event_window(event, from_date, to_date, endpoint),
            **text(endpoint, name=name),
            **counting(type, unit, endpoint),
            **given(values=None if values is None else as_text(parameters.texts("values", values, endpoint))),
            **whole(endpoint, limit=limit),
        }
        reply = self._get("event_properties", query)
        return typed(replies.Segmentation, replies.unwrapped(reply), endpoint=endpoint)

    def top_properties(self, event: str, limit: int | None = None) -> dict[str, int | float]:
        """An event's most common properties: how many events have each (a share, from an older Mixpanel).

        Without a limit these are ten: never take them for all.
        """
        endpoint = self._endpoint("top_properties")
        reply = self._get("top_properties", {**text(endpoint, event=event), **whole(endpoint, limit=limit)})
        if isinstance(reply, dict):
            reply = {name: value.get("count") if isinstance(value, dict) else value for name, value in reply.items()}
        return plain(reply, dict[str, int | float], endpoint=endpoint)

    def property_values(self, event: str, name: str, limit: int | None = None) -> list[str]:
        """A property's most common values, as texts; 255 without a limit."""
        endpoint = self._endpoint("property_values")
        query = {**text(endpoint, event=event, name=name), **whole(endpoint, limit=limit)}
        return plain(self._get("property_values", query), list[str], endpoint=endpoint)

    def engage(
        self,
        *,
        where: str | None = None,
        distinct_id: str | None = None,
        distinct_ids: Sequence[str] | None = None,
        output_properties: Sequence[str] | None = None,
        filter_by_cohort: int | None = None,
        include_all_users: bool | None = None,
        data_group_id: str | int | None = None,
        behaviors: Sequence[Mapping[str, Any]] | None = None,
        as_of_timestamp: datetime | None = None,
        page_size: int | None = None,
        session_id: str | None = None,
        page: int = 0,
        arrived: Arrived | None = None,
    ) -> Iterator[replies.ProfilePage]:
        """Profiles of users, or of groups, page by page. Each page is one request of the hour's 60.

        To go on after an interruption, ask the same question with the `session_id` of the last page that arrived, and
        the number of the next. How long Mixpanel keeps a session is not documented; `BadRequest` when it is gone.

        Args:
            where: which profiles.
            distinct_id: the one with this id.
            distinct_ids: those with these ids.
            output_properties: which properties; all when left out.
            filter_by_cohort: members of the cohort with this id. Not together with `behaviors`.
            include_all_users: with a cohort, members without a profile too (the default).
            data_group_id: of the group key, for profiles of groups.
            behaviors: selectors of events that users did.
            as_of_timestamp: the moment at which `behaviors` are seen; now when left out, so that all pages agree.
            page_size: at most 1,000, which is the default; only the specification has it.
            session_id: of the pages before; a new query when left out.
            page: the first page to ask for, from 0; over 0 only with a `session_id`.
            arrived: what the pages before brought, to go on with; says after each page whether it was the last one.
        """
        endpoint = self._endpoint("engage")
        if behaviors is not None and filter_by_cohort is not None:
            raise InvalidRequest("both behaviors and filter_by_cohort", endpoint=endpoint, advice="Give one of them.")
        if behaviors is None and as_of_timestamp is not None:
            raise InvalidRequest("as_of_timestamp without behaviors", endpoint=endpoint, advice="Leave it out.")
        if include_all_users is not None and filter_by_cohort is None:
            raise InvalidRequest("include_all_users without a cohort", endpoint=endpoint, advice="Leave it out.")
        if (session_id is None) != (page == 0):
            raise InvalidRequest(
                f"session_id {session_id!r} with page {page!r}",
                endpoint=endpoint,
                advice="Page 0 begins a session; any other page needs the session_id that came with page 0.",
            )
        if session_id is not None:
            text(endpoint, session_id=session_id)
            whole(endpoint, page=page)
        seen_at = parameters.aware("as_of_timestamp", as_of_timestamp or self._transport.now(), endpoint)
        ids = None if distinct_ids is None else parameters.texts("distinct_ids", distinct_ids, endpoint)
        names = (
            None if output_properties is None else parameters.texts("output_properties", output_properties, endpoint)
        )
        form = {
            **text(endpoint, distinct_id=distinct_id),
            **whole(endpoint, most=PAGE_SIZE, page_size=page_size),
            **flag(include_all_users=include_all_users),
            **given(
                where=None if where is None else parameters.expression("where", where, endpoint),
                distinct_ids=None if ids is None else as_text(ids),
                output_properties=None
                if names is None
                else as_text(parameters.texts("output_properties", names, endpoint)),
                filter_by_cohort=None if filter_by_cohort is None else as_text({"id": filter_by_cohort}),
                data_group_id=None if data_group_id is None else str(data_group_id),
                behaviors=None if behaviors is None else as_text(list(behaviors)),
                as_of_timestamp=None if behaviors is None else str(int(seen_at.timestamp())),
            ),
        }
        return pages(
            lambda sent: self._get("engage", form=sent),
            form,
            endpoint,
            session_id=session_id,
            number=page,
            arrived=arrived,
        )

    def list_cohorts(self) -> list[replies.Cohort]:
        """The project's saved cohorts."""
        reply = replies.cohort_shape(self._get("list_cohorts", form={}))
        return plain(reply, list[replies.Cohort], endpoint=self._endpoint("list_cohorts"))

    def insights(self, bookmark_id: int) -> replies.Insights:
        """A saved Insights report; its number is in the report's URL (`report-12345`)."""
        endpoint = self._endpoint("insights")
        return typed(
            replies.Insights, self._get("insights", whole(endpoint, bookmark_id=bookmark_id)), endpoint=endpoint
        )

    def stream_query(self, distinct_ids: Sequence[str], from_date: Day, to_date: Day) -> list[replies.StreamEvent]:
        """The events of some users. Mixpanel keeps this endpoint in maintenance mode."""
        endpoint = self._endpoint("stream_query")
        query = {
            "distinct_ids": as_text(parameters.texts("distinct_ids", distinct_ids, endpoint)),
            **parameters.window(from_date, to_date, endpoint),
        }
        reply = replies.stream_shape(self._get("stream_query", query))
        return plain(reply, list[replies.StreamEvent], endpoint=endpoint)

    def jql(self, script: str, params: Mapping[str, Any] | None = None) -> Any:
        """What a script's `main()` returns. Counted in two budgets; 2 minutes and 5 GB (mixpanel-api.md#query-jql).

        Args:
            script: JavaScript with a function `main`.
            params: values that the script finds in its global `params`.
        """
        return self._get("jql", form=self._script(script, params))

    def jql_items(self, script: str, params: Mapping[str, Any] | None = None) -> Iterator[Any]:
        """The items that a script's `main()` returns, one after the other: the reply is never held as a whole.

        Args:
            script: as of `jql`.
            params: as of `jql`.

        Raises:
            IncompleteResponse: the reply ended early, when the items before have been handed out already.
        """
        operation = self._operation("jql")
        with self._transport.stream(
            self._request("jql", query=self._view(), form=self._script(script, params))
        ) as body:
            yield from items(
                body, operation.endpoint, self._transport.scrubber(), self._transport.settings.max_line_bytes
            )

    def _script(self, script: str, params: Mapping[str, Any] | None) -> dict[str, str]:
        return {
            **text(self._endpoint("jql"), script=script),
            **given(params=None if params is None else as_text(dict(params))),
        }
