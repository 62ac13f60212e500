"""The eight types of data pipelines and their parameters. Source: mixpanel-api.md#pipelines.

The parameters and their values are documented, the messages are invented.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any, NamedTuple

from mixpanel_etl.sandbox.engine.query_parameters import check_choice, read_date
from mixpanel_etl.sandbox.engine.responses import ApiError

Form = Mapping[str, str]

MAX_AGE = timedelta(days=183)  # six months
EDITABLE = ("events", "where")

_GCS_REGIONS = (
    *("northamerica-northeast1", "us-central1", "us-east1", "us-east4", "us-west1", "us-west2", "southamerica-east1"),
    *("europe-north1", "europe-west1", "europe-west2", "europe-west3", "europe-west4", "europe-west6"),
    *("asia-east1", "asia-east2", "asia-northeast1", "asia-northeast2", "asia-northeast3", "asia-south1"),
    *("asia-southeast1", "australia-southeast1"),
)
_S3_REGIONS = (
    *("us-east-1", "us-east-2", "us-west-1", "us-west-2", "ap-northeast-1", "ap-northeast-2", "ap-northeast-3"),
    *("ap-southeast-1", "ap-southeast-2", "ap-south-1", "ca-central-1", "cn-north-1", "cn-northwest-1"),
    *("eu-central-1", "eu-north-1", "eu-west-1", "eu-west-2", "eu-west-3", "sa-east-1", "me-south-1"),
)
_BQ_REGIONS = (
    *("US", "US_CENTRAL_1", "US_EAST_1", "US_WEST_1", "US_WEST_2", "US_EAST_4", "NORTH_AMERICA_NORTHEAST_1"),
    *("SOUTH_AMERICA_EAST_1", "EU", "EUROPE_NORTH_1", "EUROPE_WEST_2", "EUROPE_WEST_3", "EUROPE_WEST_4"),
    *("EUROPE_WEST_6", "ASIA_SOUTH_1", "ASIA_EAST_1", "ASIA_EAST_2", "ASIA_NORTHEAST_1", "ASIA_NORTHEAST_2"),
    *("ASIA_NORTHEAST_3", "ASIA_SOUTHEAST_1", "ASIA_SOUTHEAST_2", "AUSTRALIA_SOUTHEAST_1"),
)
_AZURE = ("storage_account", "container_name", "client_id", "client_secret", "tenant_id")
_AZURE_EDITS = ("azure_client_id", "azure_client_secret", "azure_tenant_id")
_SNOWFLAKE = ("account_name", "warehouse", "storage_integration", "user", "password", "role", "database", "schema")


class PipelineType(NamedTuple):
    """The required parameters of a type, and those that identify a destination."""

    required: Sequence[str]
    destination: Sequence[str]
    is_schematized: bool
    edits: Sequence[str] = ()


TYPES: dict[str, PipelineType] = {
    "gcs-raw": PipelineType(("gcs_bucket", "gcs_region"), ("gcs_bucket", "gcs_prefix"), False),
    "s3-raw": PipelineType(("s3_bucket", "s3_region", "s3_role"), ("s3_bucket", "s3_prefix"), False),
    "azure-raw": PipelineType(_AZURE, ("storage_account", "container_name", "prefix"), False, _AZURE_EDITS),
    "bigquery": PipelineType(
        ("bq_region", "gcp_project", "bq_dataset_name"),
        ("gcp_project", "bq_dataset_name"),
        True,
        ("bq_share_with_group",),
    ),
    "snowflake": PipelineType(
        [f"snowflake_{name}" for name in _SNOWFLAKE],
        ("snowflake_account_name", "snowflake_database", "snowflake_schema"),
        True,
    ),
    "aws": PipelineType(
        ("s3_bucket", "s3_region", "s3_role"),
        ("s3_bucket", "s3_prefix"),
        True,
        ("glue_database", "glue_role", "glue_table_prefix"),
    ),
    "azure-blob": PipelineType(_AZURE, ("storage_account", "container_name", "prefix"), True, _AZURE_EDITS),
    "gcs-schema": PipelineType(("gcs_bucket", "gcs_region"), ("gcs_bucket", "gcs_prefix"), True),
}

_CHOICES: dict[str, Sequence[str]] = {
    "trial": ("true", "false"),
    "frequency": ("daily", "hourly"),
    "schema_type": ("monoschema", "multischema"),
    "sync": ("true",),
    "gcs_region": _GCS_REGIONS,
    "s3_region": _S3_REGIONS,
    "bq_region": _BQ_REGIONS,
    "s3_encryption": ("none", "aes", "kms"),
}


class PipelineSettings(NamedTuple):
    """The settings of a pipeline; without `to_date` it is recurring."""

    kind: str
    data_sources: list[str]
    from_date: date
    to_date: date | None
    frequency: str
    schema_type: str | None
    sync: bool
    is_trial: bool
    destination: tuple[str, ...]


def read_creation(form: Form, today: date) -> PipelineSettings:
    """The settings of a new pipeline. Raises ApiError 400 naming the invalid parameter."""
    kind = form.get("type", "")
    check_choice("type", kind, TYPES)
    described, is_trial = TYPES[kind], form.get("trial") == "true"
    _check_presence(form, described, is_trial)
    _check_choices(form, described)
    from_date = today - timedelta(days=1) if is_trial else read_date(form, "from_date")
    to_date = read_date(form, "to_date") if form.get("to_date") and not is_trial else None
    if from_date < today - MAX_AGE:
        raise ApiError(400, f"from_date {from_date} must not be more than six months ago")
    if to_date is not None and to_date < from_date:
        raise ApiError(400, f"from_date {from_date} must not be later than to_date {to_date}")
    if to_date is not None and "frequency" in form:
        raise ApiError(400, "frequency is only valid without to_date")
    sources = ["events", "people"] if is_trial and described.is_schematized else [form.get("data_source", "events")]
    return PipelineSettings(
        kind,
        sources,
        from_date,
        to_date,
        form.get("frequency", "daily"),
        form.get("schema_type", "monoschema") if described.is_schematized else None,
        form.get("sync") == "true",
        is_trial,
        (kind, *(form.get(name, "") for name in described.destination)),
    )


def read_edit(form: Form, kind: str) -> dict[str, Any]:
    """The edited parameters. Raises ApiError 400 for those that the type does not allow."""
    changes = {name: value for name, value in form.items() if name not in ("name", "project_id")}
    allowed = (*EDITABLE, *TYPES[kind].edits)
    unknown = sorted(changes.keys() - set(allowed))
    if unknown:
        raise ApiError(400, f"{unknown[0]} cannot be edited for type {kind}, only {', '.join(allowed)}")
    return changes


def _check_presence(form: Form, described: PipelineType, is_trial: bool) -> None:
    required = list(described.required)
    if described.is_schematized and not is_trial:
        required += ["sync", "schema_type"]
    if not is_trial:
        required.append("from_date")
    for name in required:
        if not form.get(name):
            raise ApiError(400, f"{name} is a required parameter for type {form['type']}")


def _check_choices(form: Form, described: PipelineType) -> None:
    choices = {
        **_CHOICES,
        "data_source": ("events", "people") if described.is_schematized else ("events",),
        "data_format": ("json", "parquet") if described.is_schematized else ("json",),
    }
    for name, allowed in choices.items():
        if name in form:
            check_choice(name, form[name], allowed)
