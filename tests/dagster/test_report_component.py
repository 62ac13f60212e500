"""Reports from YAML: what a mistake is told like, and that what is right arrives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster.components.testing import create_defs_folder_sandbox

from mixpanel_etl import MixpanelReports
from mixpanel_etl.pull.reports import KINDS
from mixpanel_etl.sandbox import Sandbox

Load = Callable[..., dg.Definitions]
HEAD = """type: mixpanel_etl.MixpanelReports
attributes:
  reports:
"""


@pytest.fixture
def load(mixpanel: Sandbox) -> Load:
    """Loads the definitions of an instance of the component, given the list of its reports as text."""

    def load_reports(reports: str, script: str = "") -> dg.Definitions:
        with create_defs_folder_sandbox() as project:
            path = project.scaffold_component(component_cls=MixpanelReports)
            (path / "defs.yaml").write_text(HEAD + reports)
            if script:
                (path / "people.js").write_text(script)
            with project.load_component_and_build_defs(defs_path=path) as (_, definitions):
                return definitions

    return load_reports


def test_a_report_is_an_asset_with_a_documented_table_and_a_schedule(load: Load) -> None:
    definitions = load(
        """
    - name: signups
      kind: segmentation
      event: sign up
      on: properties["plan"]
      asset:
        owners: ["team:growth"]
        group_name: growth
    - name: people
      kind: jql
      script: people.js
      params: {least: 3}
      result: {people: integer}
""",
        script="function main() { return People().reduce(mixpanel.reducer.count()); }",
    )
    node = definitions.resolve_asset_graph().get(dg.AssetKey(["mixpanel", "reports", "signups"]))
    assert (node.group_name, node.owners) == ("growth", ["team:growth"])
    columns = node.metadata["dagster/column_schema"].columns
    assert all(column.description for column in columns)
    assert {"time", "segment", "value", "computed_at"} <= {column.name for column in columns}
    schedules = sorted(schedule.name for schedule in definitions.schedules or [])
    assert [name.split("_")[-2:] for name in schedules] == [["daily", "schedule"], ["snapshots", "schedule"]]


@pytest.mark.parametrize(
    ("reports", "line", "said"),
    [
        ("    - name: a\n      kind: funnels\n", 5, "give one of segmentation"),
        ("    - name: a\n      kind: segmentation\n", 4, "event is missing"),
        ("    - name: a b\n      kind: event_names\n", 4, "letters, digits and underscores"),
        ("    - name: a\n      kind: event_names\n    - name: a\n      kind: event_names\n", 6, "give another"),
        ("    - name: a\n      kind: segmentation\n      event: x\n      on: properties[plan]\n", 7, "expression"),
        ("    - name: a\n      kind: segmentation\n      event: x\n      limit: 3\n", 4, "without `on`"),
        ("    - name: a\n      kind: jql\n      script: nowhere.js\n", 6, "a .js file beside"),
        ("    - name: a\n      kind: insights\n      bookmark_id: x\n", 6, "bookmark_id is 'x'"),
        ("    - name: a\n      kind: event_names\n      asset: {partitions_def: x}\n", 6, "partitions follow from"),
    ],
    ids=["kind", "missing", "name", "twice", "expression", "contradiction", "script", "number", "partitions"],
)
def test_a_mistake_is_told_with_its_file_line_and_remedy(load: Load, reports: str, line: int, said: str) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - Dagster wraps it
        load(reports)
    told = _told(caught.value)
    assert said in told
    assert f"defs.yaml:{line}" in told


def test_all_mistakes_are_told_at_once(load: Load) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011
        load("    - name: a\n      kind: segmentation\n    - name: b\n      kind: funnel\n")
    told = _told(caught.value)
    assert "event is missing" in told
    assert "funnel_id is missing" in told


def _told(error: BaseException | None) -> str:
    """The message, and those of its causes."""
    told = ""
    while error is not None:
        told += f"{error}\n"
        error = error.__cause__ or error.__context__
    return told


def test_the_page_on_reports_begins_with_yaml_and_python_that_run(load: Load) -> None:
    page = (Path(__file__).parents[2] / "docs" / "reports.md").read_text()
    yaml = page.partition("```yaml\n")[2].partition("```")[0]
    definitions = load(yaml.partition("  reports:\n")[2])
    assert {key.path[-1] for key in definitions.resolve_asset_graph().get_all_asset_keys()} == {
        "purchases",
        "weekly_retention",
        "checkouts_by_country",
    }
    names: dict[str, Any] = {}
    exec(page.partition("```python\n")[2].partition("```")[0], names)
    assert names["defs"].resolve_asset_graph().has(dg.AssetKey(["mixpanel", "reports", "purchases"]))


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_on_reports_names_every_parameter_and_column_of_a_kind(kind: str) -> None:
    page = Path(__file__).parents[2] / "docs" / "reports.md"
    (line,) = [line for line in page.read_text().splitlines() if line.startswith(f"| `{kind}` |")]
    _, _, _, parameters, columns, _ = (cell.strip() for cell in line.split("|"))
    given = {name.strip("*") for name in parameters.split(", ") if name}
    assert given == set(KINDS[kind].model_fields) - {"lookback_partitions"}
    assert columns.split(", ") == [column.name for column in KINDS[kind].columns]
