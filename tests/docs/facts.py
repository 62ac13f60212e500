"""The anchors of docs/mixpanel-api.md, and who cites them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "mixpanel-api.md"
FOLDERS = ("mixpanel_etl", "tests", "sql", "benchmarks", "docs")
SUFFIXES = frozenset((".py", ".sql", ".lark", ".js", ".md", ".yaml", ".toml"))

_CITATION = re.compile(r"mixpanel-api\.md(#[a-z0-9-]+(?:, #[a-z0-9-]+)*)")
_HEADING = re.compile(r"^### (.+)$", re.MULTILINE)


class Citation(NamedTuple):
    """An anchor of the page that a file names."""

    place: str
    anchor: str


def anchors() -> list[str]:
    """The anchors of the page's third level."""
    return list(map(slug, _HEADING.findall(PAGE.read_text("utf-8"))))


def slug(heading: str) -> str:
    """The anchor of a heading, spelled as GitHub does."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def files() -> Iterator[Path]:
    """All files of the repository that may cite the page."""
    yield from (ROOT / name for name in ("README.md", "pyproject.toml", "Makefile"))
    for folder in FOLDERS:
        yield from (path for path in sorted((ROOT / folder).rglob("*")) if path.suffix in SUFFIXES)


def citations() -> Iterator[Citation]:
    """Every citation of the page in the repository."""
    for path in files():
        text = path.read_text("utf-8")
        for match in _CITATION.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            for anchor in re.findall(r"#([a-z0-9-]+)", match[1]):
                yield Citation(f"{path.relative_to(ROOT)}:{line}", anchor)
