"""The eight types of data pipelines, and their parameters. Source: mixpanel-api.md#pipelines."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import date
from typing import Any, ClassVar, Literal

from pydantic import SecretStr

DataSource = Literal["events", "people"]
PipelineFrequency = Literal["hourly", "daily"]
SchemaType = Literal["monoschema", "multischema"]
DataFormat = Literal["json", "parquet"]
Encryption = Literal["none", "aes", "kms"]

GCS_REGIONS = (
    *("northamerica-northeast1", "us-central1", "us-east1", "us-east4", "us-west1", "us-west2", "southamerica-east1"),
    *("europe-north1", "europe-west1", "europe-west2", "europe-west3", "europe-west4", "europe-west6"),
    *("asia-east1", "asia-east2", "asia-northeast1", "asia-northeast2", "asia-northeast3", "asia-south1"),
    *("asia-southeast1", "australia-southeast1"),
)
S3_REGIONS = (
    *("us-east-1", "us-east-2", "us-west-1", "us-west-2", "ap-northeast-1", "ap-northeast-2", "ap-northeast-3"),
    *("ap-southeast-1", "ap-southeast-2", "ap-south-1", "ca-central-1", "cn-north-1", "cn-northwest-1"),
    *("eu-central-1", "eu-north-1", "eu-west-1", "eu-west-2", "eu-west-3", "sa-east-1", "me-south-1"),
)
BIGQUERY_REGIONS = (
    *("US", "US_CENTRAL_1", "US_EAST_1", "US_WEST_1", "US_WEST_2", "US_EAST_4", "NORTH_AMERICA_NORTHEAST_1"),
    *("SOUTH_AMERICA_EAST_1", "EU", "EUROPE_NORTH_1", "EUROPE_WEST_2", "EUROPE_WEST_3", "EUROPE_WEST_4"),
    *("EUROPE_WEST_6", "ASIA_SOUTH_1", "ASIA_EAST_1", "ASIA_EAST_2", "ASIA_NORTHEAST_1", "ASIA_NORTHEAST_2"),
    *("ASIA_NORTHEAST_3", "ASIA_SOUTHEAST_1", "ASIA_SOUTHEAST_2", "AUSTRALIA_SOUTHEAST_1"),
)


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """Parameters of all pipelines.

    Args:
        from_date: first day, at most six months ago; may be None for a trial only.
        to_date: last day; without it the pipeline continues.
        frequency: frequency of a pipeline that continues.
        trial: whether to export events and users for thirty days, beginning with yesterday.
        events: names of the events to export; all by default.
        where: segmentation expression for the events, such as `properties["plan"] == "pro"`.
    """

    type: ClassVar[str]
    # Allowed values of parameters.
    choices: ClassVar[dict[str, tuple[str, ...]]] = {}

    from_date: date | None = None
    to_date: date | None = None
    frequency: PipelineFrequency | None = None
    trial: bool = False
    events: tuple[str, ...] | list[str] | None = None
    where: str | None = None

    def own_fields(self) -> dict[str, Any]:
        """The parameters of this type only."""
        common = {item.name for item in fields(Pipeline)}
        return {item.name: getattr(self, item.name) for item in fields(self) if item.name not in common}


@dataclass(frozen=True, kw_only=True)
class SchematizedPipeline(Pipeline):
    """Parameters of pipelines that create tables. They always follow changes (`sync`).

    Args:
        schema_type: `monoschema` for one table, `multischema` for a table per event.
        data_source: events, or profiles of users.
    """

    schema_type: SchemaType = "monoschema"
    data_source: DataSource = "events"


@dataclass(frozen=True, kw_only=True)
class GcsRawPipeline(Pipeline):
    """JSON to Google Cloud Storage."""

    type = "gcs-raw"
    choices = {"gcs_region": GCS_REGIONS}  # noqa: RUF012

    gcs_bucket: str
    gcs_region: str
    gcs_prefix: str | None = None


@dataclass(frozen=True, kw_only=True)
class S3RawPipeline(Pipeline):
    """JSON to Amazon S3. `s3_role` is the role (ARN) that writes."""

    type = "s3-raw"
    choices = {"s3_region": S3_REGIONS, "s3_encryption": ("none", "aes", "kms")}  # noqa: RUF012

    s3_bucket: str
    s3_region: str
    s3_role: str
    s3_prefix: str | None = None
    s3_encryption: Encryption | None = None
    s3_kms_key_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class AzureRawPipeline(Pipeline):
    """JSON to Azure Blob Storage, with the client of a service principal."""

    type = "azure-raw"

    storage_account: str
    container_name: str
    client_id: str
    client_secret: SecretStr
    tenant_id: str
    prefix: str | None = None


@dataclass(frozen=True, kw_only=True)
class BigQueryPipeline(SchematizedPipeline):
    """Tables in your BigQuery dataset."""

    type = "bigquery"
    choices = {"bq_region": BIGQUERY_REGIONS}  # noqa: RUF012

    bq_region: str
    gcp_project: str
    bq_dataset_name: str
    bq_prefix: str | None = None


@dataclass(frozen=True, kw_only=True)
class SnowflakePipeline(SchematizedPipeline):
    """Tables in Snowflake."""

    type = "snowflake"

    snowflake_account_name: str
    snowflake_warehouse: str
    snowflake_storage_integration: str
    snowflake_user: str
    snowflake_password: SecretStr
    snowflake_role: str
    snowflake_database: str
    snowflake_schema: str
    snowflake_prefix: str | None = None


@dataclass(frozen=True, kw_only=True)
class AwsPipeline(SchematizedPipeline):
    """Files in Amazon S3, with their schema in Glue if `use_glue`."""

    type = "aws"
    choices = {  # noqa: RUF012
        "s3_region": S3_REGIONS,
        "s3_encryption": ("none", "aes", "kms"),
        "data_format": ("json", "parquet"),
    }

    s3_bucket: str
    s3_region: str
    s3_role: str
    s3_prefix: str | None = None
    s3_encryption: Encryption | None = None
    s3_kms_key_id: str | None = None
    data_format: DataFormat | None = None
    use_glue: bool | None = None
    glue_database: str | None = None
    glue_role: str | None = None
    glue_table_prefix: str | None = None


@dataclass(frozen=True, kw_only=True)
class AzureBlobPipeline(SchematizedPipeline):
    """Files in Azure Blob Storage."""

    type = "azure-blob"
    choices = {"data_format": ("json", "parquet")}  # noqa: RUF012

    storage_account: str
    container_name: str
    client_id: str
    client_secret: SecretStr
    tenant_id: str
    prefix: str | None = None
    data_format: DataFormat | None = None


@dataclass(frozen=True, kw_only=True)
class GcsSchemaPipeline(SchematizedPipeline):
    """Files in Google Cloud Storage."""

    type = "gcs-schema"
    choices = {"gcs_region": GCS_REGIONS, "data_format": ("json", "parquet")}  # noqa: RUF012

    gcs_bucket: str
    gcs_region: str
    gcs_prefix: str | None = None
    data_format: DataFormat | None = None


@dataclass(frozen=True, kw_only=True)
class PipelineChanges:
    """Editable parameters of a pipeline. Others keep their value. Changes also apply to later syncs of old days."""

    events: tuple[str, ...] | list[str] | None = None
    where: str | None = None
    azure_client_id: str | None = None
    azure_client_secret: SecretStr | None = None
    azure_tenant_id: str | None = None
    bq_share_with_group: list[str] | None = field(default=None)
    glue_database: str | None = None
    glue_role: str | None = None
    glue_table_prefix: str | None = None
