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
from mixpanel_etl.sandbox.apis.query.query_request import Operation, QueryRequest, querying
from mixpanel_etl.sandbox.apis.query.specification_shapes import SHAPES
from mixpanel_etl.sandbox.engine.budgets import Family
from mixpanel_etl.sandbox.engine.responses import query_shape

PREFIXES = ("/api/query", "/api/2.0")


class _Endpoint(NamedTuple):
    method: str
    path: str
    operation: Operation
    families: tuple[Family, ...] = ()


_ENDPOINTS = (
    _Endpoint("GET", "/segmentation", segmentation.segmentation),
    _Endpoint("GET", "/segmentation/numeric", segmentation.numeric),
    _Endpoint("GET", "/segmentation/sum", segmentation.total),
    _Endpoint("GET", "/segmentation/average", segmentation.average),
    _Endpoint("GET", "/funnels", funnels.funnels),
    _Endpoint("GET", "/funnels/list", funnels.funnel_list),
    _Endpoint("GET", "/retention", retention.retention),
    _Endpoint("GET", "/retention/addiction", retention.addiction),
    _Endpoint("GET", "/events", events.event_counts),
    _Endpoint("GET", "/events/top", events.top_events),
    _Endpoint("GET", "/events/names", events.event_names),
    _Endpoint("GET", "/events/properties", events.property_counts),
    _Endpoint("GET", "/events/properties/top", events.top_properties),
    _Endpoint("GET", "/events/properties/values", events.property_values),
    _Endpoint("POST", "/engage", engage.engage),
    _Endpoint("POST", "/cohorts/list", cohorts.cohort_list),
    _Endpoint("GET", "/insights", insights.insights),
    _Endpoint("GET", "/stream/query", stream.stream),
    _Endpoint("POST", "/jql", jql.jql, ("jql",)),
)


def query_routes() -> list[Route]:
    """All operations, under both prefixes."""
    return [_route(prefix, endpoint) for endpoint in _ENDPOINTS for prefix in PREFIXES]


def _shaped(endpoint: _Endpoint) -> Operation:
    """The operation, in the shape of replies that the project is set to."""
    shape = SHAPES.get(endpoint.path)

    def answer(query: QueryRequest) -> object:
        reply = endpoint.operation(query)
        return shape(reply) if shape and query.project.query_replies == "specification" else reply

    return answer


def _route(prefix: str, endpoint: _Endpoint) -> Route:
    handler = querying(_shaped(endpoint), *endpoint.families)
    return request_route(endpoint.method, endpoint.path, handler, query_shape, prefix=prefix)
