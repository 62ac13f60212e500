"""`mixpanel-etl push`: what it shows, sends and rejects."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest
from typer.testing import CliRunner, Result

from mixpanel_etl.cli import app
from mixpanel_etl.demo.furnish import shop_project
from mixpanel_etl.demo.warehouse import shop_warehouse
from mixpanel_etl.sandbox import Fault, Project, Sandbox

LAST = datetime.now(UTC).date() - timedelta(days=1)


@pytest.fixture
def mixpanel_project() -> Project:
    return shop_project()


@pytest.fixture
def shop(mixpanel: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "shop.duckdb"
    shop_warehouse(path, LAST)
    monkeypatch.setenv("MIXPANEL_WAREHOUSE_URL", f"duckdb:///{path}")
    return path


def push(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["push", *arguments, "--module", "mixpanel_etl.demo.defs"])


def test_a_dry_run_shows_events_and_sends_nothing(mixpanel: Sandbox, shop: Path) -> None:
    result = push("orders", "--dry-run")
    assert result.exit_code == 0
    assert '"event": "Order placed"' in result.output
    assert "nothing was sent" in result.output
    assert not mixpanel.requests


def test_yesterday_is_pushed_when_no_day_is_named(mixpanel: Sandbox, shop: Path) -> None:
    result = push("orders")
    assert result.exit_code == 0
    assert len(mixpanel.deduplicated(LAST, LAST)) == 84  # until 20:00


def test_rejected_rows_end_the_command_with_1_and_are_sent_after_a_fix(mixpanel: Sandbox, shop: Path) -> None:
    with duckdb.connect(str(shop)) as connection:
        connection.execute("UPDATE orders SET customer_id = 'null' WHERE order_id = 100000")
    result = push("orders")
    assert result.exit_code == 1
    assert "placeholder id" in result.output
    assert "rejected/orders" in result.output
    with duckdb.connect(str(shop)) as connection:
        connection.execute("UPDATE orders SET customer_id = 'u1' WHERE order_id = 100000")
    mixpanel.clear_requests()
    assert push("orders", "--retry-rejected").exit_code == 0
    assert len(mixpanel.deduplicated(LAST, LAST)) == 84
    assert "orders has no rejected rows" in push("orders", "--retry-rejected").output


def test_profiles_of_users_and_groups_are_pushed(mixpanel: Sandbox, shop: Path) -> None:
    assert push("customers").exit_code == 0
    assert push("companies").exit_code == 0
    assert mixpanel.profiles()["u1"].properties["plan"] == "pro"
    assert mixpanel.group_profiles("company_id")["company-1"].properties["industry"] == "Software"


def test_rows_that_may_have_arrived_are_sent_again_by_a_flag_that_says_so_only(
    mixpanel: Sandbox, shop: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "points"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "points.sql").write_text("SELECT 'u1' AS id, 10 AS points")
    (folder / "defs.yaml").write_text(POINTS)
    sys.path.insert(0, str(tmp_path))
    try:
        mixpanel.add_fault(Fault("/engage", "truncated", count=1, after=3))  # applied, and the answer lost
        told = [
            CliRunner().invoke(app, ["push", "points", "--module", "points", *flags])
            for flags in ([], [], ["--retry-rejected"], ["--retry-rejected", "--retry-unconfirmed"])
        ]
    finally:
        sys.path.remove(str(tmp_path))
    assert [result.exit_code for result in told] == [1, 1, 1, 0]
    requests = [request for request in mixpanel.requests if request.path == "/engage"]
    assert len(requests) == 2
    assert mixpanel.profiles()["u1"].properties["points"] == 20


POINTS = """
type: mixpanel_etl.MixpanelPush
attributes:
  pushes:
    - name: points
      asset: {key: points}
      kind: users
      query: points.sql
      id: id
      properties: {$add: {points: points}}
"""


def test_a_lookup_table_is_shown_replaced_and_then_left_alone(mixpanel: Sandbox, shop: Path) -> None:
    shown = push("products", "--dry-run")
    assert '"category": "books"' in shown.output
    assert not mixpanel.requests
    assert push("products").exit_code == 0
    (table,) = shop_project().tables
    rows = {row["product_id"]: row for row in mixpanel.lookup_rows(table.id)}
    assert len(rows) == 200
    assert rows["p1"] == {"product_id": "p1", "title": "Product 1", "category": "garden", "price": 1.37}
    mixpanel.clear_requests()
    assert push("products").exit_code == 0
    assert not mixpanel.requests


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["order"], "pushes in mixpanel_etl.demo.defs: companies, customers, orders, products"),
        (["orders", "--from", "yesterday"], "YYYY-MM-DD"),
        (["orders", "--from", "2026-01-02", "--to", "2026-01-01"], "is before"),
    ],
)
def test_a_mistake_is_told_in_a_sentence(mixpanel: Sandbox, shop: Path, arguments: list[str], said: str) -> None:
    result = push(*arguments)
    assert result.exit_code == 1
    assert said in result.output


def test_a_warehouse_that_is_not_there_is_told_without_its_password(
    mixpanel: Sandbox, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIXPANEL_WAREHOUSE_URL", "postgresql://etl:hunter2@127.0.0.1:1/shop")
    result = push("orders")
    assert result.exit_code == 1
    assert "hunter2" not in result.output


def test_without_a_warehouse_the_variable_is_named_that_is_not_set(
    mixpanel: Sandbox, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MIXPANEL_WAREHOUSE_URL")
    result = push("orders", "--dry-run")
    assert result.exit_code == 1
    assert "MIXPANEL_WAREHOUSE_URL" in result.output
