"""The routes of all APIs."""

from __future__ import annotations

from starlette.routing import Route

from mixpanel_etl.sandbox.apis.annotations import annotation_routes
from mixpanel_etl.sandbox.apis.app import app_routes
from mixpanel_etl.sandbox.apis.experiments import experiment_routes
from mixpanel_etl.sandbox.apis.export import export_routes
from mixpanel_etl.sandbox.apis.feature_flags.evaluation import evaluation_routes
from mixpanel_etl.sandbox.apis.feature_flags.management import management_routes
from mixpanel_etl.sandbox.apis.gdpr.routes import gdpr_routes
from mixpanel_etl.sandbox.apis.ingestion.routes import ingestion_routes
from mixpanel_etl.sandbox.apis.lexicon import lexicon_routes
from mixpanel_etl.sandbox.apis.pipelines.routes import pipeline_routes
from mixpanel_etl.sandbox.apis.query.routes import query_routes
from mixpanel_etl.sandbox.apis.service_accounts import service_account_routes
from mixpanel_etl.sandbox.apis.warehouse_connectors.routes import warehouse_connector_routes


def api_routes() -> list[Route]:
    """Every route of every API."""
    return [
        *export_routes(),
        *query_routes(),
        *ingestion_routes(),
        *app_routes(),
        *annotation_routes(),
        *experiment_routes(),
        *evaluation_routes(),
        *management_routes(),
        *gdpr_routes(),
        *lexicon_routes(),
        *pipeline_routes(),
        *service_account_routes(),
        *warehouse_connector_routes(),
    ]
