"""The management APIs, to the sandbox and back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from mixpanel_etl.client import (
    BadRequest,
    CredentialError,
    Event,
    ExperimentChanges,
    FlagRollout,
    FlagRuleSet,
    FlagVariant,
    InvalidRequest,
    Mixpanel,
    MixpanelError,
    NewFlag,
    NotFound,
    Pipeline,
    PipelineChanges,
    ProjectRole,
    RunEvery,
    Schema,
    SchemaEntry,
    SchemaMetadata,
    SchemaProperty,
    VendorMetadata,
)
from mixpanel_etl.client.operations.catalogue import CATALOGUE

from .examples import EXAMPLES
from .examples.warehouses import PIPELINES
from .round_trips import World, covers
from .scripted import NOW

SCHEMA = Schema(description="A purchase", properties={"Amount": SchemaProperty(type="number", description="in cents")})


@covers("me")
def test_me_has_the_project(world: World) -> None:
    assert str(world.project.project_id) in world.mixpanel.me().results["projects"]


@covers("lexicon.list_schemas", "lexicon.create_schemas", "lexicon.list_schemas_of_type", "lexicon.get_schema")
@covers("lexicon.create_schema", "lexicon.delete_schema", "lexicon.delete_schemas_of_type", "lexicon.delete_schemas")
def test_schemas_live_and_die(world: World) -> None:
    lexicon = world.mixpanel.lexicon
    user = SchemaEntry(entity_type="profile", name="$user", schema_json=Schema())
    bought = SchemaEntry(entity_type="event", name="Purchase", schema_json=SCHEMA)
    assert lexicon.create_schemas([bought, user]).added == 2
    assert {entry.name for entry in lexicon.list_schemas()} == {"Purchase", "$user"}
    lexicon.create_schema("event", "Add / to cart", SCHEMA)
    assert {entry.name for entry in lexicon.list_schemas_of_type("event")} == {"Purchase", "Add / to cart"}
    assert lexicon.get_schema("event", "Add / to cart").properties["Amount"].description == "in cents"
    assert lexicon.delete_schema("event", "Add / to cart") == 1
    assert lexicon.delete_schemas_of_type("event") == 1
    assert lexicon.delete_schemas() == 1


@pytest.mark.parametrize("name", [".", ".."])
def test_a_schema_whose_name_would_become_another_path_is_not_deleted(world: World, name: str) -> None:
    world.mixpanel.lexicon.create_schemas([SchemaEntry(entity_type="event", name=name, schema_json=SCHEMA)])
    with pytest.raises(InvalidRequest, match="another path"):
        world.mixpanel.lexicon.delete_schema("event", name)
    assert len(world.mixpanel.lexicon.list_schemas()) == 1


def test_metadata_that_is_left_out_stays_and_none_removes_it(world: World) -> None:
    lexicon = world.mixpanel.lexicon

    def upload(**metadata: Any) -> None:
        lexicon.create_schema("event", "Purchase", Schema(metadata=VendorMetadata(mixpanel=SchemaMetadata(**metadata))))

    upload(display_name="Bought", tags=["core"])
    upload(hidden=True)
    stored = lexicon.get_schema("event", "Purchase").metadata
    assert stored
    assert stored.mixpanel
    assert (stored.mixpanel.display_name, stored.mixpanel.tags, stored.mixpanel.hidden) == ("Bought", ["core"], True)
    upload(display_name=None)
    stored = lexicon.get_schema("event", "Purchase").metadata
    assert stored
    assert stored.mixpanel
    assert not stored.mixpanel.display_name
    assert stored.mixpanel.tags == ["core"]


@covers("gdpr.create_deletion", "gdpr.get_deletion", "gdpr.cancel_deletion")
def test_a_deletion_can_be_cancelled_until_it_starts(world: World) -> None:
    gdpr = world.mixpanel.gdpr
    job = gdpr.create_deletion(["u1"])
    assert (gdpr.get_deletion(job).status, gdpr.get_deletion(job).distinct_ids) == ("PENDING", ["u1"])
    gdpr.cancel_deletion(job)
    assert gdpr.get_deletion(job).status == "REVOKED"
    started = gdpr.create_deletion(["u1"])
    world.sandbox.clock.advance(timedelta(hours=3))
    with pytest.raises(BadRequest, match=r"405 Method Not Allowed: .*can't be cancelled any more"):
        gdpr.cancel_deletion(started)


@covers("gdpr.create_retrieval", "gdpr.get_retrieval")
def test_what_was_retrieved_is_downloaded_without_our_credentials(world: World) -> None:
    world.mixpanel.ingestion.import_([Event("Visit", NOW, "u1", "v-1")])
    job = world.mixpanel.gdpr.create_retrieval(["u1"])
    assert not world.mixpanel.gdpr.get_retrieval(job).is_finished
    world.sandbox.clock.advance(timedelta(days=30))
    done = world.mixpanel.gdpr.get_retrieval(job)
    assert done.status == "SUCCESS"
    # The sandbox rejects a request for the file that has an Authorization header.
    with world.mixpanel.gdpr.download(done.link) as stream:
        assert b"".join(stream).startswith(b"PK")
    with pytest.raises(NotFound) as caught, world.mixpanel.gdpr.download(done.link + "x"):
        pass
    assert done.link not in str(caught.value)


@covers(
    "annotations.create_tag", "annotations.list_tags", "annotations.create_annotation", "annotations.get_annotation"
)
@covers("annotations.list_annotations", "annotations.update_annotation", "annotations.delete_annotation")
def test_annotations_live_and_die(world: World) -> None:
    annotations = world.mixpanel.annotations
    tag = annotations.create_tag("release")
    made = annotations.create_annotation(datetime(2026, 3, 1, 12, tzinfo=UTC), "New feature", [tag.id])
    assert made == annotations.get_annotation(made.id)
    assert [found.id for found in annotations.list_annotations(date(2026, 3, 1), date(2026, 3, 1))] == [made.id]
    assert [found.has_annotations for found in annotations.list_tags()] == [True]
    assert annotations.update_annotation(made.id, description="Other", tags=[]).description == "Other"
    annotations.delete_annotation(made.id)
    with pytest.raises(NotFound):
        annotations.get_annotation(made.id)


FLAG = NewFlag(
    name="New checkout",
    key="new_checkout",
    context="distinct_id",
    serving_method="remote_or_local",
    status="enabled",
    hash_salt="0123456789abcdef0123456789abcdef",
    ruleset=FlagRuleSet(
        variants=[
            FlagVariant(key="treatment", value=True, is_control=False, split=0.4),
            FlagVariant(key="control", value=False, is_control=True, split=0.6),
        ],
        rollout=[
            FlagRollout(
                rollout_percentage=0.9,
                runtime_evaluation_rule={"==": [{"var": "plan"}, "Pro"]},
                variant_splits={"treatment": 1.0, "control": 0.0},
            ),
            FlagRollout(rollout_percentage=0.7),
        ],
    ),
)


@covers("feature_flags.create_flag", "feature_flags.get_flag", "feature_flags.list_flags", "feature_flags.replace_flag")
@covers("feature_flags.delete_flag")
def test_flags_live_and_are_archived(world: World) -> None:
    flags = world.mixpanel.feature_flags
    made = flags.create_flag(FLAG)
    assert flags.get_flag(made.id) == made
    replaced = flags.replace_flag(made.id, NewFlag(**{**_fields(FLAG), "name": "Checkout", "status": "disabled"}))
    assert (replaced.name, replaced.status) == ("Checkout", "disabled")
    flags.delete_flag(made.id)
    assert flags.list_flags() == []
    assert [flag.id for flag in flags.list_flags(include_archived=True)] == [made.id]


@covers("feature_flags.evaluate", "feature_flags.definitions")
def test_variants_worked_out_here_are_those_that_are_given_there(world: World) -> None:
    flags = world.mixpanel.feature_flags
    flags.create_flag(FLAG)
    flags.create_flag(NewFlag(**{**_fields(FLAG), "key": "unsalted", "hash_salt": None}))
    definitions = flags.definitions()
    given = set()
    for number in range(60):
        who: dict[str, Any] = {"distinct_id": f"u{number}", "custom_properties": {"Plan": ("PRO", "free")[number % 2]}}
        there, here = flags.evaluate(**who), flags.evaluate_locally(definitions, **who)
        assert {key: variant.variant_key for key, variant in there.items()} == {
            key: variant.variant_key for key, variant in here.items()
        }
        given.add(tuple(variant.variant_key for variant in here.values()))
    assert len(given) > 4, "the same for everybody proves nothing"


@covers("experiments.create_experiment", "experiments.get_experiment", "experiments.list_experiments")
@covers("experiments.update_experiment", "experiments.launch_experiment", "experiments.force_conclude_experiment")
@covers("experiments.decide_experiment", "experiments.archive_experiment", "experiments.unarchive_experiment")
@covers("experiments.delete_experiment")
def test_experiments_go_their_way(world: World) -> None:
    experiments = world.mixpanel.experiments
    made = experiments.create_experiment("Checkout", ExperimentChanges(hypothesis="It sells"))
    assert (made.status, experiments.get_experiment(made.id).hypothesis) == ("draft", "It sells")
    assert experiments.update_experiment(made.id, name="Cart").name == "Cart"
    assert experiments.launch_experiment(made.id).status == "active"
    assert experiments.force_conclude_experiment(made.id).status == "concluded"
    assert experiments.decide_experiment(made.id, success=True, message="It does").status == "success"
    experiments.archive_experiment(made.id)
    experiments.unarchive_experiment(made.id)
    assert [found.id for found in experiments.list_experiments()] == [made.id]
    experiments.delete_experiment(made.id)
    assert experiments.list_experiments() == []


@covers("service_accounts.create_service_account", "service_accounts.get_service_account")
@covers("service_accounts.list_service_accounts", "service_accounts.list_project_service_accounts")
@covers("service_accounts.add_to_projects", "service_accounts.remove_from_projects")
@covers("service_accounts.delete_service_account")
def test_a_service_account_opens_the_project_until_it_is_removed(
    world: World, connect: Callable[..., Mixpanel], caplog: pytest.LogCaptureFixture
) -> None:
    accounts, organization, project = (
        world.mixpanel.service_accounts,
        world.project.organization_id,
        world.project.project_id,
    )
    made = accounts.create_service_account(organization, "etl", expires=NOW + timedelta(days=90))
    secret = made.token.get_secret_value()
    for text in (repr(made), str(made), caplog.text):
        assert secret not in text
    assert accounts.get_service_account(organization, made.id).username == made.username
    assert made.id in [account.id for account in accounts.list_service_accounts(organization)]
    theirs = connect(service_account_username=made.username, service_account_secret=secret)
    with pytest.raises(MixpanelError):
        theirs.annotations.list_annotations()
    accounts.add_to_projects(organization, [made.id], [ProjectRole(project, "analyst")])
    assert theirs.annotations.list_annotations() == []
    assert {member.id: member.role for member in accounts.list_project_service_accounts()}[made.id] == "analyst"
    accounts.remove_from_projects(organization, {project: [made.id]})
    accounts.delete_service_account(organization, made.id)
    with pytest.raises(NotFound):
        accounts.get_service_account(organization, made.id)


@covers(
    "warehouse_connectors.create_event_stream",
    "warehouse_connectors.create_people",
    "warehouse_connectors.create_groups",
    "warehouse_connectors.get_import",
)
@covers(
    "warehouse_connectors.create_lookup_table",
    "warehouse_connectors.list_imports",
    "warehouse_connectors.update_import",
    "warehouse_connectors.delete_import",
)
def test_imports_live_and_die(world: World) -> None:
    warehouse, table = world.mixpanel.warehouse_connectors, {"table": "t"}
    made = [
        warehouse.create_event_stream(5, table, "ts", "time_based", event_name="A", insert_time_column_name="loaded"),
        warehouse.create_people(5, table, "user_id", "full_sync"),
        warehouse.create_groups(5, table, "company", "id", "mirror_mode"),
        warehouse.create_lookup_table(5, table, "sku", "id", "one_time"),
    ]
    assert [found.import_type for found in made] == ["event_stream", "people", "groups", "lookup_table"]
    assert {found.id for found in warehouse.list_imports()} == {found.id for found in made}
    changed = warehouse.update_import(made[0].id, paused=True, run_every=RunEvery.WEEKLY)
    assert (changed.paused, changed.run_every) == (True, RunEvery.WEEKLY)
    assert warehouse.get_import(made[0].id).time_column_name == "ts"
    warehouse.delete_import(made[0].id)
    with pytest.raises(NotFound):
        warehouse.get_import(made[0].id)


@covers("warehouse_connectors.manual_sync", "warehouse_connectors.history")
def test_a_triggered_run_appears_in_the_history(world: World) -> None:
    warehouse = world.mixpanel.warehouse_connectors
    made = warehouse.create_people(5, {"table": "t"}, "user_id", "full_sync", run_every=RunEvery.API)
    assert warehouse.manual_sync(made.id)
    assert [(run.status, run.started_at) for run in warehouse.history(made.id)] == [("RUNNING", NOW)]
    world.sandbox.clock.advance(timedelta(days=1))
    (run,) = warehouse.history(made.id)
    assert run.status == "SUCCEEDED"
    assert run.ended_at
    assert run.ended_at > NOW


@covers("pipelines.create", "pipelines.jobs", "pipelines.pause", "pipelines.resume", "pipelines.edit")
@covers("pipelines.status", "pipelines.timeline", "pipelines.cancel")
@pytest.mark.parametrize("pipeline", PIPELINES, ids=lambda pipeline: pipeline.type)
def test_a_pipeline_of_each_type_lives_and_dies(world: World, pipeline: Pipeline) -> None:
    pipelines, project = world.mixpanel.pipelines, str(world.project.project_id)
    (name,) = pipelines.create(pipeline).pipeline_names
    assert [job.name for job in pipelines.jobs()[project]] == [name]
    world.sandbox.clock.advance(timedelta(days=3))
    tasks = pipelines.status(name)
    assert {task.name for group in tasks.values() for task in group} == {name}
    assert sum(map(int, pipelines.status_summary(name).values())) == sum(map(len, tasks.values()))
    assert pipelines.status(name, ["failed"]).keys() == {"failed"}
    assert pipelines.timeline(name)
    pipelines.pause(name)
    pipelines.resume(name)
    pipelines.edit(name, PipelineChanges(events=["Login", "Sign up"]))
    pipelines.cancel(name)
    assert pipelines.jobs()[project] == []


IN_THE_HEADER = [name for name in CATALOGUE if CATALOGUE[name].credentials_in == "header"]


@pytest.mark.parametrize("name", IN_THE_HEADER)
def test_wrong_credentials_are_a_credential_error(connect: Callable[..., Mixpanel], name: str) -> None:
    mixpanel = connect(service_account_secret="wrong", oauth_token="wrong")
    with pytest.raises(CredentialError):
        EXAMPLES[name].call(mixpanel)


def _fields(flag: NewFlag) -> dict[str, Any]:
    return {name: getattr(flag, name) for name in flag.__struct_fields__}
