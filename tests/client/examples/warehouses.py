"""Data pipelines and warehouse connectors. Source: mixpanel-api.md#pipelines, #connectors."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from pydantic import SecretStr

from mixpanel_etl.client import (
    AwsPipeline,
    AzureBlobPipeline,
    AzureRawPipeline,
    BigQueryPipeline,
    GcsRawPipeline,
    GcsSchemaPipeline,
    PipelineChanges,
    RunEvery,
    S3RawPipeline,
    SnowflakePipeline,
)

from .example import Example

NAME = "events-daily-bigquery-monoschema"
NAMED = {"name": NAME, "project_id": "12345"}
S3 = {"s3_bucket": "b", "s3_region": "us-east-2", "s3_role": "arn:aws:iam::1:role/r"}
TASK = {
    "project_id": 12345,
    "name": NAME,
    "state": "canceled",
    "last_finish": "0000-12-31T16:00:00-08:00",
    "run_at": "2026-01-02T00:00:00Z",
    "from_date": "2026-01-01",
    "to_date": "2026-01-01",
}
IMPORT = {
    "id": 77,
    "import_type": "event_stream",
    "sync_mode": "time_based",
    "warehouse_source_id": 5,
    "table_params": {"table": "events"},
    "paused": False,
    "run_every": 3_600_000_000_000,
    "last_dispatch": None,
    "time_column_name": "ts",
    "event_name": "Login",
    "of_tomorrow": 1,
}
DETAIL = {"status": "ok", "results": IMPORT}
ID = {"import_id": 77}
RUNS = [
    {"status": "SUCCEEDED", "start_time": 1768003200, "end_time": 1768003260000, "num_events_imported": 12},
    {"status": "RUNNING", "start_time": 1768003200000000000, "end_time": None, "num_events_imported": None},
]


def is_the_import(found: Any) -> bool:
    return (found.id, found.table_params, found["of_tomorrow"]) == (77, {"table": "events"}, 1)


def create(mode: str = "time_based", **more: Any) -> Any:
    def call(mixpanel: Any) -> Any:
        return mixpanel.warehouse_connectors.create_event_stream(
            5, {"table": "events"}, "ts", mode, **{"event_name": "Login", "insert_time_column_name": "loaded", **more}
        )

    return call


WAREHOUSES = [
    Example(
        lambda mp: mp.pipelines.jobs(),
        {"12345": [{"name": NAME, "Dispatcher": "backfill", "frequency": "hourly", "sync_enabled": "true"}]},
        lambda jobs: (jobs["12345"][0].name, jobs["12345"][0].dispatcher) == (NAME, "backfill"),
    ),
    Example(
        lambda mp: mp.pipelines.create(
            S3RawPipeline(
                s3_bucket="b",
                s3_region="us-east-2",
                s3_role="arn:aws:iam::1:role/r",
                from_date=date(2026, 1, 1),
                frequency="hourly",
                events=["Login", "Sign up"],
            )
        ),
        {"pipeline_names": [NAME], "bigquery_dataset_name": "https://bigquery.cloud.google.com/dataset/x"},
        lambda made: made.pipeline_names == [NAME],
        body={
            "type": "s3-raw",
            "project_id": "12345",
            "from_date": "2026-01-01",
            "frequency": "hourly",
            "events": ["Login", "Sign up"],
            **S3,
        },
        bad=lambda mp: mp.pipelines.create(
            BigQueryPipeline(from_date=date(2026, 1, 1), bq_region="us-east-2", gcp_project="p", bq_dataset_name="d")
        ),
        says="bq_region is 'us-east-2'",
    ),
    Example(
        lambda mp: mp.pipelines.edit(NAME, PipelineChanges(events=["Login"], bq_share_with_group=["a@b.c", "d@e.f"])),
        b"",
        body={**NAMED, "events": "Login", "bq_share_with_group": ["a@b.c", "d@e.f"]},
        bad=lambda mp: mp.pipelines.edit(NAME, PipelineChanges()),
        says="nothing to change",
    ),
    Example(
        lambda mp: mp.pipelines.pause(NAME), b"", body=NAMED, bad=lambda mp: mp.pipelines.pause(""), says="name is ''"
    ),
    Example(lambda mp: mp.pipelines.resume(NAME), b"OK", body=NAMED),
    Example(lambda mp: mp.pipelines.cancel(NAME), b"{}", body=NAMED),
    Example(
        lambda mp: mp.pipelines.status(NAME, ["failed", "canceled"]),
        {"canceled": [TASK], "retried": [], "succeeded": []},
        lambda tasks: tasks["canceled"][0].last_finish == "0000-12-31T16:00:00-08:00",
        query={"name": NAME, "status": ["failed", "canceled"]},
        bad=lambda mp: mp.pipelines.status(NAME, ["succeeded"]),  # type: ignore[list-item]
        says="status is 'succeeded'",
    ),
    Example(
        lambda mp: mp.pipelines.timeline(NAME),
        {
            "day_syncs": [
                {"date": "2026-01-01", "sync_times": [" 2026-01-02 14:33:09.315098 -0700 PDT"], "status": "synced"}
            ]
        },
        lambda days: (days[0].date, days[0].status) == ("2026-01-01", "synced"),
        query={"name": NAME},
    ),
    Example(
        lambda mp: mp.warehouse_connectors.list_imports(),
        {"status": "ok", "results": [IMPORT]},
        lambda imports: is_the_import(imports[0]),
    ),
    Example(lambda mp: mp.warehouse_connectors.get_import(77), DETAIL, is_the_import, path=ID),
    Example(
        lambda mp: mp.warehouse_connectors.update_import(77, paused=True, run_every=RunEvery.API),
        DETAIL,
        is_the_import,
        path=ID,
        body={"paused": True, "run_every": 0},
        bad=lambda mp: mp.warehouse_connectors.update_import(77, paused=True, run_every=60),  # type: ignore[arg-type]
        says="run_every is '60'",
    ),
    Example(
        lambda mp: mp.warehouse_connectors.delete_import(77, delete_data=True),
        {"status": "ok"},
        path=ID,
        body={"delete_data": True},
    ),
    Example(
        create(user_column_name="user_id", property_mappings={"amt": "Amount"}, run_every=RunEvery.HOURLY),
        DETAIL,
        is_the_import,
        body={
            "import_type": "event_stream",
            "warehouse_source_id": 5,
            "table_params": {"table": "events"},
            "sync_mode": "time_based",
            "time_column_name": "ts",
            "insert_time_column_name": "loaded",
            "event_name": "Login",
            "user_column_name": "user_id",
            "property_mappings": {"amt": "Amount"},
            "run_every": 3_600_000_000_000,
        },
        bad=create("full_sync"),
        says="not for events",
    ),
    Example(
        lambda mp: mp.warehouse_connectors.create_people(5, {"table": "users"}, "user_id", "full_sync"),
        DETAIL,
        is_the_import,
        body={
            "import_type": "people",
            "warehouse_source_id": 5,
            "table_params": {"table": "users"},
            "sync_mode": "full_sync",
            "user_column_name": "user_id",
        },
        bad=lambda mp: mp.warehouse_connectors.create_people(5, {}, "user_id", "full_sync"),
        says="table_params is empty",
    ),
    Example(
        lambda mp: mp.warehouse_connectors.create_groups(5, {"table": "g"}, "company", "id", "mirror_mode"),
        DETAIL,
        is_the_import,
        body={
            "import_type": "groups",
            "warehouse_source_id": 5,
            "table_params": {"table": "g"},
            "sync_mode": "mirror_mode",
            "group_key": "company",
            "group_id_column": "id",
        },
        bad=lambda mp: mp.warehouse_connectors.create_groups(5, {"table": "g"}, "company", "id", "time_based"),
        says="insert_time_column_name",
    ),
    Example(
        lambda mp: mp.warehouse_connectors.create_lookup_table(5, {"table": "t"}, "sku", "id", "one_time"),
        DETAIL,
        is_the_import,
        body={
            "import_type": "lookup_table",
            "warehouse_source_id": 5,
            "table_params": {"table": "t"},
            "sync_mode": "one_time",
            "mixpanel_property": {"value": "sku", "resourceType": "event"},
            "property_key_column_name": "id",
        },
        bad=lambda mp: mp.warehouse_connectors.create_lookup_table(5, {"table": "t"}, "sku", "id", "mirror_mode"),  # type: ignore[arg-type]
        says="full_sync, one_time",
    ),
    Example(
        lambda mp: mp.warehouse_connectors.manual_sync(77),
        {"status": "ok", "results": {"run_id": "8d1c"}},
        lambda run: run == "8d1c",
        path=ID,
        body={},
    ),
    Example(
        lambda mp: mp.warehouse_connectors.history(77),
        {"status": "ok", "results": {"runs": RUNS}},
        lambda runs: (
            [(run.status, run.started_at) for run in runs]
            == [("SUCCEEDED", datetime(2026, 1, 10, tzinfo=UTC)), ("RUNNING", datetime(2026, 1, 10, tzinfo=UTC))]
            and runs[0].ended_at == datetime(2026, 1, 10, 0, 1, tzinfo=UTC)
        ),
        path=ID,
    ),
]

SECRET = SecretStr("pass word/1")
AZURE = {"storage_account": "a", "container_name": "c", "client_id": "i", "tenant_id": "t"}
START = date(2026, 3, 10)
PIPELINES = [
    GcsRawPipeline(from_date=START, gcs_bucket="b", gcs_region="europe-west1", where='properties["plan"] == "pro"'),
    S3RawPipeline(
        from_date=START, s3_bucket="b", s3_region="eu-west-1", s3_role="arn:aws:iam::1:role/r", s3_encryption="aes"
    ),
    AzureRawPipeline(from_date=START, client_secret=SECRET, **AZURE),  # type: ignore[arg-type]
    BigQueryPipeline(from_date=START, bq_region="EU", gcp_project="p", bq_dataset_name="d", schema_type="multischema"),
    SnowflakePipeline(
        from_date=START,
        snowflake_account_name="a",
        snowflake_warehouse="w",
        snowflake_storage_integration="i",
        snowflake_user="u",
        snowflake_password=SECRET,
        snowflake_role="r",
        snowflake_database="d",
        snowflake_schema="s",
    ),
    AwsPipeline(
        from_date=START,
        s3_bucket="b",
        s3_region="eu-west-1",
        s3_role="arn:aws:iam::1:role/r",
        data_format="parquet",
        use_glue=True,
        glue_database="d",
        glue_role="arn:aws:iam::1:role/g",
    ),
    AzureBlobPipeline(from_date=START, client_secret=SECRET, frequency="daily", **AZURE),  # type: ignore[arg-type]
    GcsSchemaPipeline(from_date=START, gcs_bucket="b", gcs_region="europe-west1"),
]
