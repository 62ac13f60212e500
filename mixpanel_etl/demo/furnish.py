"""What a team has in Mixpanel beside its events: profiles, cohorts, notes, flags. The demo's instances read them."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from mixpanel_etl.client import (
    ExperimentChanges,
    FlagRollout,
    FlagRuleSet,
    FlagVariant,
    GroupUpdate,
    Mixpanel,
    NewFlag,
    S3RawPipeline,
    UserUpdate,
)

if TYPE_CHECKING:
    from mixpanel_etl.sandbox import Project, Sandbox

#: By what the shop's events name companies.
COMPANY = "company_id"
_DAYS = 7
_BATCH = 2_000


def shop_project() -> Project:
    """The shop, with what only Mixpanel's UI can make."""
    from mixpanel_etl.sandbox import Project
    from mixpanel_etl.sandbox.engine.projects import LookupTable

    orders = {"id": 101, "created": datetime.now(UTC), "table_params": {"schema": "shop", "table": "orders"}}
    return Project(
        group_keys=[COMPANY],
        lookup_tables=[LookupTable("8b0a3c9e-0d2c-4a47-9a35-0c2f5d1f7a11", "products")],
        warehouse_imports=[orders],
        gdpr_stage_seconds=5,  # a deletion that takes Mixpanel days is done in two minutes
    )


def furnish(sandbox: Sandbox, mixpanel: Mixpanel, last: date) -> None:
    """Make profiles of the users and companies of the last days, and one of everything else.

    Args:
        sandbox: with the shop's events.
        mixpanel: its client.
        last: the last day that has events.
    """
    from mixpanel_etl.sandbox import Cohort

    users, companies = _people(sandbox, last)
    updates = [UserUpdate(name, "$set", properties) for name, properties in users.items()]
    for start in range(0, len(updates), _BATCH):
        mixpanel.ingestion.engage(updates[start : start + _BATCH])
    mixpanel.ingestion.groups(
        [GroupUpdate(COMPANY, name, "$set", {"users_seen": seen}) for name, seen in companies.items()]
    )
    sandbox.save_report(Cohort(21, "Recent buyers", event="checkout", within_days=30))
    _product(mixpanel, last)


def _people(sandbox: Sandbox, last: date) -> tuple[dict[str, dict[str, Any]], dict[str, int]]:
    """Properties of the users of the last days, and how many of them each company has."""
    users: dict[str, dict[str, Any]] = {}
    for event in sandbox.deduplicated(last - timedelta(days=_DAYS - 1), last):
        if event.distinct_id and not event.distinct_id.startswith("$device:"):
            seen = json.loads(event.properties)
            users[event.distinct_id] = {name: seen[name] for name in ("$city", "mp_country_code", COMPANY)}
    companies: dict[str, int] = {}
    for properties in users.values():
        company = str(properties[COMPANY])
        companies[company] = companies.get(company, 0) + 1
    return users, companies


def _product(mixpanel: Mixpanel, last: date) -> None:
    tag = mixpanel.annotations.create_tag("release")
    mixpanel.annotations.create_annotation(datetime(last.year, last.month, last.day, 12), "New checkout", [tag.id])  # noqa: DTZ001
    variants = [
        FlagVariant(key="new", value=True, is_control=False, split=0.5),
        FlagVariant(key="old", value=False, is_control=True, split=0.5),
    ]
    flag = NewFlag(
        name="New checkout",
        key="new_checkout",
        context="distinct_id",
        serving_method="client",
        status="enabled",
        ruleset=FlagRuleSet(variants=variants, rollout=[FlagRollout(rollout_percentage=1)]),
    )
    mixpanel.feature_flags.create_flag(flag)
    mixpanel.experiments.create_experiment("New checkout", ExperimentChanges(hypothesis="It sells more"))
    role = "arn:aws:iam::1:role/shop"
    bucket = S3RawPipeline(from_date=last, frequency="daily", s3_bucket="shop", s3_region="eu-central-1", s3_role=role)
    mixpanel.pipelines.create(bucket)
