"""Feature flags and experiments. Source: mixpanel-api.md#flag-evaluation, #flag-management, #experiments."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from mixpanel_etl.client import ExperimentChanges, FlagRollout, FlagRuleSet, FlagTesters, FlagVariant, NewFlag

from .example import Example

VARIANTS = [
    {"key": "control", "value": False, "is_control": True, "split": 0.5},
    {"key": "treatment", "value": True, "is_control": False, "split": 0.5},
]
ROLLOUT = {"rollout_percentage": 1.0, "variant_splits": {"control": 0.5}}
FLAG = {
    "id": "0e1bdd2a-8a5c-4f83-9d0c-0ed2ca0e1f3c",
    "name": "New Checkout",
    "key": "new_checkout",
    "status": "enabled",
    "project_id": 12345,
    "workspace_id": 67890,
    "context": "device_id",
    "ruleset": {"variants": VARIANTS, "rollout": [ROLLOUT], "test": {"users": {"qa": "treatment"}}},
    "serving_method": "server",
    "tags": [],
    "content_type": "feature-flags",
    "created": "2026-01-01T00:00:00Z",
    "modified": "2026-01-02T00:00:00Z",
    "creator_id": 1,
    "creator_name": None,
    "creator_email": None,
}
NEW = NewFlag(
    name="New Checkout",
    key="new_checkout",
    context="device_id",
    serving_method="server",
    ruleset=FlagRuleSet(
        variants=[FlagVariant(**variant) for variant in VARIANTS],  # type: ignore[arg-type]
        rollout=[FlagRollout(**ROLLOUT)],  # type: ignore[arg-type]
        test=FlagTesters(users={"qa": "treatment"}),
    ),
)
SENT = {
    "name": "New Checkout",
    "key": "new_checkout",
    "context": "device_id",
    "serving_method": "server",
    "ruleset": {
        "variants": [{**variant, "is_sticky": False} for variant in VARIANTS],
        "rollout": [ROLLOUT],
        "test": {"users": {"qa": "treatment"}},
    },
    "tags": [],
    "status": "disabled",
}
UUID = {"flag_id": FLAG["id"]}
OK = {"status": "ok", "results": FLAG}

EXPERIMENT = {"id": "e1", "name": "Checkout", "status": "draft", "variants": [], "can_view": True}
ONE = {"status": "ok", "results": EXPERIMENT}
ID = {"experiment_id": "e1"}


def is_the_flag(flag: Any) -> bool:
    return (flag.key, flag.ruleset.variants[1].value, flag["content_type"]) == ("new_checkout", True, "feature-flags")


def is_the_experiment(experiment: Any) -> bool:
    return (experiment.id, experiment.status, experiment["can_view"]) == ("e1", "draft", True)


def changed(**changes: Any) -> NewFlag:
    return NewFlag(**{**{name: getattr(NEW, name) for name in NEW.__struct_fields__}, **changes})


FLAGS = [
    Example(
        lambda mp: mp.feature_flags.evaluate("u1", device_id="d1", custom_properties={"plan": "pro"}),
        {"flags": {"dark": {"variant_key": "control", "variant_value": {"a": 1}, "experiment_id": "exp", "new": 1}}},
        lambda flags: flags["dark"].variant_value == {"a": 1} and flags["dark"]["new"] == 1,
        query={
            "token": "the-project-token",
            "context": '{"distinct_id":"u1","device_id":"d1","custom_properties":{"plan":"pro"}}',
        },
        bad=lambda mp: mp.feature_flags.evaluate(""),
        says="distinct_id is ''",
    ),
    Example(
        lambda mp: mp.feature_flags.definitions(),
        {"flags": [FLAG]},
        lambda flags: is_the_flag(flags[0]),
        query={"token": "the-project-token"},
    ),
    Example(
        lambda mp: mp.feature_flags.list_flags(include_archived=True),
        {"status": "ok", "results": [FLAG]},
        lambda flags: is_the_flag(flags[0]),
        query={"include_archived": "true"},
    ),
    Example(
        lambda mp: mp.feature_flags.create_flag(NEW),
        OK,
        is_the_flag,
        body=SENT,
        bad=lambda mp: mp.feature_flags.create_flag(changed(hash_salt="short")),
        says="hash_salt has 5 characters, not 32",
    ),
    Example(lambda mp: mp.feature_flags.get_flag(str(FLAG["id"])), OK, is_the_flag, path=UUID),
    Example(
        lambda mp: mp.feature_flags.replace_flag(str(FLAG["id"]), NEW),
        OK,
        is_the_flag,
        path=UUID,
        body=SENT,
        bad=lambda mp: mp.feature_flags.replace_flag("x", changed(key="")),
        says="key is ''",
    ),
    Example(lambda mp: mp.feature_flags.delete_flag(str(FLAG["id"])), {"status": "ok", "results": {}}, path=UUID),
    Example(
        lambda mp: mp.experiments.list_experiments(),
        {"status": "ok", "results": [EXPERIMENT]},
        lambda found: is_the_experiment(found[0]),
    ),
    Example(
        lambda mp: mp.experiments.create_experiment("Checkout", ExperimentChanges(hypothesis="It sells")),
        ONE,
        is_the_experiment,
        body={"name": "Checkout", "hypothesis": "It sells"},
        bad=lambda mp: mp.experiments.create_experiment("Checkout", ExperimentChanges(description="x" * 401)),
        says="description has 401 characters, the limit is 400",
        status=201,
    ),
    Example(lambda mp: mp.experiments.get_experiment("e1"), ONE, is_the_experiment, path=ID),
    Example(
        lambda mp: mp.experiments.update_experiment("e1", name="Other", tags=["a"]),
        ONE,
        is_the_experiment,
        path=ID,
        body={"name": "Other", "tags": ["a"]},
        bad=lambda mp: mp.experiments.update_experiment("e1"),
        says="nothing to change",
    ),
    Example(lambda mp: mp.experiments.delete_experiment("e1"), {"status": "ok", "results": {}}, path=ID),
    Example(lambda mp: mp.experiments.archive_experiment("e1"), {"status": "ok", "results": {}}, path=ID, body={}),
    Example(lambda mp: mp.experiments.unarchive_experiment("e1"), ONE, is_the_experiment, path=ID),
    Example(
        lambda mp: mp.experiments.decide_experiment("e1", success=False, variant="treatment"),
        ONE,
        is_the_experiment,
        path=ID,
        body={"success": False, "variant": "treatment"},
    ),
    Example(
        lambda mp: mp.experiments.force_conclude_experiment("e1", datetime(2026, 2, 1, tzinfo=UTC)),
        ONE,
        is_the_experiment,
        path=ID,
        body={"end_date": "2026-02-01T00:00:00Z"},
        bad=lambda mp: mp.experiments.force_conclude_experiment("e1", datetime(2026, 2, 1)),  # noqa: DTZ001
        says="time zone",
    ),
    Example(lambda mp: mp.experiments.launch_experiment("e1"), ONE, is_the_experiment, path=ID, body={}),
]
