"""Routes of the Query API. Source: mixpanel-api.md#query. Days are of project time."""

from __future__ import annotations

from typing import NamedTuple

from starlette.routing import Route

from mixpanel_etl.sandbox.apis.api_call import request_route
from mixpanel_etl.sandbox.apis.query import (
    cohorts,
    engage,
    events,
    funnels,
    insights,
    jql,
    retention,
    segmentation,
    stream,
)
from mixpanel_etl.sandbox.apis.query.query_request import Answer, QueryRequest, querying
from mixpanel_etl.sandbox.apis.query.specification_shapes import SHAPES
from mixpanel_etl.sandbox.engine.budgets import Family
from mixpanel_etl.sandbox.engine.responses import query_shape

PREFIXES = ("/api/query", "/api/2.0")


class _Operation(NamedTuple):
    method: str
    path: str
    answer: Answer
    families: tuple[Family, ...] = ()


_OPERATIONS = (
    _Operation("GET", "/segmentation", segmentation.segmentation),
    _Operation("GET", "/segmentation/numeric", segmentation.numeric),
    _Operation("GET", "/segmentation/sum", segmentation.total),
    _Operation("GET", "/segmentation/average", segmentation.average),
    _Operation("GET", "/funnels", funnels.funnels),
    _Operation("GET", "/funnels/list", funnels.funnel_list),
    _Operation("GET", "/retention", retention.retention),
    _Operation("GET", "/retention/addiction", retention.addiction),
    _Operation("GET", "/events", events.event_counts),
    _Operation("GET", "/events/top", events.top_events),
    _Operation("GET", "/events/names", events.event_names),
    _Operation("GET", "/events/properties", events.property_counts),
    _Operation("GET", "/events/properties/top", events.top_properties),
    _Operation("GET", "/events/properties/values", events.property_values),
    _Operation("POST", "/engage", engage.engage),
    _Operation("POST", "/cohorts/list", cohorts.cohort_list),
    _Operation("GET", "/insights", insights.insights),
    _Operation("GET", "/stream/query", stream.stream),
    _Operation("POST", "/jql", jql.jql, ("jql",)),
)


def query_routes() -> list[Route]:
    """Every operation, under both prefixes."""
    return [_route(prefix, operation) for operation in _OPERATIONS for prefix in PREFIXES]


def _shaped(operation: _Operation) -> Answer:
    """The query, answered in the shape that its project is set to."""
    shape = SHAPES.get(operation.path)

    def answer(query: QueryRequest) -> object:
        reply = operation.answer(query)
        return shape(reply) if shape and query.project.query_replies == "specification" else reply

    return answer


def _route(prefix: str, operation: _Operation) -> Route:
    handler = querying(_shaped(operation), *operation.families)
    return request_route(operation.method, operation.path, handler, query_shape, prefix=prefix)
