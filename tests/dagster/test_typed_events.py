"""Typed events as Dagster assets: from the lake's days and the Lexicon to tables, and the check for drift."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG
from dagster.components.testing import create_defs_folder_sandbox

from mixpanel_etl import MixpanelTypedEvents
from mixpanel_etl.client import Mixpanel, Schema, SchemaEntry, SchemaProperty
from mixpanel_etl.gdpr.erasure import erase
from mixpanel_etl.lake import EventsTable, Table, connect
from mixpanel_etl.pull import EventFilter, pull_events
from mixpanel_etl.pull.typed import typed_schema
from mixpanel_etl.sandbox import Fault, Sandbox
from mixpanel_etl.settings import Settings

DAYS = [date(2026, 1, 1) + timedelta(days=n) for n in range(3)]
LEXICON_TYPES = {list: "array", dict: "object", str: "string", bool: "boolean", int: "integer", float: "number"}
CHECKOUT = {"amount": "number", "is_member": "boolean", "coupon": "string"}


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def definitions(**attributes: Any) -> dg.Definitions:
    """Those of an instance in a folder of the name `typed`."""
    with create_defs_folder_sandbox() as project:
        path = project.scaffold_component(
            component_cls=MixpanelTypedEvents,
            defs_path="typed",
            defs_yaml_contents={"type": "mixpanel_etl.MixpanelTypedEvents", "attributes": attributes},
        )
        with project.load_component_and_build_defs(defs_path=path) as (_, found):
            return found


def run(
    found: dg.Definitions, instance: dg.DagsterInstance, first: date, last: date | None = None
) -> dg.ExecuteInProcessResult:
    return found.resolve_job_def("mixpanel__typed_job").execute_in_process(
        instance=instance,
        raise_on_error=False,
        tags={ASSET_PARTITION_RANGE_START_TAG: str(first), ASSET_PARTITION_RANGE_END_TAG: str(last or first)},
    )


def send(mixpanel: Sandbox, day: date, *events: tuple[str, dict[str, Any]]) -> None:
    """Events of a day into Mixpanel, and the day into the lake."""
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp()
    for n, (name, properties) in enumerate(events):
        known = {"time": noon, "distinct_id": f"person-4711{n}", "$insert_id": f"{day}-{n}"}
        mixpanel.load([json.dumps({"event": name, "properties": {**known, **properties}}).encode()])
    export(day)


def export(*days: date) -> None:
    with Mixpanel(Settings.load()) as client:
        list(pull_events(client, EventsTable(Settings.load().lake), days, EventFilter(), run_id="export"))


def describe(event: str, types: dict[str, str]) -> None:
    properties = {name: SchemaProperty(type=kind) for name, kind in types.items()}
    entry = SchemaEntry(entity_type="event", name=event, schema_json=Schema(properties=properties))
    with Mixpanel(Settings.load()) as client:
        client.lexicon.create_schemas([entry])


def rows(name: str, day: date) -> list[dict[str, Any]]:
    with connect(Settings.load().lake) as connection:
        found = connection.execute(f'SELECT * FROM events_typed."{name}" WHERE date = $1 ORDER BY insert_id', [day])
        columns = [column[0] for column in found.description or ()]
        return [dict(zip(columns, row, strict=True)) for row in found.fetchall()]


def metadata(result: dg.ExecuteInProcessResult, name: str) -> list[Any]:
    return [
        event.step_materialization_data.materialization.metadata[name].value
        for event in result.all_events
        if event.is_step_materialization
    ]


def of_run(result: dg.ExecuteInProcessResult) -> list[dg.AssetCheckEvaluation]:
    """The check's results for all days of the run, by the name of the event."""
    found = [each for each in result.get_asset_check_evaluations() if each.partition is None]
    return sorted(found, key=lambda each: each.asset_key.path[-1])


def test_an_event_is_a_table_with_the_columns_that_the_lexicon_declares(
    mixpanel: Sandbox, instance: dg.DagsterInstance
) -> None:
    describe("Check Out", CHECKOUT)
    send(
        mixpanel,
        DAYS[0],
        ("Check Out", {"amount": 3, "is_member": True, "extra": [1]}),
        ("Check Out", {"amount": "4", "is_member": "yes"}),
        ("other", {"amount": 5}),
    )
    result = run(definitions(events=["Check Out"]), instance, DAYS[0])
    assert result.success
    first, second = rows("check_out", DAYS[0])
    assert (first["distinct_id"], first["amount"], first["is_member"], first["coupon"]) == (
        "person-47110",
        3.0,
        True,
        None,
    )
    assert (second["amount"], second["is_member"]) == (None, None)
    assert '"extra":[1]' in first["other_properties"]
    assert '"amount":"4"' in second["other_properties"]
    assert metadata(result, "dagster/partition_row_count") == [2]
    assert metadata(result, "mixpanel_etl/values_that_do_not_fit") == [2]
    (materialization,) = result.asset_materializations_for_node("mixpanel__typed")
    unfit = materialization.metadata["mixpanel_etl/do_not_fit"]
    assert isinstance(unfit, dg.TableMetadataValue)
    assert [record.data["property"] for record in unfit.records] == ["amount", "is_member"]
    lineage = materialization.metadata["dagster/column_lineage"]
    assert isinstance(lineage, dg.TableColumnLineageMetadataValue)
    exported = dg.AssetKey(["mixpanel", "events"])
    assert lineage.value.deps_by_column["amount"] == [dg.TableColumnDep(exported, "properties")]
    assert lineage.value.deps_by_column["time"] == [dg.TableColumnDep(exported, "time")]


def test_the_check_tells_what_lexicon_and_data_disagree_about(mixpanel: Sandbox, instance: dg.DagsterInstance) -> None:
    describe("buy", CHECKOUT)
    describe("ok", {"amount": "number"})
    send(mixpanel, DAYS[0], ("buy", {"amount": "4", "is_member": True, "extra": 1}), ("ok", {"amount": 1}))
    result = run(definitions(events=["buy", "ok"]), instance, DAYS[0])
    buy, ok = of_run(result)
    assert not buy.passed
    assert buy.severity == dg.AssetCheckSeverity.WARN
    assert buy.metadata["undeclared"].value == ["extra"]
    assert buy.metadata["never_seen"].value == ["coupon"]
    assert buy.metadata["of_other_types"].value == ["amount"]
    assert ok.passed
    # One request for the schemas, one for the check, regardless of the number of events.
    assert sum(request.method == "GET" and "schemas" in request.path for request in mixpanel.requests) == 2


def test_the_check_alone_looks_at_the_days_of_the_lake(mixpanel: Sandbox, instance: dg.DagsterInstance) -> None:
    describe("buy", {"amount": "number"})
    found = definitions(events=["buy"], types_from="data")  # which spares requests: there are five a minute
    for day in DAYS[:2]:
        send(mixpanel, day, ("buy", {"amount": "4"}))
        assert run(found, instance, day).success
    job = dg.define_asset_job("look", selection=dg.AssetSelection.all_asset_checks())
    merged = dg.Definitions.merge(found, dg.Definitions(jobs=[job]))
    alone = merged.resolve_job_def("look").execute_in_process(instance=instance)
    (evaluation,) = of_run(alone)
    assert (evaluation.metadata["days"].value, evaluation.metadata["events"].value) == (2, 2)
    assert evaluation.metadata["of_other_types"].value == ["amount"]


def test_without_an_answer_from_mixpanel_the_check_warns_and_says_why(
    mixpanel: Sandbox, instance: dg.DagsterInstance
) -> None:
    send(mixpanel, DAYS[0], ("buy", {"amount": 4}))
    mixpanel.add_fault(Fault("*/schemas", "payment_required"))
    result = run(definitions(events=["buy"], types_from="data"), instance, DAYS[0])
    assert result.success
    (evaluation,) = of_run(result)
    assert not evaluation.passed
    assert "the Lexicon is not available" in str(evaluation.description)
    assert "check_drift: false" in str(evaluation.description)


def test_a_range_is_one_run_and_each_day_is_recorded(mixpanel: Sandbox, instance: dg.DagsterInstance) -> None:
    mixpanel.generate(600, DAYS[0], DAYS[2])
    export(*DAYS)
    found = definitions(events=["page view", "checkout"], types_from="data", check_drift=False)
    result = run(found, instance, DAYS[0], DAYS[2])
    assert result.success
    assert sum(metadata(result, "dagster/partition_row_count")) == sum(
        EventsTable(Settings.load().lake).scan().collect()["event_name"].is_in(["page view", "checkout"])
    )
    assert len(metadata(result, "dagster/uri")) == 6
    assert not any("schemas" in request.path for request in mixpanel.requests)


def test_with_the_types_of_the_data_columns_grow_wider_but_never_vanish(
    mixpanel: Sandbox, instance: dg.DagsterInstance
) -> None:
    send(mixpanel, DAYS[0], ("buy", {"amount": 3, "coupon": "x"}))
    send(mixpanel, DAYS[1], ("buy", {"amount": 3.5, "note": [1]}))
    found = definitions(events=["buy"], types_from="data", check_drift=False)
    assert run(found, instance, DAYS[0]).success
    assert run(found, instance, DAYS[1]).success
    (later,) = rows("buy", DAYS[1])
    assert (later["amount"], later["coupon"], later["note"]) == (3.5, None, "[1]")
    (earlier,) = rows("buy", DAYS[0])
    assert (earlier["amount"], earlier["coupon"], earlier["note"]) == (3.0, "x", None)


def test_what_cannot_be_typed_is_told_after_what_can_be(mixpanel: Sandbox, instance: dg.DagsterInstance) -> None:
    describe("known", {"a": "number"})
    send(mixpanel, DAYS[0], ("known", {"a": 1}), ("unknown", {"a": 1}))
    result = run(definitions(events=["unknown", "known"], check_drift=False), instance, DAYS[0])
    assert not result.success
    assert "has no schema of 'unknown'" in str(result.failure_data_for_node("mixpanel__typed"))
    assert len(rows("known", DAYS[0])) == 1
    key = dg.AssetKey(["mixpanel", "events_typed", "known"])
    assert instance.get_materialized_partitions(key) == {"2026-01-01"}
    assert not instance.get_materialized_partitions(dg.AssetKey([*key.path[:-1], "unknown"]))
    missing = run(definitions(events=["known"], check_drift=False), instance, DAYS[0], DAYS[1])
    assert not missing.success
    assert "materialize these days of mixpanel/events first" in str(missing.failure_data_for_node("mixpanel__typed"))
    assert "2026-01-02" in str(missing.failure_data_for_node("mixpanel__typed"))


def test_a_person_is_erased_from_typed_events_too(mixpanel: Sandbox, instance: dg.DagsterInstance) -> None:
    describe("buy", {"invited_by": "string", "$identified_id": "string"})
    send(
        mixpanel,
        DAYS[0],
        ("buy", {"n": 0}),
        ("buy", {"invited_by": "person-47110"}),
        ("buy", {"$identified_id": "person-47110"}),
        ("buy", {"friend": "person-47110"}),
    )
    assert run(definitions(events=["buy"], check_drift=False), instance, DAYS[0]).success
    done = erase(Settings.load().lake, ["person-47110"])
    assert done.remaining == 0
    assert done.tables["events_typed/buy"].rows_removed == 2
    kept = rows("buy", DAYS[0])
    assert [row["distinct_id"] for row in kept] == ["person-47111", "person-47113"]
    assert "person-47110" not in str(kept)
    # Made again from days without the person, it stays without.
    assert run(definitions(events=["buy"], check_drift=False), instance, DAYS[0]).success
    assert "person-47110" not in str(rows("buy", DAYS[0]))


def test_a_day_that_was_exported_again_is_typed_again(mixpanel: Sandbox, instance: dg.DagsterInstance) -> None:
    send(mixpanel, DAYS[0], ("buy", {"a": 1}))
    found = definitions(events=["buy"], types_from="data", check_drift=False)
    assert run(found, instance, DAYS[0]).success
    send(mixpanel, DAYS[0], ("buy", {"a": 1}), ("buy", {"a": 2}))
    assert run(found, instance, DAYS[0]).success
    assert [row["a"] for row in rows("buy", DAYS[0])] == [1, 2]


def test_all_days_that_the_export_brings_anew_are_asked_for(mixpanel: Sandbox, instance: dg.DagsterInstance) -> None:
    found = definitions(events=["buy"], types_from="data", check_drift=False)
    upstream = dg.AssetSpec(["mixpanel", "events"], partitions_def=dg.DailyPartitionsDefinition("2026-01-01"))
    merged = dg.Definitions.merge(found, dg.Definitions(assets=[upstream]))
    first = dg.evaluate_automation_conditions(merged, instance)
    assert first.total_requested == 0
    for day in DAYS:
        instance.report_runless_asset_event(dg.AssetMaterialization(upstream.key, partition=str(day)))
    second = dg.evaluate_automation_conditions(merged, instance, cursor=first.cursor)
    key = dg.AssetKey(["mixpanel", "events_typed", "buy"])
    assert second.get_requested_partitions(key) == {str(day) for day in DAYS}
    third = dg.evaluate_automation_conditions(merged, instance, cursor=second.cursor)
    assert third.total_requested == 0


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ({"events": []}, "events is empty"),
        ({"events": ["Sign Up", "sign-up"]}, "another `name`"),
        ({"events": ["登録"]}, "give it one with `name`"),
        ({"events": ["a"], "types_from": "guess"}, "types_from"),
    ],
)
def test_a_mistake_in_the_yaml_is_named_when_definitions_load(
    mixpanel: Sandbox, attributes: dict[str, Any], said: str
) -> None:
    with pytest.raises(Exception) as raised:  # noqa: PT011 - Dagster wraps it in its own
        definitions(**attributes)
    assert said in str(raised.value.__cause__)


def test_the_tables_stand_beside_their_export_in_the_lake(
    mixpanel: Sandbox, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    describe("登録", {"a": "number"})
    send(mixpanel, DAYS[0], ("登録", {"a": 1}))
    assert run(definitions(events=[{"event": "登録", "name": "sign_up"}]), instance, DAYS[0]).success
    assert Table(str(tmp_path / "lake"), "events_typed/sign_up", typed_schema([])).keys() == ["2026-01-01"]


def test_a_lake_on_s3_is_typed_like_one_on_disk(
    mixpanel: Sandbox, instance: dg.DagsterInstance, s3_lake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIXPANEL_LAKE", s3_lake)
    send(mixpanel, DAYS[0], ("buy", {"a": 1, "b": "x"}))
    assert run(definitions(events=["buy"], types_from="data", check_drift=False), instance, DAYS[0]).success
    (row,) = rows("buy", DAYS[0])
    assert (row["a"], row["b"], row["other_properties"]) == (1, "x", None)


def typed_values(name: str) -> dict[str, list[Any]]:
    """The properties' columns of all days, by SQL and by Polars, which agree."""
    lake = Settings.load().lake
    table = Table(lake, f"events_typed/{name}", typed_schema([]))
    frame = table.scan().sort("date", "insert_id").collect()
    own = [column for column in frame.columns if column not in {*typed_schema([]).names, "date"}]
    by_polars = {column: frame[column].to_list() for column in own}
    with connect(lake) as connection:
        order = f'FROM events_typed."{name}" ORDER BY date, insert_id'
        by_sql = {
            column: [value for (value,) in connection.sql(f'SELECT "{column}" {order}').fetchall()] for column in own
        }
    assert by_polars == by_sql
    return by_polars


@pytest.mark.parametrize("types_from", ["data", "lexicon"])
@pytest.mark.parametrize(
    "names",
    [
        ("username", "userName", "username"),
        ("user name", "user-name", "user_name"),
        ("mp_city", "$city", "mp_city"),
        ("größe", "GRÖSSE", "gr_e"),
        ("名a", "a", "a"),
        ("plan!", "plan", "plan"),
    ],
)
def test_a_column_keeps_the_property_that_it_had_first(
    mixpanel: Sandbox, instance: dg.DagsterInstance, types_from: str, names: tuple[str, str, str]
) -> None:
    first, newcomer, column = names
    found = definitions(events=["buy"], types_from=types_from, check_drift=False)
    describe("buy", {first: "string"})
    send(mixpanel, DAYS[1], ("buy", {first: "old"}))
    assert run(found, instance, DAYS[1]).success
    describe("buy", {first: "string", newcomer: "string"})
    # The newcomer is on a day before, alone on one after, and the first run's process is over.
    send(mixpanel, DAYS[0], ("buy", {first: "old", newcomer: "new"}))
    send(mixpanel, DAYS[2], ("buy", {newcomer: "new"}))
    for day in (DAYS[2], DAYS[0]):
        result = run(definitions(events=["buy"], types_from=types_from, check_drift=False), instance, day)
        assert result.success
    values = typed_values("buy")
    assert values[column] == ["old", "old", None]
    (other,) = set(values) - {column}
    assert values[other] == ["new", None, "new"]


def test_a_name_that_is_decided_outlives_the_files(mixpanel: Sandbox, instance: dg.DagsterInstance) -> None:
    found = definitions(events=["buy"], types_from="data", check_drift=False)
    send(mixpanel, DAYS[0], ("buy", {"username": "old"}))
    assert run(found, instance, DAYS[0]).success
    Table(Settings.load().lake, "events_typed/buy", typed_schema([])).remove(str(DAYS[0]))
    send(mixpanel, DAYS[1], ("buy", {"userName": "new"}))
    assert run(found, instance, DAYS[1]).success
    assert typed_values("buy")["username"] == [None]


def test_the_files_of_an_older_version_say_what_their_columns_hold(
    mixpanel: Sandbox, instance: dg.DagsterInstance
) -> None:
    found = definitions(events=["buy"], types_from="data", check_drift=False)
    send(mixpanel, DAYS[0], ("buy", {"username": "old"}))
    assert run(found, instance, DAYS[0]).success
    Table(Settings.load().lake, "events_typed/buy", typed_schema([])).storage.remove("_columns/events_typed/buy.json")
    send(mixpanel, DAYS[1], ("buy", {"userName": "new", "username": "old"}))
    assert run(found, instance, DAYS[1]).success
    assert typed_values("buy")["username"] == ["old", "old"]


@pytest.mark.parametrize(
    ("days", "read"),
    [
        (([1], "x"), ["[1]", "x"]),
        (("x", {"a": 1}), ["x", '{"a": 1}']),
        ((True, "x"), ["true", "x"]),
        ((2**53 + 1, 2.5), ["9007199254740993", "2.5"]),
        ((2.5, 2**53 + 1), ["2.5", "9007199254740993"]),
        ((7, 2.5), [7.0, 2.5]),
        ((7, "x", 2**53 + 1), ["7", "x", "9007199254740993"]),
    ],
)
def test_a_property_of_several_types_is_read_as_a_whole_and_without_a_loss(
    mixpanel: Sandbox, instance: dg.DagsterInstance, days: tuple[Any, ...], read: list[Any]
) -> None:
    for number, value in enumerate(days):
        describe("buy", {"p": LEXICON_TYPES[type(value)]})
        send(mixpanel, DAYS[number], ("buy", {"p": value}))
        assert run(definitions(events=["buy"], check_drift=False), instance, DAYS[number]).success
    assert typed_values("buy") == {"p": read}
