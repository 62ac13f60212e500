"""What the project knows and has beside its data: one listing a kind of thing, in groups that belong together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from mixpanel_etl.pull.catalogue.administration import (
    PIPELINE_DAYS,
    PIPELINE_TASKS,
    PIPELINES,
    WAREHOUSE_IMPORTS,
    WAREHOUSE_RUNS,
    service_accounts,
)
from mixpanel_etl.pull.catalogue.dictionary import EVENT_NAMES, LEXICON_PROPERTIES, LEXICON_SCHEMAS, top_properties
from mixpanel_etl.pull.catalogue.product import ANNOTATION_TAGS, ANNOTATIONS, EXPERIMENTS, FEATURE_FLAGS, LOOKUP_TABLES
from mixpanel_etl.pull.listings import Listing

Group = Literal[
    "events",
    "lexicon",
    "annotations",
    "feature_flags",
    "experiments",
    "service_accounts",
    "lookup_tables",
    "pipelines",
    "warehouse_imports",
]
GROUPS: tuple[Group, ...] = get_args(Group)
#: The listing with the accounts that can expire.
SERVICE_ACCOUNTS = "service_accounts"


def listings(groups: Sequence[Group], *, top_events: int = 10, organization_id: int | None = None) -> list[Listing]:
    """The listings of some groups.

    Args:
        groups: which.
        top_events: number of most frequent events whose top properties are listed (one query per event).
        organization_id: list all service accounts of the organization instead of the project's members.
    """
    found: dict[Group, Sequence[Listing]] = {
        "events": [EVENT_NAMES, top_properties(top_events)],
        "lexicon": [LEXICON_SCHEMAS, LEXICON_PROPERTIES],
        "annotations": [ANNOTATIONS, ANNOTATION_TAGS],
        "feature_flags": [FEATURE_FLAGS],
        "experiments": [EXPERIMENTS],
        "service_accounts": [service_accounts(organization_id)],
        "lookup_tables": [LOOKUP_TABLES],
        "pipelines": [PIPELINES, PIPELINE_TASKS, PIPELINE_DAYS],
        "warehouse_imports": [WAREHOUSE_IMPORTS, WAREHOUSE_RUNS],
    }
    return [listing for group in GROUPS if group in groups for listing in found[group]]
