"""A sandbox with the shop's events, and an environment that points the package at it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from mixpanel_etl.client import Mixpanel
from mixpanel_etl.demo.furnish import furnish, shop_project
from mixpanel_etl.demo.warehouse import shop_warehouse
from mixpanel_etl.init import DAGSTER_YAML
from mixpanel_etl.settings import Settings

if TYPE_CHECKING:
    from mixpanel_etl.sandbox import Sandbox

_DAYS = 250
_EVENTS = 300_000
ROOT = Path(".demo")


@contextmanager
def demo_project(root: Path) -> Iterator[tuple[Sandbox, date, date]]:
    """A sandbox with 250 days of events, and an environment in which the package uses it and `root`."""
    from mixpanel_etl.sandbox import Funnel, Insight, Sandbox

    last = datetime.now(UTC).date() - timedelta(days=1)
    first = last - timedelta(days=_DAYS - 1)
    home = root / "dagster_home"
    home.mkdir(parents=True, exist_ok=True)
    shutil.copy(DAGSTER_YAML, home)
    # Each sandbox begins with a fresh hour, so what an earlier one was asked does not count.
    (root / "budget.sqlite").unlink(missing_ok=True)
    shutil.rmtree(root / "lake" / "pushes", ignore_errors=True)  # nor has it what an earlier one was sent
    with Console().status(f"generating {_EVENTS:,} events, {first} to {last}"):
        sandbox = Sandbox([shop_project()]).start()
        sandbox.generate(_EVENTS, first, last)
    shop_warehouse(root / "shop.duckdb", last)
    # What people would have saved in Mixpanel's UI: the reports of `demo/defs/reports` ask for them.
    sandbox.save_report(Funnel(7509, "Purchases", ["page view", "add to cart", "checkout"], length=7))
    sandbox.save_report(Insight(42, "Sales", ["checkout"], on='properties["currency"]', last_days=90))
    os.environ |= {
        **sandbox.environment(),
        "MIXPANEL_LAKE": str(root / "lake"),
        "MIXPANEL_START_DATE": str(first),
        "MIXPANEL_BUDGET_URL": str(root / "budget.sqlite"),
        "MIXPANEL_WAREHOUSE_URL": f"duckdb:///{root / 'shop.duckdb'}",
        "DAGSTER_HOME": str(home),
    }
    os.chdir(root)  # a `.env` beside the user's own project is not the demo's
    try:
        with Mixpanel(Settings.load()) as mixpanel:
            furnish(sandbox, mixpanel, last)
        yield sandbox, first, last
    finally:
        sandbox.stop()
