"""Routes of the Ingestion API."""

from __future__ import annotations

from starlette.routing import Route

from mixpanel_etl.sandbox.apis.api_call import request_route
from mixpanel_etl.sandbox.apis.ingestion.events import import_events, track
from mixpanel_etl.sandbox.apis.ingestion.lookup_tables import lookup_table_routes
from mixpanel_etl.sandbox.apis.ingestion.profiles import engage, groups
from mixpanel_etl.sandbox.engine.responses import app_shape, import_shape


def ingestion_routes() -> list[Route]:
    return [
        request_route("POST", "/import", import_events, import_shape),
        request_route("GET", "/track", track, import_shape),
        request_route("POST", "/track", track, import_shape),
        request_route("POST", "/engage", engage, app_shape),
        request_route("POST", "/groups", groups, app_shape),
        *lookup_table_routes(),
    ]
