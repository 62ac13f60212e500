"""What a Dagster project needs for this package: settings of its instance, of its environment, a first component."""

from __future__ import annotations

from pathlib import Path

#: Settings of a Dagster instance: run queue, pools, monitoring, retries, retention.
DAGSTER_YAML = Path(__file__).parent / "dagster.yaml"
