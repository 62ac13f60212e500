"""`POST /cohorts/list`, and who is in a cohort. Source: mixpanel-api.md#query-cohorts."""

from __future__ import annotations

from datetime import timedelta

from mixpanel_etl.expressions import parse, predicate
from mixpanel_etl.sandbox.apis.query.log import Log
from mixpanel_etl.sandbox.apis.query.question import Question
from mixpanel_etl.sandbox.engine.saved import Cohort, SavedReports


def cohort_list(question: Question) -> object:
    """`POST /cohorts/list`."""
    return [_shown(question, cohort) for cohort in question.state.part(SavedReports).cohorts(question.project).values()]


def members(question: Question, cohort: Cohort) -> list[str]:
    """The distinct_ids of a cohort, as of now, with or without profile."""
    conditions = (cohort.distinct_ids, _by_profile(question, cohort), _by_event(question, cohort))
    first, *others = [ids for ids in conditions if ids is not None]
    return [distinct_id for distinct_id in dict.fromkeys(first) if all(distinct_id in ids for ids in others)]


def _by_profile(question: Question, cohort: Cohort) -> dict[str, None] | None:
    if cohort.where is None:
        return None
    holds = predicate(parse(cohort.where), question.project.zone)
    profiles = question.state.profiles.users(question.project.project_id)
    return {
        distinct_id: None
        for distinct_id, profile in profiles.items()
        if holds({"properties": profile.properties, "user": profile.properties})
    }


def _by_event(question: Question, cohort: Cohort) -> dict[str, None] | None:
    if cohort.event is None:
        return None
    log = Log(question.state, question.project)
    holds = log.filter(parse(cohort.event_where) if cohort.event_where else None)
    start = question.stored_ms(question.now - timedelta(days=cohort.within_days))
    end = question.stored_ms(question.now) + 1
    events = log.events(start, end, [cohort.event], detail=cohort.event_where is not None)
    return {event.user: None for event in events if event.user is not None and holds(event)}


def _shown(question: Question, cohort: Cohort) -> dict[str, object]:
    created = cohort.created or question.now.astimezone(question.project.zone)
    return {
        "id": cohort.cohort_id,
        "name": cohort.name,
        "description": cohort.description,
        "created": f"{created:%Y-%m-%d %H:%M:%S}",
        "is_visible": int(cohort.is_visible),
        "count": len(members(question, cohort)),
        "project_id": question.project.project_id,
        "data_group_id": None,
    }
