"""The search for words finds them in prose and code, and leaves out what programs print."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.words import Found, files, found


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("Nobody knows.", "Nobody"),
        ("x is no number of an import", "is no number"),
        ("the moment of a day", "moment"),
        ("MOST_ROWS = 5", "MOST_ROWS"),
        ("a list of texts", "texts"),
    ],
)
def test_a_word_is_found(tmp_path: Path, text: str, word: str) -> None:
    path = tmp_path / "x.py"
    path.write_text(f"\n{text}\n")
    assert [one.word for one in found(path)] == [word]


@pytest.mark.parametrize("text", ["There is no schedule.", "at the moment", "a moment later", "is None", "most rows"])
def test_common_english_is_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.py"
    path.write_text(text)
    assert list(found(path)) == []


def test_markdown_may_quote_what_a_program_prints(tmp_path: Path) -> None:
    path = tmp_path / "x.md"
    path.write_text("```text\nnobody\n```\n`nobody`\n```yaml\nkey: nobody\n```\n")
    assert [one.place.rpartition(":")[2] for one in found(path)] == ["6"]


def test_a_finding_shows_what_is_better() -> None:
    assert str(Found("x.py:1", "anew", "again")) == "x.py:1: anew -> again"


def test_files_are_listed_except_those_with_words_of_mixpanel() -> None:
    names = [path.name for path in files(("mixpanel_etl",))]
    assert "settings.py" in names
    assert "quoting.py" not in names
