"""The names that users import: listed, documented, and where the docs say."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

PUBLIC = (
    "mixpanel_etl",
    "mixpanel_etl.client",
    "mixpanel_etl.dagster",
    "mixpanel_etl.gdpr",
    "mixpanel_etl.lake",
    "mixpanel_etl.lexicon",
    "mixpanel_etl.push",
    "mixpanel_etl.sandbox",
)
REPOSITORY = Path(__file__).parents[2]
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]


@pytest.mark.parametrize("package", PUBLIC)
def test_every_listed_name_exists_and_is_documented(package: str) -> None:
    module = import_module(package)
    listed: list[str] = module.__all__
    assert len(listed) == len(set(listed))
    found = {name: getattr(module, name) for name in listed}
    owed = [name for name, value in found.items() if inspect.isclass(value) or inspect.isroutine(value)]
    assert [name for name in owed if not inspect.getdoc(found[name])] == []
    assert [name for name in listed if name.startswith("_")] == (["__version__"] if package == "mixpanel_etl" else [])


@pytest.mark.parametrize("package", PUBLIC)
def test_an_unknown_name_is_an_attribute_error_with_the_name(package: str) -> None:
    with pytest.raises(AttributeError, match=f"'{package}' has no attribute 'Nonsense'"):
        _ = import_module(package).Nonsense


def test_the_root_has_what_most_people_need() -> None:
    import mixpanel_etl

    needed = {"Lake", "Mixpanel", "Settings", "MixpanelEtlError", "__version__"}
    components = {name for name in mixpanel_etl.__all__ if name.startswith("Mixpanel")} - needed
    assert needed <= set(mixpanel_etl.__all__)
    assert len(components) == 11
    from mixpanel_etl.dagster import components as module

    assert all(getattr(mixpanel_etl, name) is getattr(module, name) for name in components)
    assert re.fullmatch(r"\d+\.\d+\.\d+", mixpanel_etl.__version__)


def imported() -> Iterator[tuple[str, str, str]]:
    """What the Python examples of the docs import: page, module and name."""
    for page in PAGES:
        for block in re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE):
            for node in ast.walk(ast.parse(block)):
                if isinstance(node, ast.ImportFrom) and str(node.module).startswith("mixpanel_etl"):
                    yield from ((page.name, str(node.module), alias.name) for alias in node.names)


def test_what_the_docs_import_can_be_imported_from_there() -> None:
    found = list(imported())
    assert len(found) > 10
    missing = [entry for entry in found if not hasattr(import_module(entry[1]), entry[2])]
    assert missing == []


def test_the_docs_import_from_the_public_packages() -> None:
    # The kinds of reports are beside each other.
    modules = {module for _, module, _ in imported()}
    assert modules <= {*PUBLIC, "mixpanel_etl.pull.reports"}
    assert all(name in import_module(module).__all__ for _, module, name in imported() if module in PUBLIC)
