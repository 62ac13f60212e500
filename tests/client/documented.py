"""Method, path and credentials of every operation, written from Mixpanel's documents and not from the client.

`test_operations` compares the requests of the client with this table, and the table with Mixpanel's OpenAPI files.
"""

from __future__ import annotations

from typing import Literal, NamedTuple


class Documented(NamedTuple):
    """Where an operation is.

    Attributes:
        method: the HTTP method.
        path: the whole path, with `{names}` for the parts that vary.
        credentials: what the client sends if it has everything: a service account or an OAuth token in the header, or
            the project token in the body.
    """

    method: str
    path: str
    credentials: Literal["account", "oauth", "body"] = "account"


#: Operations that no OpenAPI file has, with where they are documented.
NOT_IN_OPENAPI = {"me": "Mixpanel's page on service accounts shows it as the example of a call"}

DOCUMENTED = {
    "export": Documented("GET", "/api/2.0/export"),
    "me": Documented("GET", "/api/app/me"),
    "query.segmentation": Documented("GET", "/api/query/segmentation"),
    "query.segmentation_numeric": Documented("GET", "/api/query/segmentation/numeric"),
    "query.segmentation_sum": Documented("GET", "/api/query/segmentation/sum"),
    "query.segmentation_average": Documented("GET", "/api/query/segmentation/average"),
    "query.funnels": Documented("GET", "/api/query/funnels"),
    "query.list_funnels": Documented("GET", "/api/query/funnels/list"),
    "query.retention": Documented("GET", "/api/query/retention"),
    "query.retention_addiction": Documented("GET", "/api/query/retention/addiction"),
    "query.events": Documented("GET", "/api/query/events"),
    "query.top_events": Documented("GET", "/api/query/events/top"),
    "query.event_names": Documented("GET", "/api/query/events/names"),
    "query.event_properties": Documented("GET", "/api/query/events/properties"),
    "query.top_properties": Documented("GET", "/api/query/events/properties/top"),
    "query.property_values": Documented("GET", "/api/query/events/properties/values"),
    "query.engage": Documented("POST", "/api/query/engage"),
    "query.list_cohorts": Documented("POST", "/api/query/cohorts/list"),
    "query.insights": Documented("GET", "/api/query/insights"),
    "query.stream_query": Documented("GET", "/api/query/stream/query"),
    "query.jql": Documented("POST", "/api/query/jql"),
    "ingestion.track": Documented("POST", "/track", "body"),
    "ingestion.import_": Documented("POST", "/import"),
    "ingestion.engage": Documented("POST", "/engage", "body"),
    "ingestion.groups": Documented("POST", "/groups", "body"),
    "ingestion.list_lookup_tables": Documented("GET", "/lookup-tables"),
    "ingestion.replace_lookup_table": Documented("PUT", "/lookup-tables/{id}"),
    "identity.create_identity": Documented("POST", "/track", "body"),
    "identity.create_alias": Documented("POST", "/track", "body"),
    "identity.merge": Documented("POST", "/import"),
    "lexicon.list_schemas": Documented("GET", "/api/app/projects/{project_id}/schemas"),
    "lexicon.create_schemas": Documented("POST", "/api/app/projects/{project_id}/schemas"),
    "lexicon.delete_schemas": Documented("DELETE", "/api/app/projects/{project_id}/schemas"),
    "lexicon.list_schemas_of_type": Documented("GET", "/api/app/projects/{project_id}/schemas/{entity_type}"),
    "lexicon.delete_schemas_of_type": Documented("DELETE", "/api/app/projects/{project_id}/schemas/{entity_type}"),
    "lexicon.get_schema": Documented("GET", "/api/app/projects/{project_id}/schemas/{entity_type}/{name}"),
    "lexicon.create_schema": Documented("POST", "/api/app/projects/{project_id}/schemas/{entity_type}/{name}"),
    "lexicon.delete_schema": Documented("DELETE", "/api/app/projects/{project_id}/schemas/{entity_type}/{name}"),
    "gdpr.create_retrieval": Documented("POST", "/api/app/data-retrievals/v3.0", "oauth"),
    "gdpr.get_retrieval": Documented("GET", "/api/app/data-retrievals/v3.0/{tracking_id}", "oauth"),
    "gdpr.create_deletion": Documented("POST", "/api/app/data-deletions/v3.0", "oauth"),
    "gdpr.get_deletion": Documented("GET", "/api/app/data-deletions/v3.0/{tracking_id}", "oauth"),
    "gdpr.cancel_deletion": Documented("DELETE", "/api/app/data-deletions/v3.0/{tracking_id}", "oauth"),
    "annotations.list_annotations": Documented("GET", "/api/app/projects/{project_id}/annotations"),
    "annotations.create_annotation": Documented("POST", "/api/app/projects/{project_id}/annotations"),
    "annotations.get_annotation": Documented("GET", "/api/app/projects/{project_id}/annotations/{annotation_id}"),
    "annotations.update_annotation": Documented("PATCH", "/api/app/projects/{project_id}/annotations/{annotation_id}"),
    "annotations.delete_annotation": Documented("DELETE", "/api/app/projects/{project_id}/annotations/{annotation_id}"),
    "annotations.list_tags": Documented("GET", "/api/app/projects/{project_id}/annotations/tags"),
    "annotations.create_tag": Documented("POST", "/api/app/projects/{project_id}/annotations/tags"),
    "feature_flags.evaluate": Documented("GET", "/flags"),
    "feature_flags.definitions": Documented("GET", "/flags/definitions"),
    "feature_flags.list_flags": Documented(
        "GET", "/api/app/projects/{project_id}/workspaces/{workspace_id}/feature-flags"
    ),
    "feature_flags.create_flag": Documented(
        "POST", "/api/app/projects/{project_id}/workspaces/{workspace_id}/feature-flags"
    ),
    "feature_flags.get_flag": Documented(
        "GET", "/api/app/projects/{project_id}/workspaces/{workspace_id}/feature-flags/{flag_id}"
    ),
    "feature_flags.replace_flag": Documented(
        "PUT", "/api/app/projects/{project_id}/workspaces/{workspace_id}/feature-flags/{flag_id}"
    ),
    "feature_flags.delete_flag": Documented(
        "DELETE", "/api/app/projects/{project_id}/workspaces/{workspace_id}/feature-flags/{flag_id}"
    ),
    "experiments.list_experiments": Documented("GET", "/api/app/workspaces/{workspace_id}/experiments"),
    "experiments.create_experiment": Documented("POST", "/api/app/workspaces/{workspace_id}/experiments"),
    "experiments.get_experiment": Documented("GET", "/api/app/workspaces/{workspace_id}/experiments/{experiment_id}"),
    "experiments.update_experiment": Documented(
        "PATCH", "/api/app/workspaces/{workspace_id}/experiments/{experiment_id}"
    ),
    "experiments.delete_experiment": Documented(
        "DELETE", "/api/app/workspaces/{workspace_id}/experiments/{experiment_id}"
    ),
    "experiments.archive_experiment": Documented(
        "POST", "/api/app/workspaces/{workspace_id}/experiments/{experiment_id}/archive"
    ),
    "experiments.unarchive_experiment": Documented(
        "DELETE", "/api/app/workspaces/{workspace_id}/experiments/{experiment_id}/archive"
    ),
    "experiments.decide_experiment": Documented(
        "PATCH", "/api/app/workspaces/{workspace_id}/experiments/{experiment_id}/decide"
    ),
    "experiments.force_conclude_experiment": Documented(
        "PUT", "/api/app/workspaces/{workspace_id}/experiments/{experiment_id}/force_conclude"
    ),
    "experiments.launch_experiment": Documented(
        "PUT", "/api/app/workspaces/{workspace_id}/experiments/{experiment_id}/launch"
    ),
    "service_accounts.list_service_accounts": Documented(
        "GET", "/api/app/organizations/{organization_id}/service-accounts"
    ),
    "service_accounts.create_service_account": Documented(
        "POST", "/api/app/organizations/{organization_id}/service-accounts"
    ),
    "service_accounts.get_service_account": Documented(
        "GET", "/api/app/organizations/{organization_id}/service-accounts/{service_account_id}"
    ),
    "service_accounts.delete_service_account": Documented(
        "DELETE", "/api/app/organizations/{organization_id}/service-accounts/{service_account_id}"
    ),
    "service_accounts.list_project_service_accounts": Documented(
        "GET", "/api/app/projects/{project_id}/service-accounts"
    ),
    "service_accounts.add_to_projects": Documented(
        "POST", "/api/app/organizations/{organization_id}/service-accounts/add-to-project"
    ),
    "service_accounts.remove_from_projects": Documented(
        "POST", "/api/app/organizations/{organization_id}/service-accounts/remove-from-project"
    ),
    "pipelines.jobs": Documented("GET", "/api/2.0/nessie/pipeline/jobs"),
    "pipelines.create": Documented("POST", "/api/2.0/nessie/pipeline/create"),
    "pipelines.edit": Documented("POST", "/api/2.0/nessie/pipeline/edit"),
    "pipelines.pause": Documented("POST", "/api/2.0/nessie/pipeline/pause"),
    "pipelines.resume": Documented("POST", "/api/2.0/nessie/pipeline/resume"),
    "pipelines.cancel": Documented("POST", "/api/2.0/nessie/pipeline/cancel"),
    "pipelines.status": Documented("GET", "/api/2.0/nessie/pipeline/status"),
    "pipelines.timeline": Documented("GET", "/api/2.0/nessie/pipeline/timeline"),
    "warehouse_connectors.list_imports": Documented("GET", "/api/app/projects/{project_id}/warehouse-sources/imports"),
    "warehouse_connectors.get_import": Documented(
        "GET", "/api/app/projects/{project_id}/warehouse-sources/imports/{import_id}"
    ),
    "warehouse_connectors.update_import": Documented(
        "PATCH", "/api/app/projects/{project_id}/warehouse-sources/imports/{import_id}"
    ),
    "warehouse_connectors.delete_import": Documented(
        "DELETE", "/api/app/projects/{project_id}/warehouse-sources/imports/{import_id}"
    ),
    "warehouse_connectors.create_event_stream": Documented(
        "POST", "/api/app/projects/{project_id}/warehouse-sources/imports/event-stream"
    ),
    "warehouse_connectors.create_people": Documented(
        "POST", "/api/app/projects/{project_id}/warehouse-sources/imports/people"
    ),
    "warehouse_connectors.create_groups": Documented(
        "POST", "/api/app/projects/{project_id}/warehouse-sources/imports/groups"
    ),
    "warehouse_connectors.create_lookup_table": Documented(
        "POST", "/api/app/projects/{project_id}/warehouse-sources/imports/lookup-table"
    ),
    "warehouse_connectors.manual_sync": Documented(
        "PUT", "/api/app/projects/{project_id}/warehouse-sources/imports/{import_id}/manual-sync"
    ),
    "warehouse_connectors.history": Documented(
        "GET", "/api/app/projects/{project_id}/warehouse-sources/imports/{import_id}/history"
    ),
}
