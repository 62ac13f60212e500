"""Where the files are known to be wrong or silent, and what the client and the sandbox do instead, and why.

An entry that is no longer needed fails a test, and so does anything that no entry allows.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from mixpanel_etl.client.operations.catalogue import CATALOGUE

from .strict import Finding


@dataclass(frozen=True)
class Deviation:
    """Each of these operations is elsewhere than its file at `where`.

    `*` stands for anything in both, within one step of a path.
    """

    operations: str
    where: str
    why: str

    @property
    def names(self) -> list[str]:
        patterns = self.operations.split()
        return [name for name in CATALOGUE if any(fnmatchcase(name, pattern) for pattern in patterns)]

    def allows(self, finding: Finding) -> bool:
        steps, allowed = finding.where.split("."), self.where.split(".")
        return len(steps) == len(allowed) and all(map(fnmatchcase, steps, allowed))


NOT_DESCRIBED = {"me": "No file has it; it is the example call of the page on service accounts (mixpanel-api.md#me)."}

# In the files, but no operation of its own.
NOT_CALLED = {
    "profile-batch-update": "One string by its schema; the parts of a batch are checked as what they are.",
    "group-batch-update": "One string by its schema; the parts of a batch are checked as what they are.",
}

ACCOUNTS = "The page on service accounts asks for project_id in the URL of every call (mixpanel-api.md#credentials)."
BEYOND_SECRETS = "The page on authentication takes it too (mixpanel-api.md#credentials)."
ONLY_200 = "The file knows only what succeeds (mixpanel-api.md#query, #errors)."
UNLISTED = "What is not there is a 404, which the file does not list (mixpanel-api.md#errors)."
ERROR_TYPE = "An error has a type in the file too, where it comes with a 200 (mixpanel-api.md#flag-management)."
BY_SEGMENT = "About the reply to a call with `on` the file is silent (mixpanel-api.md#query-funnels)."
NO_USERS = (
    "Null for the first step and for a step without users; not nullable by the schema (mixpanel-api.md#query-funnels)."
)
SAYS_NOTHING = "The file has no content for the reply; what the sandbox says is invented."
REQUIRED = "The words allow JSON Schema's own keys, as in the reference's example (mixpanel-api.md#lexicon)."
REMOVED = "Null removes what a former upload said (mixpanel-api.md#lexicon)."
TASK_AND_TRACKING = (
    "The reference names it tracking_id, the file task_id; the sandbox says both (mixpanel-api.md#gdpr-jobs)."
)
REPEATED = "A field for each event; the file has one text (mixpanel-api.md#pipelines)."

DEVIATIONS = (
    Deviation(
        "lexicon.* annotations.* experiments.* service_accounts.* warehouse_connectors.*", "query project_id", ACCOUNTS
    ),
    Deviation("feature_flags.*_flag*", "query project_id", ACCOUNTS),
    Deviation("pipelines.create pipelines.edit", "query project_id", ACCOUNTS),
    Deviation("pipelines.pause pipelines.resume pipelines.cancel", "query project_id", ACCOUNTS),
    # Export and query
    Deviation("export", "credentials ServiceAccount", BEYOND_SECRETS),
    Deviation("export query.*", "reply 401", ONLY_200),
    Deviation("query.engage query.jql", "reply 400", ONLY_200),
    Deviation("query.event_names", "query from_date", "Mixpanel's own client sends it (mixpanel-api.md#query-events)."),
    Deviation("query.event_names", "query to_date", "Mixpanel's own client sends it (mixpanel-api.md#query-events)."),
    Deviation("query.funnels", "reply 200 data.*.$overall", BY_SEGMENT),
    Deviation("query.funnels", "reply 200 data.*.pro", BY_SEGMENT),
    Deviation("query.funnels", "reply 200 data.*.free", BY_SEGMENT),
    Deviation("query.funnels", "reply 200 data.*.steps.#.avg_time", NO_USERS),
    Deviation("query.funnels", "reply 200 data.*.steps.#.avg_time_from_start", NO_USERS),
    Deviation("query.retention", "reply 200 *.$overall", BY_SEGMENT),
    Deviation("query.retention", "reply 200 *.pro", BY_SEGMENT),
    Deviation("query.retention_addiction", "reply 200 data.2026-03-0?", BY_SEGMENT),
    Deviation(
        "query.engage",
        "body behaviors",
        "The file has an integer; it is a list of selectors (mixpanel-api.md#query-profiles).",
    ),
    Deviation(
        "query.engage",
        "body page_size",
        "Specified as a parameter; the file has it in the reply (mixpanel-api.md#query-profiles).",
    ),
    Deviation(
        "query.engage",
        "reply 200 results.#.$distinct_id",
        "The file has an integer; ids are strings (mixpanel-api.md#query-profiles).",
    ),
    Deviation(
        "query.list_cohorts", "reply 200 #.data_group_id", "A connector lists it (mixpanel-api.md#query-cohorts)."
    ),
    # Ingestion and identity
    Deviation("ingestion.import_", "credentials ProjectToken", BEYOND_SECRETS),
    Deviation("identity.create_identity identity.create_alias", "query verbose", "It is /track, where it is known."),
    Deviation("identity.create_identity identity.create_alias", "query ip", "It is /track, where it is known."),
    Deviation("identity.merge", "body #.properties.token", "The file requires it, and does not name it."),
    Deviation(
        "ingestion.engage", "body #.$ip", "The reference has it for every update (mixpanel-api.md#profile-updates)."
    ),
    Deviation("ingestion.engage", "query ip", "Known for every operator but $delete; one batch holds several."),
    Deviation("ingestion.groups", "query ip", "Known for every operator but $delete; one batch holds several."),
    Deviation("ingestion.groups", "query strict", "Known for every operator but $delete; one batch holds several."),
    Deviation("ingestion.groups", "body #.$unset", "Required of $union by mistake (mixpanel-api.md#profile-updates)."),
    Deviation("ingestion.groups", "body #.$set", "Required of $delete by mistake (mixpanel-api.md#profile-updates)."),
    # Lexicon, GDPR, annotations
    Deviation("lexicon.create_schema", "body required", REQUIRED),
    Deviation("lexicon.create_schemas", "body entries.#.schemaJson.required", REQUIRED),
    Deviation("lexicon.list_schemas_of_type", "reply 200 results.#.schemaJson.required", REQUIRED),
    Deviation("lexicon.create_schema", "body metadata.com.mixpanel.hidden", REMOVED),
    Deviation("lexicon.create_schemas", "body entries.#.schemaJson.metadata.com.mixpanel.hidden", REMOVED),
    Deviation("lexicon.get_schema", "reply 404", UNLISTED),
    Deviation("gdpr.create_retrieval gdpr.create_deletion", "reply 201 results.tracking_id", TASK_AND_TRACKING),
    Deviation("gdpr.cancel_deletion", "reply 404", UNLISTED),
    Deviation("gdpr.cancel_deletion", "reply 405", "In the reference: it has started (mixpanel-api.md#gdpr-jobs)."),
    Deviation("annotations.get_* annotations.update_* annotations.delete_*", "reply 404", UNLISTED),
    Deviation(
        "annotations.create_tag",
        "reply 400",
        "A name that exists; the file lists no error (mixpanel-api.md#errors).",
    ),
    # Feature flags and experiments
    Deviation(
        "feature_flags.definitions",
        "reply 200 flags.#.hash_salt",
        "Mixpanel's SDKs read it (mixpanel-api.md#flag-evaluation).",
    ),
    Deviation("feature_flags.*_flag feature_flags.list_flags experiments.*", "reply 401 type", ERROR_TYPE),
    Deviation("feature_flags.get_flag feature_flags.replace_flag feature_flags.delete_flag", "reply 404", UNLISTED),
    Deviation("experiments.[!cl]*_experiment experiments.launch_experiment", "reply 404", UNLISTED),
    # Pipelines and warehouse connectors
    Deviation("pipelines.edit pipelines.pause pipelines.resume pipelines.cancel", "reply 200", SAYS_NOTHING),
    Deviation(
        "pipelines.create", "reply 200 bigquery_dataset_name", "The one example is BigQuery's; others have none."
    ),
    Deviation("pipelines.create pipelines.edit", "body events", REPEATED),
    Deviation("pipelines.edit pipelines.cancel pipelines.status pipelines.timeline", "reply 404", UNLISTED),
    Deviation("pipelines.status", "reply 200 [crs]*ed", "With `summary` numbers, of which the file says nothing."),
    Deviation("pipelines.status", "reply 200 failed", "A state of the filter that the reply does not name."),
    Deviation(
        "warehouse_connectors.manual_sync",
        "body",
        "The file requires JSON of which it says nothing (mixpanel-api.md#connectors).",
    ),
)
