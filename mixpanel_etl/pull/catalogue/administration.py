"""What moves data and who may: pipelines, warehouse imports, accounts.

Source: mixpanel-api.md#service-accounts, #pipelines, #connectors.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mixpanel_etl.client import Mixpanel, PipelineJob
from mixpanel_etl.lake.event_columns import JSON, TIMESTAMP
from mixpanel_etl.pull.listings import BOOLEAN, INTEGER, STRING, STRINGS, Listing
from mixpanel_etl.pull.published import Column
from mixpanel_etl.timestamps import from_epoch


def service_accounts(organization_id: int | None) -> Listing:
    """The listing of an organization's accounts, or of the project's members. Mixpanel lists no secrets."""

    def ask(mixpanel: Mixpanel) -> Iterator[dict[str, Any]]:
        accounts = mixpanel.service_accounts
        listed = (
            accounts.list_project_service_accounts()
            if organization_id is None
            else accounts.list_service_accounts(organization_id)
        )
        for account in listed:
            yield {
                "account_id": account.id,
                "username": account.username,
                "role": getattr(account, "role", None),
                "expires": account.expires,
                "last_used": account.last_used,
                "created": account.created,
                "creator_id": account.creator,
            }

    whose = "this project" if organization_id is None else f"organization {organization_id}"
    return Listing(
        "service_accounts",
        f"The service accounts of {whose}; never a secret.",
        (
            Column("account_id", INTEGER, "Its number."),
            Column("username", STRING, "Its name."),
            Column("role", STRING, "Its role in this project; null in a list of the organization's accounts."),
            Column("expires", TIMESTAMP, "When it stops working; null for never."),
            Column("last_used", TIMESTAMP, "When it was last used."),
            Column("created", TIMESTAMP, "When it was created."),
            Column("creator_id", INTEGER, "Who created it: a number of Mixpanel's."),
        ),
        ask,
        impersonal=("account_id", "role", "expires", "last_used", "created"),
    )


def _jobs(mixpanel: Mixpanel) -> list[PipelineJob]:
    """The project's pipelines: the list can have those of other projects."""
    project = mixpanel.settings.project_id
    jobs = mixpanel.pipelines.jobs()
    return [job for number, found in jobs.items() if project is None or number == str(project) for job in found]


def _pipelines(mixpanel: Mixpanel) -> Iterator[dict[str, Any]]:
    for job in _jobs(mixpanel):
        yield {
            "pipeline": job.name,
            "dispatcher": job.dispatcher,
            "frequency": job.frequency,
            "sync_enabled": job.sync_enabled,
            "last_dispatched": job.last_dispatched,
            "tasks": mixpanel.pipelines.status_summary(job.name),
        }


PIPELINES = Listing(
    "pipelines",
    "Data pipelines (an API that Mixpanel has deprecated), and how their tasks are.",
    (
        Column("pipeline", STRING, "Its name."),
        Column("dispatcher", STRING, "What runs it."),
        Column("frequency", STRING, "How often."),
        Column("sync_enabled", BOOLEAN, "Whether it exports late and changed events again."),
        Column("last_dispatched", TIMESTAMP, "When it last began."),
        Column("tasks", JSON, "Number of tasks by state."),
    ),
    _pipelines,
    impersonal=("pipeline", "dispatcher", "frequency", "sync_enabled", "last_dispatched", "tasks"),
)


def _tasks(mixpanel: Mixpanel) -> Iterator[dict[str, Any]]:
    for job in _jobs(mixpanel):
        for state, tasks in mixpanel.pipelines.status(job.name).items():
            for task in tasks:
                yield {
                    "pipeline": job.name,
                    "task": task.name,
                    "state": task.state or state,
                    "from_date": task.from_date,
                    "to_date": task.to_date,
                    "run_at": task.run_at,
                    "finished_at": task.last_finish,
                }


PIPELINE_TASKS = Listing(
    "pipeline_tasks",
    "The status of each pipeline: its tasks.",
    (
        Column("pipeline", STRING, "Name of the pipeline."),
        Column("task", STRING, "Name of the task."),
        Column("state", STRING, "`pending`, `running`, `succeeded`, `retried`, `failed`, `canceled` or `timed_out`."),
        Column("from_date", TIMESTAMP, "Start of the exported data."),
        Column("to_date", TIMESTAMP, "The last one."),
        Column("run_at", TIMESTAMP, "When it is to run."),
        Column("finished_at", TIMESTAMP, "When it ended; null if it never did."),
    ),
    _tasks,
    impersonal=("pipeline", "task", "state", "from_date", "to_date", "run_at", "finished_at"),
)


def _days(mixpanel: Mixpanel) -> Iterator[dict[str, Any]]:
    for job in _jobs(mixpanel):
        for day in mixpanel.pipelines.timeline(job.name):
            yield {"pipeline": job.name, "day": day.date, "status": day.status, "sync_times": day.sync_times}


PIPELINE_DAYS = Listing(
    "pipeline_days",
    "The timeline of each pipeline: when each day was synced.",
    (
        Column("pipeline", STRING, "Name of the pipeline."),
        Column("day", STRING, "The day, in project time."),
        Column("status", STRING, "How it is."),
        Column("sync_times", STRINGS, "When it was synced, as Mixpanel writes it."),
    ),
    _days,
    impersonal=("pipeline", "day", "status", "sync_times"),
)


def _imports(mixpanel: Mixpanel) -> Iterator[dict[str, Any]]:
    for listed in mixpanel.warehouse_connectors.list_imports():
        found = mixpanel.warehouse_connectors.get_import(listed.id)  # the list leaves the columns out
        yield {
            **{column.name: getattr(found, column.name, None) for column in WAREHOUSE_IMPORTS.columns},
            "import_id": found.id,
            "run_every_seconds": None if found.run_every is None else found.run_every // 1_000_000_000,
            "last_dispatch": from_epoch(found.last_dispatch),
        }


WAREHOUSE_IMPORTS = Listing(
    "warehouse_imports",
    "Imports of warehouse connectors.",
    (
        Column("import_id", INTEGER, "Its number."),
        Column("import_type", STRING, "`event_stream`, `people`, `groups`, `lookup_table` or `event_sync`."),
        Column("sync_mode", STRING, "`time_based` (Append in the UI), `mirror_mode`, `full_sync` or `one_time`."),
        Column("paused", BOOLEAN, "Whether it is paused."),
        Column("run_every_seconds", INTEGER, "How often it runs; 0 when it is only triggered."),
        Column("last_dispatch", TIMESTAMP, "When it last ran."),
        Column("warehouse_source_id", INTEGER, "The connection to the warehouse."),
        Column("table_params", JSON, "The table, as the warehouse calls it."),
        Column("event_name", STRING, "What all its events are called."),
        Column("event_column_name", STRING, "The column with the events' names."),
        Column("time_column_name", STRING, "The column with the time."),
        Column("user_column_name", STRING, "The column that says whose a row is."),
        Column("insert_time_column_name", STRING, "The column that says when a row was loaded."),
        Column("property_mappings", JSON, "Names of properties by column."),
        Column("group_key", STRING, "The group key whose profiles it imports."),
        Column("group_id_column", STRING, "The column with the group's id."),
        Column("created", TIMESTAMP, "When it was created."),
        Column("creator_name", STRING, "Who created it."),
        Column("creator_email", STRING, "Their e-mail address."),
        Column("is_deleted", BOOLEAN, "Whether it was deleted."),
    ),
    _imports,
    impersonal=(
        "import_id",
        "import_type",
        "sync_mode",
        "paused",
        "run_every_seconds",
        "last_dispatch",
        "warehouse_source_id",
        "created",
        "is_deleted",
    ),
)


def _runs(mixpanel: Mixpanel) -> Iterator[dict[str, Any]]:
    for listed in mixpanel.warehouse_connectors.list_imports():
        for run in mixpanel.warehouse_connectors.history(listed.id):
            yield {
                "import_id": listed.id,
                "status": run.status,
                "started_at": run.started_at,
                "ended_at": run.ended_at,
                "rows": run.num_events_imported,
            }


WAREHOUSE_RUNS = Listing(
    "warehouse_import_runs",
    "The last 30 runs of each warehouse import.",
    (
        Column("import_id", INTEGER, "Number of the import."),
        Column("status", STRING, "`RUNNING`, `SUCCEEDED`, `FAILED` or `CANCELLED`."),
        Column("started_at", TIMESTAMP, "When it began."),
        Column("ended_at", TIMESTAMP, "When it ended; null while it runs."),
        Column("rows", INTEGER, "How many rows Mixpanel took."),
    ),
    _runs,
    impersonal=("import_id", "status", "started_at", "ended_at", "rows"),
)
