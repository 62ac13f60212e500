"""What the pages of docs/ show can be used: links lead somewhere, and YAML has the attributes that components have."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from dagster import Component

import mixpanel_etl
from mixpanel_etl.demo import definitions
from tests.docs.facts import ROOT, slug

pytestmark = pytest.mark.slow

PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
_LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
_PATH = re.compile(r"(?<![\w./<])((?:mixpanel_etl|tests|benchmarks|sql|docs|dagster_home)/[\w./-]+)")
#: Names that read like ours: a file of Mixpanel's, and keys of metadata.
_OTHERS = ("docs/.../export-methods.mdx", "mixpanel_etl/values_that_do_not_fit", "mixpanel_etl.persons")
_MODULE = re.compile(r"\bmixpanel_etl(?:\.\w+)+")
_PYTHON = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
_DAGSTER = re.compile(r"\b(mixpanel__\w+_(?:job|schedule|sensor|daily|weekly|monthly|apply|plan|refresh|snapshot))\b")
_YAML = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_links_lead_to_a_file_and_a_heading() -> None:
    wrong = [
        f"{page.name}: {file}#{anchor}"
        for page in PAGES
        for file, anchor in _LINK.findall(_prose(page))
        if not _exists(page.parent / file if file else page, anchor)
    ]
    assert wrong == []


def test_components_in_the_pages_have_attributes_that_exist() -> None:
    wrong = [f"{page.name}: {kind}: {error}" for page in PAGES for kind, error in _mistakes(page)]
    assert wrong == []


def test_files_and_folders_in_the_pages_exist() -> None:
    wrong = [
        f"{page.name}: {path}"
        for page in PAGES
        for path in _PATH.findall(_prose(page))  # blocks show a project of the reader's
        if path not in _OTHERS and not (ROOT / path.rstrip("./")).exists()
    ]
    assert wrong == []


def test_names_of_the_package_in_the_pages_can_be_imported() -> None:
    wrong = [
        f"{page.name}: {name}" for page in PAGES for name in (*_modules(page), *_imports(page)) if not _importable(name)
    ]
    assert wrong == []


def test_jobs_schedules_and_sensors_in_the_pages_are_those_of_the_demo() -> None:
    demo = definitions.defs().get_repository_def()
    known = {*demo.job_names}
    known |= {schedule.name for schedule in demo.schedule_defs}
    known |= {sensor.name for sensor in demo.sensor_defs}
    wrong = [
        f"{page.name}: {name}"
        for page in PAGES
        for name in _DAGSTER.findall(page.read_text("utf-8"))
        if name not in known
    ]
    assert wrong == []


def _modules(page: Path) -> Iterator[str]:
    yield from (name for name in _MODULE.findall(page.read_text("utf-8")) if name not in _OTHERS)


def _imports(page: Path) -> Iterator[str]:
    for text in _PYTHON.findall(page.read_text("utf-8")):
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("mixpanel_etl"):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _importable(name: str) -> bool:
    """Whether a dotted name leads to a module, or to something in one."""
    module, *names = name.split(".")
    found = importlib.import_module(module)
    for part in names:
        module = f"{module}.{part}"
        if not hasattr(found, part):
            try:
                importlib.import_module(module)
            except ModuleNotFoundError:
                return False
        found = getattr(found, part)
    return True


def _mistakes(page: Path) -> Iterator[tuple[str, str]]:
    for text in _YAML.findall(page.read_text("utf-8")):
        if "type: mixpanel_etl." not in text:
            continue
        try:
            shown = yaml.safe_load(text)
        except yaml.YAMLError as error:
            yield text.strip().splitlines()[0], str(error)
            continue
        component = getattr(mixpanel_etl, shown["type"].removeprefix("mixpanel_etl."))
        assert issubclass(component, Component)
        model = component.get_model_cls()
        assert model is not None
        try:
            model.model_validate(shown.get("attributes", {}))
        except ValueError as error:
            yield shown["type"], str(error)


def _exists(path: Path, anchor: str) -> bool:
    if not path.exists():
        return False
    headings = re.findall(r"^#+ (.+)$", _prose(path), re.MULTILINE) if anchor else []
    return not anchor or anchor in map(slug, headings)


def _prose(page: Path) -> str:
    """A page without its fenced blocks, in which `# ...` is a comment."""
    return re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
