"""What the pages of docs/ show can be used: links lead somewhere, and YAML has the attributes that components have."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import yaml
from dagster import Component

import mixpanel_etl
from tests.docs.facts import ROOT, slug

PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
_LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
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


def _mistakes(page: Path) -> Iterator[tuple[str, str]]:
    for text in _YAML.findall(page.read_text("utf-8")):
        if "type: mixpanel_etl." not in text:
            continue
        shown = yaml.safe_load(text)
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
