"""Every operation of every API, as data: the client, its reference page and its tests read the same table.

A name is the client's attribute and method. A source is a section of the specification and one of api-facts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mixpanel_etl.client.http.credentials import Credential, OAuthToken, ProjectSecret, ProjectToken, ServiceAccount
from mixpanel_etl.client.http.regions import Family
from mixpanel_etl.client.operations import Method, Operation, Place

Kinds = tuple[type[Credential], ...]

READERS: Final = (ServiceAccount, ProjectSecret)
WRITERS: Final = (ServiceAccount, ProjectSecret, ProjectToken, OAuthToken)

FORM, JSON, NDJSON, CSV, BASE64 = "form", "JSON", "JSON or NDJSON, gzip", "CSV, gzip", "form, base64"

EVENT_LIMITS = (
    "1 MB and 254 properties an event, 254 elements a list, 254 keys an object, 3 levels, 8 KB a list or object",
    "ids that mean nobody (null, anonymous, 0 ...)",
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
        source: tuple[str, str],
        sends: str = "",
        *limits: str,
        accepts: Kinds | None = None,
        budgets: tuple[str, ...] | None = None,
        idempotent: bool | None = None,
        open_keys: bool = False,
    ) -> Operation:
        specification, facts = source
        return Operation(
            method,
            self.family,
            self.prefix + path,
            accepts=self.accepts if accepts is None else accepts,
            budgets=self.budgets if budgets is None else budgets,
            idempotent=method != "POST" if idempotent is None else idempotent,
            name=f"{self.group}.{name}" if self.group else name,
            source=f"Specification {specification}; api-facts {facts}" if specification else f"api-facts {facts}",
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
    _export("GET", "/export", "export", ("4", "2"), "", "100 days", "limit of 100,000 events", "to_date today"),
    _app("GET", "/me", "me", ("", "1.1")),
    # Query
    _query("GET", "/segmentation", "segmentation", ("5.1", "3.1"), "", "limit of 10,000 values, only with `on`"),
    _query("GET", "/segmentation/numeric", "segmentation_numeric", ("5.1", "3.1")),
    _query("GET", "/segmentation/sum", "segmentation_sum", ("5.1", "3.1")),
    _query("GET", "/segmentation/average", "segmentation_average", ("5.1", "3.1")),
    _query("GET", "/funnels", "funnels", ("5.2", "3.2"), "", "length of 90 days", "limit of 10,000 values"),
    _query("GET", "/funnels/list", "list_funnels", ("5.2", "3.2")),
    _query("GET", "/retention", "retention", ("5.3", "3.3"), "", "interval of 90 days"),
    _query("GET", "/retention/addiction", "retention_addiction", ("5.3", "3.3")),
    _query("GET", "/events", "events", ("5.4", "3.4"), "", "no unique users by hour or minute"),
    _query("GET", "/events/top", "top_events", ("5.4", "3.4")),
    _query("GET", "/events/names", "event_names", ("5.4", "3.4"), "", "limit of 5,000 names"),
    _query("GET", "/events/properties", "event_properties", ("5.4", "3.4"), "", "no unique users by hour or minute"),
    _query("GET", "/events/properties/top", "top_properties", ("5.4", "3.4"), open_keys=True),
    _query("GET", "/events/properties/values", "property_values", ("5.4", "3.4")),
    _query("POST", "/engage", "engage", ("5.5", "3.5"), FORM, "1,000 profiles a page", idempotent=True),
    _query("POST", "/cohorts/list", "list_cohorts", ("5.6", "3.6"), idempotent=True),
    _query("GET", "/insights", "insights", ("5.7", "3.7")),
    _query("GET", "/stream/query", "stream_query", ("5.8", "3.8")),
    _query("POST", "/jql", "jql", ("5.9", "3.9"), FORM, idempotent=True, budgets=("jql", "query"), open_keys=True),
    # Ingestion
    _send("POST", "/track", "track", ("6.1", "4.2"), JSON, "2,000 events", "5 days of age", *EVENT_LIMITS),
    _import(
        "POST", "/import", "import_", ("6.1", "4.1"), NDJSON, "2,000 events, 10 MB", *EVENT_LIMITS, idempotent=True
    ),
    _send("POST", "/engage", "engage", ("6.2", "4.4"), JSON, *PROFILE_LIMITS),
    _send("POST", "/groups", "groups", ("6.3", "4.4"), JSON, *PROFILE_LIMITS, "no $add, no $append"),
    _lookup("GET", "/lookup-tables", "list_lookup_tables", ("6.4", "4.5"), accepts=(ServiceAccount,)),
    _lookup(
        "PUT",
        "/lookup-tables/{id}",
        "replace_lookup_table",
        ("6.4", "4.5"),
        CSV,
        "100 MB",
        "keys that are empty or not unique",
        budgets=("lookup_tables",),
    ),
    # Identity
    _identity("POST", "/track", "create_identity", ("7.1", "5"), BASE64, "$anon_id is a UUIDv4", idempotent=True),
    _identity("POST", "/track", "create_alias", ("7.2", "5"), BASE64, idempotent=True),
    _merge("POST", "/import", "merge", ("7.3", "5"), JSON, "exactly two ids", idempotent=True),
    # Lexicon
    _lexicon("GET", "", "list_schemas", ("8", "6")),
    _lexicon("POST", "", "create_schemas", ("8", "6"), JSON, "4,000 events and properties", idempotent=True),
    _lexicon("DELETE", "", "delete_schemas", ("8", "6"), "", "3,000 deletions, counted by Mixpanel"),
    _lexicon("GET", "/{entity_type}", "list_schemas_of_type", ("8", "6")),
    _lexicon("DELETE", "/{entity_type}", "delete_schemas_of_type", ("8", "6")),
    _lexicon("GET", "/{entity_type}/{name}", "get_schema", ("8", "6")),
    _lexicon("POST", "/{entity_type}/{name}", "create_schema", ("8", "6"), JSON, "4,000 properties", idempotent=True),
    _lexicon("DELETE", "/{entity_type}/{name}", "delete_schema", ("8", "6")),
    # GDPR
    _gdpr("POST", "/data-retrievals/v3.0", "create_retrieval", ("9.1", "7"), JSON, "2,000 ids"),
    _gdpr("GET", "/data-retrievals/v3.0/{tracking_id}", "get_retrieval", ("9.1", "7")),
    _gdpr("POST", "/data-deletions/v3.0", "create_deletion", ("9.2", "7"), JSON, "1,999 ids"),
    _gdpr("GET", "/data-deletions/v3.0/{tracking_id}", "get_deletion", ("9.2", "7")),
    _gdpr("DELETE", "/data-deletions/v3.0/{tracking_id}", "cancel_deletion", ("9.2", "7")),
    # Annotations
    _notes("GET", "", "list_annotations", ("10", "8")),
    _notes("POST", "", "create_annotation", ("10", "8"), JSON),
    _notes("GET", "/{annotation_id}", "get_annotation", ("10", "8")),
    _notes("PATCH", "/{annotation_id}", "update_annotation", ("10", "8"), JSON),
    _notes("DELETE", "/{annotation_id}", "delete_annotation", ("10", "8")),
    _notes("GET", "/tags", "list_tags", ("10", "8")),
    _notes("POST", "/tags", "create_tag", ("10", "8"), JSON),
    # Feature flags
    _evaluate("GET", "/flags", "evaluate", ("11", "9.1")),
    _evaluate("GET", "/flags/definitions", "definitions", ("11", "9.1")),
    _flags("GET", "", "list_flags", ("", "9.2")),
    _flags("POST", "", "create_flag", ("", "9.2"), JSON, "10 variants and a control, 32 KB a value"),
    _flags("GET", "/{flag_id}", "get_flag", ("", "9.2")),
    _flags("PUT", "/{flag_id}", "replace_flag", ("", "9.2"), JSON, "10 variants and a control, 32 KB a value"),
    _flags("DELETE", "/{flag_id}", "delete_flag", ("", "9.2")),
    # Experiments
    _experiments("GET", "", "list_experiments", ("", "9.3")),
    _experiments("POST", "", "create_experiment", ("", "9.3"), JSON, "255 characters a name, 400 a description"),
    _experiments("GET", "/{experiment_id}", "get_experiment", ("", "9.3")),
    _experiments(
        "PATCH", "/{experiment_id}", "update_experiment", ("", "9.3"), JSON, "255 characters a name, 400 a description"
    ),
    _experiments("DELETE", "/{experiment_id}", "delete_experiment", ("", "9.3")),
    _experiments("POST", "/{experiment_id}/archive", "archive_experiment", ("", "9.3"), JSON, idempotent=True),
    _experiments("DELETE", "/{experiment_id}/archive", "unarchive_experiment", ("", "9.3")),
    _experiments("PATCH", "/{experiment_id}/decide", "decide_experiment", ("", "9.3"), JSON),
    _experiments("PUT", "/{experiment_id}/force_conclude", "force_conclude_experiment", ("", "9.3"), JSON),
    _experiments("PUT", "/{experiment_id}/launch", "launch_experiment", ("", "9.3"), JSON),
    # Service accounts
    _accounts("GET", "", "list_service_accounts", ("12", "10")),
    _accounts("POST", "", "create_service_account", ("12", "10"), JSON),
    _accounts("GET", "/{service_account_id}", "get_service_account", ("12", "10")),
    _accounts("DELETE", "/{service_account_id}", "delete_service_account", ("12", "10")),
    _members("GET", "", "list_project_service_accounts", ("12", "10")),
    _accounts("POST", "/add-to-project", "add_to_projects", ("12", "10"), JSON, idempotent=True),
    _accounts("POST", "/remove-from-project", "remove_from_projects", ("12", "10"), JSON, idempotent=True),
    # Data pipelines
    _pipelines("GET", "/jobs", "jobs", ("13", "11")),
    _pipelines("POST", "/create", "create", ("13", "11"), FORM, "from_date six months ago", "regions of the vendors"),
    _pipelines("POST", "/edit", "edit", ("13", "11"), FORM, idempotent=True),
    _pipelines("POST", "/pause", "pause", ("13", "11"), FORM, idempotent=True),
    _pipelines("POST", "/resume", "resume", ("13", "11"), FORM, idempotent=True),
    _pipelines("POST", "/cancel", "cancel", ("13", "11"), FORM, idempotent=True),
    _pipelines("GET", "/status", "status", ("13", "11")),
    _pipelines("GET", "/timeline", "timeline", ("13", "11")),
    # Warehouse connectors
    _imports("GET", "", "list_imports", ("", "12")),
    _imports("GET", "/{import_id}", "get_import", ("", "12")),
    _imports("PATCH", "/{import_id}", "update_import", ("", "12"), JSON),
    _imports("DELETE", "/{import_id}", "delete_import", ("", "12"), JSON),
    _imports("POST", "/event-stream", "create_event_stream", ("", "12"), JSON, "no full_sync"),
    _imports("POST", "/people", "create_people", ("", "12"), JSON),
    _imports("POST", "/groups", "create_groups", ("", "12"), JSON),
    _imports("POST", "/lookup-table", "create_lookup_table", ("", "12"), JSON, "full_sync or one_time"),
    _imports(
        "PUT",
        "/{import_id}/manual-sync",
        "manual_sync",
        ("14", "12"),
        JSON,
        # Nothing says what a second one does while the first runs.
        idempotent=False,
        budgets=("warehouse_sync",),
    ),
    _imports("GET", "/{import_id}/history", "history", ("", "12"), "", "the 30 most recent runs"),
)

CATALOGUE: Final[dict[str, Operation]] = {operation.name: operation for operation in OPERATIONS}

# What the sandbox does not answer yet. A test compares the list with the sandbox's routes.
NOT_IN_SANDBOX: Final[frozenset[str]] = frozenset()
