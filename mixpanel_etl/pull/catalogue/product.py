"""What product teams make in Mixpanel.

Source: mixpanel-api.md#lookup-tables, #annotations, #flag-evaluation, #flag-management, #experiments.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mixpanel_etl.client import Mixpanel
from mixpanel_etl.client.operations.replies import wire
from mixpanel_etl.lake.event_columns import JSON, TIMESTAMP
from mixpanel_etl.pull.listings import BOOLEAN, INTEGER, STRING, STRINGS, Listing
from mixpanel_etl.pull.published import Column


def _annotations(mixpanel: Mixpanel) -> Iterator[dict[str, Any]]:
    for note in mixpanel.annotations.list_annotations():
        user = note.user
        yield {
            "annotation_id": note.id,
            "time": note.date,
            "description": note.description,
            "author_id": user.id if user else None,
            "author": " ".join(filter(None, (user.first_name, user.last_name))) or None if user else None,
            "tags": [tag.name or str(tag.id) for tag in note.tags],
        }


ANNOTATIONS = Listing(
    "annotations",
    "Remarks on Mixpanel's charts.",
    (
        Column("annotation_id", INTEGER, "Its number."),
        Column("time", TIMESTAMP, "Time of the annotation."),
        Column("description", STRING, "The remark."),
        Column("author_id", INTEGER, "Who wrote it: a number of Mixpanel's."),
        Column("author", STRING, "Who wrote it."),
        Column("tags", STRINGS, "Names of its tags."),
    ),
    _annotations,
    impersonal=("annotation_id", "time"),
)


def _tags(mixpanel: Mixpanel) -> Iterator[dict[str, Any]]:
    for tag in mixpanel.annotations.list_tags():
        yield {"tag_id": tag.id, "name": tag.name, "has_annotations": tag.has_annotations}


ANNOTATION_TAGS = Listing(
    "annotation_tags",
    "Tags for annotations.",
    (
        Column("tag_id", INTEGER, "Its number."),
        Column("name", STRING, "Its name."),
        Column("has_annotations", BOOLEAN, "Whether some annotation has it."),
    ),
    _tags,
    impersonal=("tag_id", "has_annotations"),
)


def _flags(mixpanel: Mixpanel) -> Iterator[dict[str, Any]]:
    for flag in mixpanel.feature_flags.list_flags(include_archived=True):
        yield {
            "flag_id": flag.id,
            "key": flag.key,
            "name": flag.name,
            "description": flag.description,
            "status": flag.status,
            "context": flag.context,
            "serving_method": flag.serving_method,
            "variants": [variant.key for variant in flag.ruleset.variants],
            "ruleset": wire(flag.ruleset, with_unknown=True),
            "tags": flag.tags,
            "experiment_id": flag.experiment_id,
            "is_experiment_active": flag.is_experiment_active,
            "created": flag.created,
            "modified": flag.modified,
            "enabled_at": flag.enabled_at,
            "deleted": flag.deleted,
        }


FEATURE_FLAGS = Listing(
    "feature_flags",
    "The feature flags of the workspace (MIXPANEL_WORKSPACE_ID), archived ones too.",
    (
        Column("flag_id", STRING, "Its id."),
        Column("key", STRING, "What code calls it."),
        Column("name", STRING, "What people call it."),
        Column("description", STRING, "What it is for."),
        Column("status", STRING, "`enabled`, `disabled` or `archived`."),
        Column("context", STRING, "What users are told apart by: distinct_id, device_id or a group key."),
        Column("serving_method", STRING, "Where it may be evaluated."),
        Column("variants", STRINGS, "Keys of its variants."),
        Column("ruleset", JSON, "Variants with their values and shares, who gets them, and testers."),
        Column("tags", STRINGS, "Its tags."),
        Column("experiment_id", STRING, "The experiment that it serves."),
        Column("is_experiment_active", BOOLEAN, "Whether that is running."),
        Column("created", TIMESTAMP, "When it was created."),
        Column("modified", TIMESTAMP, "When it was last changed."),
        Column("enabled_at", TIMESTAMP, "When it was enabled."),
        Column("deleted", TIMESTAMP, "When it was archived."),
    ),
    _flags,
    impersonal=(
        "flag_id",
        "key",
        "status",
        "context",
        "serving_method",
        "experiment_id",
        "is_experiment_active",
        "created",
        "modified",
        "enabled_at",
        "deleted",
    ),
)


def _experiments(mixpanel: Mixpanel) -> Iterator[dict[str, Any]]:
    for experiment in mixpanel.experiments.list_experiments():
        yield {
            "experiment_id": experiment.id,
            **{column.name: getattr(experiment, column.name) for column in EXPERIMENTS.columns[1:]},
        }


EXPERIMENTS = Listing(
    "experiments",
    "The experiments of the workspace (MIXPANEL_WORKSPACE_ID).",
    (
        Column("experiment_id", STRING, "Its id."),
        Column("name", STRING, "Its name."),
        Column("description", STRING, "What it is about."),
        Column("hypothesis", STRING, "What it is to show."),
        Column("status", STRING, "`draft`, `active`, `concluded`, `success` or `fail`."),
        Column("variants", JSON, "Its variants."),
        Column("metrics", JSON, "What it is judged by."),
        Column("settings", JSON, "Its settings."),
        Column("tags", STRINGS, "Its tags."),
        Column("created", TIMESTAMP, "When it was created."),
        Column("modified", TIMESTAMP, "When it was last changed."),
        Column("start_date", TIMESTAMP, "When it began."),
        Column("end_date", TIMESTAMP, "When it ended."),
        Column("deleted", TIMESTAMP, "When it was deleted."),
        Column("feature_flag", JSON, "The flag that serves it."),
        Column("exposures_cache", JSON, "Who saw what, as Mixpanel last computed it."),
        Column("results_cache", JSON, "Results, as Mixpanel last computed them."),
    ),
    _experiments,
    impersonal=("experiment_id", "status", "created", "modified", "start_date", "end_date", "deleted"),
)


def _lookup_tables(mixpanel: Mixpanel) -> Iterator[dict[str, Any]]:
    for table in mixpanel.ingestion.list_lookup_tables():
        yield {"lookup_table_id": table.id, "name": table.name}


LOOKUP_TABLES = Listing(
    "lookup_tables",
    "The lookup tables of the project.",
    (Column("lookup_table_id", STRING, "Its id (UUID)."), Column("name", STRING, "Its name.")),
    _lookup_tables,
    budget="lookup_tables",
    impersonal=("lookup_table_id",),
)
