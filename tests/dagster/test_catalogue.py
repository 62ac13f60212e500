"""The catalogue: each kind of thing as Mixpanel has it, each asset alone, for as few requests as it takes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any, get_args

import dagster as dg
import polars as pl
import pytest

from mixpanel_etl import MixpanelCatalogue
from mixpanel_etl.client import (
    ExperimentChanges,
    FlagRollout,
    FlagRuleSet,
    FlagTesters,
    FlagVariant,
    Mixpanel,
    NewFlag,
    S3RawPipeline,
    Schema,
    SchemaEntry,
    SchemaMetadata,
    SchemaProperty,
    VendorMetadata,
)
from mixpanel_etl.client.operations.replies import typed, wire
from mixpanel_etl.dagster.catalogue.checks import EXPIRY
from mixpanel_etl.gdpr.erasure import erase
from mixpanel_etl.lake import Table
from mixpanel_etl.pull.catalogue import GROUPS, Group, listings
from mixpanel_etl.sandbox import Fault, Project, RunOutcome, Sandbox
from mixpanel_etl.sandbox.engine.projects import LookupTable, ServiceAccount
from mixpanel_etl.settings import Settings

from .profiles import Today, failure_of

NOW = datetime.now(UTC)
SECRET = "only-in-the-settings"
SKU = "8b0a3c9e-0d2c-4a47-9a35-0c2f5d1f7a11"
NAMES = [listing.name for listing in listings(GROUPS)]

Take = Callable[..., Today]


@pytest.fixture
def mixpanel_project() -> Project:
    return Project(
        enforce_budgets=False,
        timezone="Europe/Berlin",
        service_account=ServiceAccount("etl", SECRET, "admin", NOW + timedelta(days=20)),
        lookup_tables=[LookupTable(SKU, "skus")],
        warehouse_imports=[{"id": 101, "created": NOW, "table_params": {"table": "orders"}}],
    )


@pytest.fixture
def snapshots(instance: dg.DagsterInstance, mixpanel: Sandbox) -> Take:
    return lambda *groups, **described: Today(
        instance, MixpanelCatalogue(groups=groups or GROUPS, **described).definitions()
    )


def rows(name: str) -> list[dict[str, Any]]:
    (listing,) = [listing for listing in listings(GROUPS) if listing.name == name]
    frame = Table(Settings.load().lake, f"catalogue/{name}", listing.schema).scan().drop("date").collect()
    plain = [
        pl.col(column.name).ext.storage() for column in listing.columns if str(column.type).startswith("extension")
    ]
    return frame.with_columns(plain).to_dicts()


def asked(mixpanel: Sandbox) -> Counter[str]:
    return Counter(request.path.rpartition("/")[2] for request in mixpanel.requests)


class TestEvents:
    @pytest.fixture(autouse=True)
    def shop(self, mixpanel: Sandbox) -> None:
        mixpanel.generate(500, NOW.date(), NOW.date())

    def test_the_names_of_all_events(self, mixpanel: Sandbox, client: Mixpanel, snapshots: Take) -> None:
        assert snapshots("events").run("mixpanel/catalogue/event_names").success
        names = {row["event"] for row in rows("event_names")}
        assert {"page view", "checkout"} <= names
        assert asked(mixpanel) == {"names": 1}

    def test_properties_of_the_most_common_events_cost_a_query_each(
        self, mixpanel: Sandbox, client: Mixpanel, snapshots: Take
    ) -> None:
        catalogue = snapshots("events", top_events=3)
        result = catalogue.run("mixpanel/catalogue/top_properties")
        assert result.success
        assert asked(mixpanel) == {"names": 1, "top": 3}
        assert catalogue.metadata(result)["mixpanel_etl/queries_spent"] == 4
        found = rows("top_properties")
        assert len({row["event"] for row in found}) == 3
        views = {row["property"]: row["count"] for row in found if row["event"] == "page view"}
        assert views == client.query.top_properties("page view", 255)
        assert len(views) > 10


def test_the_data_dictionary_is_a_row_a_schema_and_a_row_a_property(client: Mixpanel, snapshots: Take) -> None:
    amount = SchemaProperty(
        type="number",
        description="in cents",
        metadata=VendorMetadata(mixpanel=SchemaMetadata(display_name="Amount", hidden=False)),
    )
    bought = Schema(
        description="A purchase",
        properties={"amount": amount, "sku": SchemaProperty(type="string")},
        metadata=VendorMetadata(mixpanel=SchemaMetadata(tags=["core", "money"], dropped=False)),
        unknown={"required": ["amount"]},
    )
    client.lexicon.create_schemas(
        [
            SchemaEntry(entity_type="event", name="Purchase", schema_json=bought),
            SchemaEntry(entity_type="profile", name="$user", schema_json=Schema()),
        ]
    )
    dictionary = snapshots("lexicon")
    assert dictionary.run("mixpanel/catalogue/lexicon_schemas").success
    assert dictionary.run("mixpanel/catalogue/lexicon_properties").success
    schemas = {row["name"]: row for row in rows("lexicon_schemas")}
    assert schemas.keys() == {"Purchase", "$user"}
    assert (schemas["Purchase"]["description"], schemas["Purchase"]["properties"]) == ("A purchase", 2)
    assert (schemas["Purchase"]["tags"], schemas["Purchase"]["dropped"]) == (["core", "money"], False)
    assert json.loads(schemas["Purchase"]["more"]) == {"required": ["amount"]}
    assert (schemas["$user"]["entity_type"], schemas["$user"]["tags"]) == ("profile", None)
    properties = {row["property"]: row for row in rows("lexicon_properties")}
    assert properties.keys() == {"amount", "sku"}
    assert (properties["amount"]["types"], properties["amount"]["description"]) == (["number"], "in cents")
    assert (properties["amount"]["display_name"], properties["amount"]["hidden"]) == ("Amount", False)
    assert properties["sku"]["types"] == ["string"]


def test_annotations_are_at_a_moment_of_the_projects_time(client: Mixpanel, snapshots: Take) -> None:
    release = client.annotations.create_tag("release")
    client.annotations.create_annotation(datetime(2026, 3, 1, 12, tzinfo=UTC), "New checkout", [release.id])
    notes = snapshots("annotations")
    assert notes.run("mixpanel/catalogue/annotations").success
    assert notes.run("mixpanel/catalogue/annotation_tags").success
    (note,) = rows("annotations")
    assert (note["description"], note["tags"]) == ("New checkout", ["release"])
    assert note["time"] == datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert rows("annotation_tags") == [{"tag_id": release.id, "name": "release", "has_annotations": True}]


def test_flags_come_with_their_rules_and_erasure_finds_their_testers(client: Mixpanel, snapshots: Take) -> None:
    on = FlagVariant(key="on", value=True, is_control=False, split=1)
    ruleset = FlagRuleSet(
        variants=[on], rollout=[FlagRollout(rollout_percentage=0.5)], test=FlagTesters(users={"anna-4711": "on"})
    )
    flag = NewFlag(name="New", key="new", context="distinct_id", serving_method="client", ruleset=ruleset, tags=["a"])
    made = client.feature_flags.create_flag(flag)
    client.feature_flags.delete_flag(made.id)
    assert snapshots("feature_flags").run("mixpanel/catalogue/feature_flags").success
    (found,) = rows("feature_flags")
    assert (found["flag_id"], found["key"], found["status"], found["variants"]) == (made.id, "new", "archived", ["on"])
    rules = json.loads(found["ruleset"])
    assert (rules["rollout"][0]["rollout_percentage"], rules["test"]["users"]) == (0.5, {"anna-4711": "on"})
    assert erase(Settings.load().lake, ["anna-4711"]).remaining == 0
    assert "anna-4711" not in str(rows("feature_flags"))


def test_what_mixpanel_adds_to_the_rules_of_flags_is_not_lost() -> None:
    variant = {"key": "on", "value": True, "is_control": False, "split": 1, "is_sticky": False, "colour": "red"}
    said = {"variants": [variant], "rollout": [], "holdout": {"percent": 5}}
    assert wire(typed(said, FlagRuleSet), with_unknown=True) == said


def test_experiments(client: Mixpanel, snapshots: Take) -> None:
    made = client.experiments.create_experiment(
        "Cart", ExperimentChanges(hypothesis="It sells", metrics=[{"event": "buy"}])
    )
    assert snapshots("experiments").run("mixpanel/catalogue/experiments").success
    (found,) = rows("experiments")
    assert (found["experiment_id"], found["name"], found["status"]) == (made.id, "Cart", "draft")
    assert (found["hypothesis"], json.loads(found["metrics"])) == ("It sells", [{"event": "buy"}])


class TestServiceAccounts:
    KEY = "mixpanel/catalogue/service_accounts"

    def check(self, result: dg.ExecuteInProcessResult) -> dg.AssetCheckEvaluation:
        (evaluation,) = [e for e in result.get_asset_check_evaluations() if e.check_name == EXPIRY]
        assert evaluation.severity is dg.AssetCheckSeverity.WARN
        return evaluation

    def test_members_of_the_project_without_a_secret(self, snapshots: Take, instance: dg.DagsterInstance) -> None:
        result = snapshots("service_accounts", warn_days=3).run(self.KEY)
        assert result.success
        (account,) = rows("service_accounts")
        assert (account["username"], account["role"]) == ("etl", "admin")
        assert abs(account["expires"] - (NOW + timedelta(days=20))) < timedelta(seconds=1)
        assert SECRET not in str(account) + "".join(map(str, instance.all_logs(result.run_id)))
        assert self.check(result).passed

    def test_a_check_warns_before_one_expires(self, snapshots: Take) -> None:
        evaluation = self.check(snapshots("service_accounts", warn_days=30).run(self.KEY))
        assert not evaluation.passed
        assert evaluation.description
        number = next(row["account_id"] for row in rows("service_accounts") if row["username"] == "etl")
        assert evaluation.description.startswith(f"account {number}: {NOW + timedelta(days=20):%Y-%m-%d}")
        assert "Create another account" in evaluation.description

    def test_all_accounts_of_the_organization(self, mixpanel: Sandbox, client: Mixpanel, snapshots: Take) -> None:
        organization = mixpanel.projects[0].organization_id
        made = client.service_accounts.create_service_account(organization, "elsewhere")
        result = snapshots("service_accounts", organization_id=organization).run(self.KEY)
        assert result.success
        found = {row["account_id"]: row for row in rows("service_accounts")}
        assert len(found) == 2
        assert found[made.id]["expires"] is None
        assert made.token.get_secret_value() not in str(found)


def test_lookup_tables(snapshots: Take) -> None:
    assert snapshots("lookup_tables").run("mixpanel/catalogue/lookup_tables").success
    assert rows("lookup_tables") == [{"lookup_table_id": SKU, "name": "skus"}]


def test_pipelines_their_tasks_and_their_days(mixpanel: Sandbox, client: Mixpanel, snapshots: Take) -> None:
    mixpanel.clock.set(NOW, frozen=True)
    first = NOW.date() - timedelta(days=3)
    bucket = S3RawPipeline(
        from_date=first, frequency="daily", s3_bucket="b", s3_region="us-east-1", s3_role="arn:aws:iam::1:r"
    )
    (name,) = client.pipelines.create(bucket).pipeline_names
    mixpanel.clock.advance(timedelta(hours=2))
    mixpanel.set_pipeline_state(name, first, "failed")
    pipelines = snapshots("pipelines")
    for listing in ("pipelines", "pipeline_tasks", "pipeline_days"):
        assert pipelines.run(f"mixpanel/catalogue/{listing}").success
    (found,) = rows("pipelines")
    assert (found["pipeline"], found["frequency"]) == (name, "daily")
    tasks = rows("pipeline_tasks")
    states = Counter(task["state"] for task in tasks)
    assert states["failed"] >= 1
    assert {state: number for state, number in json.loads(found["tasks"]).items() if number} == states
    assert all(task["run_at"] for task in tasks)
    assert str(first) in {date.fromisoformat(row["day"][:10]).isoformat() for row in rows("pipeline_days")}


def test_warehouse_imports_and_their_runs(mixpanel: Sandbox, client: Mixpanel, snapshots: Take) -> None:
    mixpanel.set_next_runs(101, RunOutcome(events=1234, seconds=60))
    client.warehouse_connectors.manual_sync(101)
    mixpanel.clock.advance(timedelta(minutes=5))
    imports = snapshots("warehouse_imports")
    assert imports.run("mixpanel/catalogue/warehouse_imports").success
    assert imports.run("mixpanel/catalogue/warehouse_import_runs").success
    (found,) = rows("warehouse_imports")
    assert (found["import_id"], json.loads(found["table_params"])) == (101, {"table": "orders"})
    (run,) = rows("warehouse_import_runs")
    assert (run["import_id"], run["status"], run["rows"]) == (101, "SUCCEEDED", 1234)
    assert run["ended_at"] - run["started_at"] == timedelta(seconds=60)


def test_the_job_takes_all_of_a_project_that_has_nothing(
    mixpanel: Sandbox, instance: dg.DagsterInstance, snapshots: Take
) -> None:
    account = ServiceAccount("etl", SECRET, "admin")
    mixpanel.reset([Project(enforce_budgets=False, service_account=account)])
    catalogue = snapshots()
    job = catalogue.definitions.resolve_job_def("mixpanel_catalogue_job")
    today = catalogue.key_of_today("mixpanel/catalogue/annotations")
    assert job.execute_in_process(instance=instance, partition_key=today).success
    assert {name: len(rows(name)) for name in NAMES} == {**dict.fromkeys(NAMES, 0), "service_accounts": 1}


def test_one_that_mixpanel_refuses_fails_alone(
    mixpanel: Sandbox, instance: dg.DagsterInstance, snapshots: Take
) -> None:
    mixpanel.add_fault(Fault("*/annotations", "payment_required"))
    catalogue = snapshots("annotations", "lookup_tables")
    job = catalogue.definitions.resolve_job_def("mixpanel_catalogue_job")
    today = catalogue.key_of_today("mixpanel/catalogue/lookup_tables")
    result = job.execute_in_process(instance=instance, partition_key=today, raise_on_error=False)
    assert "annotations: 402 Payment Required" in failure_of(result)
    recorded = {event.asset_key.path[-1] for event in result.get_asset_materialization_events() if event.asset_key}
    assert recorded == {"annotation_tags", "lookup_tables"}


def test_every_column_is_described() -> None:
    for listing in listings(GROUPS):
        assert all(column.description for column in listing.columns), listing.name
        assert len(set(listing.descriptions)) == len(listing.columns)


def test_groups_are_switched_on_by_name(mixpanel: Sandbox) -> None:
    def keys(*groups: Group) -> set[str]:
        graph = MixpanelCatalogue(groups=groups).definitions().resolve_asset_graph()
        return {key.path[-1] for key in graph.get_all_asset_keys()}

    assert keys("lexicon") == {"lexicon_schemas", "lexicon_properties"}
    assert keys(*get_args(Group)) == set(NAMES)
