"""Citations of the facts about Mixpanel's APIs lead somewhere, and every fact is there because code rests on it."""

from __future__ import annotations

import re
from pathlib import Path

from mixpanel_etl.client.operations.catalogue import CATALOGUE
from tests.docs.facts import ROOT, anchors, citations, files

# The documents that the page replaces: nobody outside can read them.
UNREADABLE = re.compile(r"api-facts|\b[Ss]pecification \d")


def test_every_citation_leads_to_an_anchor_of_the_page() -> None:
    known = set(anchors())
    wrong = [f"{citation.place}: #{citation.anchor}" for citation in citations() if citation.anchor not in known]
    assert wrong == []


def test_an_anchor_is_unique() -> None:
    assert sorted(set(anchors())) == sorted(anchors())


def test_every_anchor_is_cited_by_code() -> None:
    cited = {citation.anchor for citation in citations() if not citation.place.startswith(("docs/", "tests/"))}
    operations = {operation.source for operation in CATALOGUE.values()}
    assert sorted(set(anchors()) - cited - operations) == []


def test_a_citation_leads_to_a_document_that_the_repository_has() -> None:
    here = Path(__file__)
    lines = (
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in files()
        if path != here
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if UNREADABLE.search(line)
    )
    assert list(lines) == []
