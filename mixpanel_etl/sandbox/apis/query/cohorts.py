"""`POST /cohorts/list`, and the members of a cohort. Source: mixpanel-api.md#query-cohorts."""

from __future__ import annotations

from datetime import timedelta

from mixpanel_etl.expressions import parse, predicate
from mixpanel_etl.sandbox.apis.query.models import SavedReports
from mixpanel_etl.sandbox.apis.query.query_request import QueryRequest
from mixpanel_etl.sandbox.engine.event_log import EventLog
from mixpanel_etl.sandbox.engine.saved_reports import Cohort


def cohort_list(query: QueryRequest) -> object:
    """`POST /cohorts/list`."""
    return [_shown(query, cohort) for cohort in query.state.api_state(SavedReports).cohorts(query.project).values()]


def members(query: QueryRequest, cohort: Cohort) -> list[str]:
    """The distinct_ids of a cohort now, with or without profile."""
    conditions = (cohort.distinct_ids, _by_profile(query, cohort), _by_event(query, cohort))
    first, *others = [ids for ids in conditions if ids is not None]
    return [distinct_id for distinct_id in dict.fromkeys(first) if all(distinct_id in ids for ids in others)]


def _by_profile(query: QueryRequest, cohort: Cohort) -> dict[str, None] | None:
    if cohort.where is None:
        return None
    holds = predicate(parse(cohort.where), query.project.zone)
    profiles = query.state.profiles.users(query.project.project_id)
    return {
        distinct_id: None
        for distinct_id, profile in profiles.items()
        if holds({"properties": profile.properties, "user": profile.properties})
    }


def _by_event(query: QueryRequest, cohort: Cohort) -> dict[str, None] | None:
    if cohort.event is None:
        return None
    log = EventLog(query.state, query.project)
    holds = log.filter(parse(cohort.event_where) if cohort.event_where else None)
    start = query.stored_ms(query.now - timedelta(days=cohort.within_days))
    end = query.stored_ms(query.now) + 1
    events = log.events(start, end, [cohort.event], detail=cohort.event_where is not None)
    return {event.user: None for event in events if event.user is not None and holds(event)}


def _shown(query: QueryRequest, cohort: Cohort) -> dict[str, object]:
    created = cohort.created or query.now.astimezone(query.project.zone)
    return {
        "id": cohort.cohort_id,
        "name": cohort.name,
        "description": cohort.description,
        "created": f"{created:%Y-%m-%d %H:%M:%S}",
        "is_visible": int(cohort.is_visible),
        "count": len(members(query, cohort)),
        "project_id": query.project.project_id,
        "data_group_id": None,
    }
