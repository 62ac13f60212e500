"""Pushes as assets, from YAML: what a run sends, records and checks, and how a mistake is reported."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG
from dagster.components.testing import create_defs_folder_sandbox

from mixpanel_etl import MixpanelPush
from mixpanel_etl.dagster.backfill import Backfill
from mixpanel_etl.dagster.push.assets import PushAsset, PushConfig
from mixpanel_etl.lake import ConfigurationError, Table
from mixpanel_etl.push.profile_mapping import ProfileMapping
from mixpanel_etl.push.query_push import QueryPush
from mixpanel_etl.push.rejected_rows import rejected_rows
from mixpanel_etl.sandbox import Fault, Project, Sandbox
from mixpanel_etl.settings import Settings

from ..conftest import FIRST

Load = Callable[..., dg.Definitions]
HEAD = "type: mixpanel_etl.MixpanelPush\nattributes:\n  pushes:\n"
ORDERS = """
    - name: orders
      asset: {key: mixpanel/orders, deps: [shop/orders]}
      kind: events
      query: orders.sql
      event: Order
      time: placed_at
      key: [id]
      distinct_id: customer
"""
TABLE = "8b0a3c9e-0d2c-4a47-9a35-0c2f5d1f7a11"
SQL = {
    "orders.sql": "SELECT id, placed_at, customer FROM orders WHERE placed_at >= $start AND placed_at < $end",
    "people.sql": "SELECT customer, count(*) AS orders FROM orders GROUP BY customer",
}


@pytest.fixture
def mixpanel_project() -> Project:
    return Project(
        enforce_budgets=False, timezone="Asia/Tokyo", group_keys=["company"], lookup_tables=[(TABLE, "customers")]
    )


@pytest.fixture
def shop(mixpanel: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A warehouse with 100 orders a day for ten days of UTC."""
    path = tmp_path / "shop.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            f"""
            SET TimeZone = 'UTC';
            CREATE TABLE orders AS
            SELECT i AS id, TIMESTAMPTZ '{FIRST}' + i * INTERVAL 864 SECONDS AS placed_at, 'u' || (i % 20) AS customer
            FROM range(1000) AS numbers(i)
            """
        )
    monkeypatch.setenv("MIXPANEL_WAREHOUSE_URL", f"duckdb:///{path}")
    return path


@pytest.fixture
def load(shop: Path) -> Load:
    """Loads the definitions of an instance of the component, given the list of its pushes in YAML."""

    def load_pushes(pushes: str = ORDERS) -> dg.Definitions:
        with create_defs_folder_sandbox() as project:
            path = project.scaffold_component(component_cls=MixpanelPush)
            (path / "defs.yaml").write_text(HEAD + pushes.lstrip("\n"))
            for name, sql in SQL.items():
                (path / name).write_text(sql)
            with project.load_component_and_build_defs(defs_path=path) as (_, definitions):
                return definitions

    return load_pushes


def run(definitions: dg.Definitions, instance: dg.DagsterInstance, key: str, **config: Any) -> Any:
    asset = dg.AssetKey(["mixpanel", key])
    days = {ASSET_PARTITION_RANGE_START_TAG: "2026-01-02", ASSET_PARTITION_RANGE_END_TAG: "2026-01-04"}
    return definitions.resolve_implicit_global_asset_job_def().execute_in_process(
        instance=instance,
        asset_selection=[asset],
        tags=days if key == "orders" else None,
        run_config={"ops": {f"mixpanel__{key}": {"config": config}}} if config else None,
        raise_on_error=False,
    )


def test_a_run_over_days_sends_each_day_of_project_time_and_records_it(
    mixpanel: Sandbox, load: Load, instance: dg.DagsterInstance
) -> None:
    result = run(load(), instance, "orders")
    assert result.success
    recorded = {
        event.materialization.partition: event.materialization.metadata
        for event in result.get_asset_materialization_events()
    }
    assert {day: metadata["mixpanel_etl/sent"].value for day, metadata in recorded.items()} == {
        "2026-01-02": 100,
        "2026-01-03": 100,
        "2026-01-04": 100,
    }
    first = min(event.time_ms for event in mixpanel.deduplicated(FIRST, FIRST + timedelta(days=5)))
    assert first == 1767280032000  # the first order after midnight in Tokyo, which is 15:00 UTC of the day before
    (check,) = result.get_asset_check_evaluations()
    assert check.passed


def test_a_rejected_row_fails_the_check_until_it_is_sent(
    mixpanel: Sandbox, load: Load, shop: Path, instance: dg.DagsterInstance
) -> None:
    with duckdb.connect(str(shop)) as connection:
        connection.execute("UPDATE orders SET customer = 'undefined' WHERE id IN (150, 151)")
    definitions = load()
    result = run(definitions, instance, "orders")
    assert result.success
    (check,) = result.get_asset_check_evaluations()
    assert not check.passed
    assert check.metadata["mixpanel_etl/rejected"].value == 2
    assert "placeholder id" in str(check.metadata["mixpanel_etl/reasons"].value)
    rejected = rejected_rows(Settings.load().lake, "orders").scan().collect()
    assert sorted(json.loads(row)["id"] for row in rejected["row"]) == [150, 151]
    with duckdb.connect(str(shop)) as connection:
        connection.execute("UPDATE orders SET customer = 'u1' WHERE id IN (150, 151)")
    again = run(definitions, instance, "orders", retry_rejected=True)
    assert again.success
    assert (
        sum(e.materialization.metadata["mixpanel_etl/sent"].value for e in again.get_asset_materialization_events())
        == 2
    )
    assert again.get_asset_check_evaluations()[0].passed
    assert len(mixpanel.deduplicated(FIRST, FIRST + timedelta(days=5))) == 300


def test_days_that_were_sent_before_a_failure_are_recorded(
    mixpanel: Sandbox, load: Load, instance: dg.DagsterInstance
) -> None:
    mixpanel.add_fault(Fault("/import", "unable_to_authenticate", skip=2))
    result = run(load(), instance, "orders")
    assert not result.success
    recorded = instance.get_materialized_partitions(dg.AssetKey(["mixpanel", "orders"]))
    assert recorded == {"2026-01-02", "2026-01-03"}


def test_the_command_line_backfills_a_push(mixpanel: Sandbox, load: Load, instance: dg.DagsterInstance) -> None:
    plan = Backfill(load(), "mixpanel/orders", instance)
    (days,) = plan.ranges(plan.days("2026-01-02", "2026-01-09"))
    assert plan.run(days).success
    assert len(mixpanel.deduplicated(FIRST, FIRST + timedelta(days=10))) == 800


def test_users_are_sent_when_they_change(
    mixpanel: Sandbox, load: Load, shop: Path, instance: dg.DagsterInstance
) -> None:
    people = """
    - name: people
      asset: {key: mixpanel/people}
      kind: users
      query: people.sql
      id: customer
      vanished: delete
"""
    definitions = load(people)
    assert run(definitions, instance, "people").success
    with duckdb.connect(str(shop)) as connection:
        connection.execute("DELETE FROM orders WHERE customer = 'u3' OR id = 4")
    result = run(definitions, instance, "people")
    (event,) = result.get_asset_materialization_events()
    assert event.materialization.metadata["mixpanel_etl/changed"].value == 1
    profiles = mixpanel.profiles()
    assert "u3" not in profiles
    assert {profiles["u4"].properties["orders"], profiles["u5"].properties["orders"]} == {49, 50}
    assert Table(Settings.load().lake, "pushes/people", rejected_rows("", "x").schema, column="snapshot").keys()


def test_a_lookup_table_is_replaced_when_it_changes_and_held_back_when_most_of_it_is_gone(
    mixpanel: Sandbox, load: Load, shop: Path, instance: dg.DagsterInstance
) -> None:
    definitions = load(f"""
    - name: people
      asset: {{key: mixpanel/people}}
      kind: lookup_table
      table: {TABLE}
      query: people.sql
      key: customer
      columns: [orders]
""")
    for replaced in (1, 0):
        result = run(definitions, instance, "people")
        (event,) = result.get_asset_materialization_events()
        assert event.materialization.metadata["mixpanel_etl/updates"].value == replaced
    assert {row["customer"]: row["orders"] for row in mixpanel.lookup_rows(TABLE)} == {f"u{n}": 50 for n in range(20)}
    with duckdb.connect(str(shop)) as connection:
        connection.execute("DELETE FROM orders WHERE customer > 'u1'")
    assert not run(definitions, instance, "people").success
    assert len(mixpanel.lookup_rows(TABLE)) == 20
    assert run(definitions, instance, "people", allow_shrink=True).success
    assert {row["customer"] for row in mixpanel.lookup_rows(TABLE)} == {"u0", "u1"}


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (
            "      kind: events",
            "      kind: event",
            "allowed: events, identities, users, groups, lookup_table, project",
        ),
        ("      time: placed_at", "      time: placed", "no column 'placed'"),
        ("      distinct_id: customer", "      nulls: skip", "id is missing"),
        ("      key: [id]", "      only_new: true", "key is missing"),
        ("      time: placed_at", "      event_column: id", "time is missing"),
        ("      key: [id]", "      key: [id]\n      nulls: drop", "nulls is 'drop'"),
        ("      key: [id]", "      key: [id]\n      only_new: sometimes", "must be true or false"),
        ("      key: [id]", "      key: [id]\n      max_rejected_rows: 1%", "must be an integer"),
        ("      query: orders.sql", "      query: nowhere.sql", "no such file"),
        ("      event: Order", "      evnt: Order", "unknown attribute evnt for kind events"),
        ("    - name: orders", "    - name: my orders", "letters, digits and underscores"),
    ],
)
def test_a_mistake_is_reported_with_its_file_line_and_remedy(load: Load, before: str, after: str, said: str) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - Dagster wraps it
        load(ORDERS.replace(before, after))
    told, error = "", caught.value
    while error is not None:
        told += f"{error}\n"
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    assert said in told
    assert "defs.yaml:" in told


class LoggedPush(MixpanelPush):
    """A team's own push."""

    def get_asset_spec(self, item: PushAsset) -> dg.AssetSpec:
        return super().get_asset_spec(item).merge_attributes(tags={"push": item.push.name})

    def execute(
        self, context: dg.AssetExecutionContext, item: PushAsset, config: PushConfig
    ) -> Iterator[dg.MaterializeResult[Any]]:
        yield from super().execute(context, item, config)
        context.log.info(f"sent by the team's own class: {item.push.name}")


def test_a_subclass_describes_its_asset_and_does_more_than_push(
    mixpanel: Sandbox, shop: Path, instance: dg.DagsterInstance
) -> None:
    people = QueryPush("people", SQL["people.sql"], ProfileMapping("customer"))
    component = LoggedPush(pushes=[PushAsset(dg.AssetSpec(["mixpanel", "people"]), people)])
    definitions = component.definitions()
    spec = definitions.resolve_asset_graph().get(dg.AssetKey(["mixpanel", "people"]))
    assert (spec.tags["push"], spec.group_name) == ("people", "mixpanel_push")
    result = run(definitions, instance, "people")
    assert "sent by the team's own class: people" in [entry.user_message for entry in instance.all_logs(result.run_id)]
    assert len(mixpanel.profiles()) == 20


def test_names_of_pushes_are_unique() -> None:
    people = QueryPush("people", SQL["people.sql"], ProfileMapping("customer"))
    with pytest.raises(ConfigurationError, match="two pushes have the name 'people'"):
        MixpanelPush(pushes=[PushAsset(dg.AssetSpec(key), people) for key in ("a", "b")])


def test_days_are_those_of_project_time() -> None:
    from zoneinfo import ZoneInfo

    from mixpanel_etl.dagster.push.assets import window_of

    start, end = window_of("2026-03-29", ZoneInfo("Europe/Berlin"))
    assert (end.timestamp() - start.timestamp()) / 3600 == 23
    assert (start.date(), end.date()) == (date(2026, 3, 29), date(2026, 3, 30))
