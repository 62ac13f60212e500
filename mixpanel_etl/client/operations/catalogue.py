"""Every operation of every API, as data: the client, its reference page and its tests read the same table.

A name is the client's attribute and method. A source is an anchor of docs/mixpanel-api.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mixpanel_etl.client.http.credentials import Credential, OAuthToken, ProjectSecret, ProjectToken, ServiceAccount
from mixpanel_etl.client.http.regions import Family
from mixpanel_etl.client.operations.operation import Method, Operation, Place

Kinds = tuple[type[Credential], ...]

READERS: Final = (ServiceAccount, ProjectSecret)
WRITERS: Final = (ServiceAccount, ProjectSecret, ProjectToken, OAuthToken)

FORM, JSON, NDJSON, CSV, BASE64 = "form", "JSON", "JSON or NDJSON, gzip", "CSV, gzip", "form, base64"

EVENT_LIMITS = (
    "1 MB and 254 properties an event, 254 elements a list, 254 keys an object, 3 levels, 8 KB a list or object",
    "reserved ids (null, anonymous, 0 ...)",
)
PROFILE_LIMITS = ("2,000 updates of 1 MB each", "2,000 properties an update, 255 characters a name")


@dataclass(frozen=True)
class _Api:
    """What the operations of a group have in common. Calling it makes one of them."""

    group: str
    family: Family
    accepts: Kinds = (ServiceAccount,)
    budgets: tuple[str, ...] = ()
    prefix: str = ""
    credentials_in: Place = "header"

    def __call__(
        self,
        method: Method,
        path: str,
        name: str,
        source: str,
        sends: str = "",
        *limits: str,
        accepts: Kinds | None = None,
        budgets: tuple[str, ...] | None = None,
        idempotent: bool | None = None,
        open_keys: bool = False,
    ) -> Operation:
        return Operation(
            method,
            self.family,
            self.prefix + path,
            accepts=self.accepts if accepts is None else accepts,
            budgets=self.budgets if budgets is None else budgets,
            idempotent=method != "POST" if idempotent is None else idempotent,
            name=f"{self.group}.{name}" if self.group else name,
            source=source,
            sends=sends,
            limits=limits,
            credentials_in=self.credentials_in,
            open_keys=open_keys,
        )


_export = _Api("", "export", READERS, ("export",))
_app = _Api("", "app")
_query = _Api("query", "query", READERS, ("query",))
_import = _Api("ingestion", "ingestion", WRITERS, ("ingestion",))
_send = _Api("ingestion", "ingestion", (ProjectToken,), ("ingestion",), credentials_in="body")
_lookup = _Api("ingestion", "ingestion", READERS)
_identity = _Api("identity", "ingestion", (ProjectToken,), ("ingestion",), credentials_in="body")
_merge = _Api("identity", "ingestion", (ServiceAccount, ProjectSecret, OAuthToken), ("ingestion",))
_lexicon = _Api("lexicon", "app", budgets=("lexicon",), prefix="/projects/{project_id}/schemas")
_gdpr = _Api("gdpr", "app", (OAuthToken,), ("gdpr",))
_notes = _Api("annotations", "app", prefix="/projects/{project_id}/annotations")
_evaluate = _Api("feature_flags", "flags", READERS)
_flags = _Api("feature_flags", "app", prefix="/projects/{project_id}/workspaces/{workspace_id}/feature-flags")
_experiments = _Api("experiments", "app", prefix="/workspaces/{workspace_id}/experiments")
_accounts = _Api("service_accounts", "app", prefix="/organizations/{organization_id}/service-accounts")
_members = _Api("service_accounts", "app", prefix="/projects/{project_id}/service-accounts")
_pipelines = _Api("pipelines", "pipelines", READERS, prefix="/nessie/pipeline")
_imports = _Api("warehouse", "app", prefix="/projects/{project_id}/warehouse-sources/imports")

OPERATIONS: Final[tuple[Operation, ...]] = (
    _export("GET", "/export", "export", "export", "", "100 days", "limit of 100,000 events", "to_date today"),
    _app("GET", "/me", "me", "me"),
    # Query
    _query("GET", "/segmentation", "segmentation", "query-segmentation", "", "limit of 10,000 values, only with `on`"),
    _query("GET", "/segmentation/numeric", "segmentation_numeric", "query-segmentation"),
    _query("GET", "/segmentation/sum", "segmentation_sum", "query-segmentation"),
    _query("GET", "/segmentation/average", "segmentation_average", "query-segmentation"),
    _query("GET", "/funnels", "funnels", "query-funnels", "", "length of 90 days", "limit of 10,000 values"),
    _query("GET", "/funnels/list", "list_funnels", "query-funnels"),
    _query("GET", "/retention", "retention", "query-retention", "", "interval of 90 days"),
    _query("GET", "/retention/addiction", "retention_addiction", "query-retention"),
    _query("GET", "/events", "events", "query-events", "", "no unique users by hour or minute"),
    _query("GET", "/events/top", "top_events", "query-events"),
    _query("GET", "/events/names", "event_names", "query-events", "", "limit of 5,000 names"),
    _query("GET", "/events/properties", "event_properties", "query-events", "", "no unique users by hour or minute"),
    _query("GET", "/events/properties/top", "top_properties", "query-events", open_keys=True),
    _query("GET", "/events/properties/values", "property_values", "query-events"),
    _query("POST", "/engage", "engage", "query-profiles", FORM, "1,000 profiles a page", idempotent=True),
    _query("POST", "/cohorts/list", "list_cohorts", "query-cohorts", idempotent=True),
    _query("GET", "/insights", "insights", "query-insights"),
    _query("GET", "/stream/query", "stream_query", "query-stream"),
    _query("POST", "/jql", "jql", "query-jql", FORM, idempotent=True, budgets=("jql", "query"), open_keys=True),
    # Ingestion
    _send("POST", "/track", "track", "track", JSON, "2,000 events", "5 days of age", *EVENT_LIMITS),
    _import("POST", "/import", "import_", "import", NDJSON, "2,000 events, 10 MB", *EVENT_LIMITS, idempotent=True),
    _send("POST", "/engage", "engage", "profile-updates", JSON, *PROFILE_LIMITS),
    _send("POST", "/groups", "groups", "profile-updates", JSON, *PROFILE_LIMITS, "no $add, no $append"),
    _lookup("GET", "/lookup-tables", "list_lookup_tables", "lookup-tables", accepts=(ServiceAccount,)),
    _lookup(
        "PUT",
        "/lookup-tables/{id}",
        "replace_lookup_table",
        "lookup-tables",
        CSV,
        "100 MB",
        "keys that are empty or not unique",
        budgets=("lookup_tables",),
    ),
    # Identity
    _identity("POST", "/track", "create_identity", "identity-merge", BASE64, "$anon_id is a UUIDv4", idempotent=True),
    _identity("POST", "/track", "create_alias", "identity-merge", BASE64, idempotent=True),
    _merge("POST", "/import", "merge", "identity-merge", JSON, "exactly two ids", idempotent=True),
    # Lexicon
    _lexicon("GET", "", "list_schemas", "lexicon"),
    _lexicon("POST", "", "create_schemas", "lexicon", JSON, "4,000 events and properties", idempotent=True),
    _lexicon("DELETE", "", "delete_schemas", "lexicon", "", "3,000 deletions, counted by Mixpanel"),
    _lexicon("GET", "/{entity_type}", "list_schemas_of_type", "lexicon"),
    _lexicon("DELETE", "/{entity_type}", "delete_schemas_of_type", "lexicon"),
    _lexicon("GET", "/{entity_type}/{name}", "get_schema", "lexicon"),
    _lexicon("POST", "/{entity_type}/{name}", "create_schema", "lexicon", JSON, "4,000 properties", idempotent=True),
    _lexicon("DELETE", "/{entity_type}/{name}", "delete_schema", "lexicon"),
    # GDPR
    _gdpr("POST", "/data-retrievals/v3.0", "create_retrieval", "gdpr-jobs", JSON, "2,000 ids"),
    _gdpr("GET", "/data-retrievals/v3.0/{tracking_id}", "get_retrieval", "gdpr-jobs"),
    _gdpr("POST", "/data-deletions/v3.0", "create_deletion", "gdpr-jobs", JSON, "1,999 ids"),
    _gdpr("GET", "/data-deletions/v3.0/{tracking_id}", "get_deletion", "gdpr-jobs"),
    _gdpr("DELETE", "/data-deletions/v3.0/{tracking_id}", "cancel_deletion", "gdpr-jobs"),
    # Annotations
    _notes("GET", "", "list_annotations", "annotations"),
    _notes("POST", "", "create_annotation", "annotations", JSON),
    _notes("GET", "/{annotation_id}", "get_annotation", "annotations"),
    _notes("PATCH", "/{annotation_id}", "update_annotation", "annotations", JSON),
    _notes("DELETE", "/{annotation_id}", "delete_annotation", "annotations"),
    _notes("GET", "/tags", "list_tags", "annotations"),
    _notes("POST", "/tags", "create_tag", "annotations", JSON),
    # Feature flags
    _evaluate("GET", "/flags", "evaluate", "flag-evaluation"),
    _evaluate("GET", "/flags/definitions", "definitions", "flag-evaluation"),
    _flags("GET", "", "list_flags", "flag-management"),
    _flags("POST", "", "create_flag", "flag-management", JSON, "10 variants and a control, 32 KB a value"),
    _flags("GET", "/{flag_id}", "get_flag", "flag-management"),
    _flags("PUT", "/{flag_id}", "replace_flag", "flag-management", JSON, "10 variants and a control, 32 KB a value"),
    _flags("DELETE", "/{flag_id}", "delete_flag", "flag-management"),
    # Experiments
    _experiments("GET", "", "list_experiments", "experiments"),
    _experiments("POST", "", "create_experiment", "experiments", JSON, "255 characters a name, 400 a description"),
    _experiments("GET", "/{experiment_id}", "get_experiment", "experiments"),
    _experiments(
        "PATCH",
        "/{experiment_id}",
        "update_experiment",
        "experiments",
        JSON,
        "255 characters a name, 400 a description",
    ),
    _experiments("DELETE", "/{experiment_id}", "delete_experiment", "experiments"),
    _experiments("POST", "/{experiment_id}/archive", "archive_experiment", "experiments", JSON, idempotent=True),
    _experiments("DELETE", "/{experiment_id}/archive", "unarchive_experiment", "experiments"),
    _experiments("PATCH", "/{experiment_id}/decide", "decide_experiment", "experiments", JSON),
    _experiments("PUT", "/{experiment_id}/force_conclude", "force_conclude_experiment", "experiments", JSON),
    _experiments("PUT", "/{experiment_id}/launch", "launch_experiment", "experiments", JSON),
    # Service accounts
    _accounts("GET", "", "list_service_accounts", "service-accounts"),
    _accounts("POST", "", "create_service_account", "service-accounts", JSON),
    _accounts("GET", "/{service_account_id}", "get_service_account", "service-accounts"),
    _accounts("DELETE", "/{service_account_id}", "delete_service_account", "service-accounts"),
    _members("GET", "", "list_project_service_accounts", "service-accounts"),
    _accounts("POST", "/add-to-project", "add_to_projects", "service-accounts", JSON, idempotent=True),
    _accounts("POST", "/remove-from-project", "remove_from_projects", "service-accounts", JSON, idempotent=True),
    # Data pipelines
    _pipelines("GET", "/jobs", "jobs", "pipelines"),
    _pipelines("POST", "/create", "create", "pipelines", FORM, "from_date six months ago", "regions of the vendors"),
    _pipelines("POST", "/edit", "edit", "pipelines", FORM, idempotent=True),
    _pipelines("POST", "/pause", "pause", "pipelines", FORM, idempotent=True),
    _pipelines("POST", "/resume", "resume", "pipelines", FORM, idempotent=True),
    _pipelines("POST", "/cancel", "cancel", "pipelines", FORM, idempotent=True),
    _pipelines("GET", "/status", "status", "pipelines"),
    _pipelines("GET", "/timeline", "timeline", "pipelines"),
    # Warehouse connectors
    _imports("GET", "", "list_imports", "connectors"),
    _imports("GET", "/{import_id}", "get_import", "connectors"),
    _imports("PATCH", "/{import_id}", "update_import", "connectors", JSON),
    _imports("DELETE", "/{import_id}", "delete_import", "connectors", JSON),
    _imports("POST", "/event-stream", "create_event_stream", "connectors", JSON, "no full_sync"),
    _imports("POST", "/people", "create_people", "connectors", JSON),
    _imports("POST", "/groups", "create_groups", "connectors", JSON),
    _imports("POST", "/lookup-table", "create_lookup_table", "connectors", JSON, "full_sync or one_time"),
    _imports(
        "PUT",
        "/{import_id}/manual-sync",
        "manual_sync",
        "connectors",
        JSON,
        # Nothing says what a second one does while the first runs.
        idempotent=False,
        budgets=("warehouse_sync",),
    ),
    _imports("GET", "/{import_id}/history", "history", "connectors", "", "the 30 most recent runs"),
)

CATALOGUE: Final[dict[str, Operation]] = {operation.name: operation for operation in OPERATIONS}

# What the sandbox does not answer yet. A test compares the list with the sandbox's routes.
NOT_IN_SANDBOX: Final[frozenset[str]] = frozenset()
