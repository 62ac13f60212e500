"""Words that make readers stumble, and what to write instead.

python -m tests.docs.words              # what `make check` checks
python -m tests.docs.words mixpanel_etl/push
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
CHECKED = ("README.md", "CHANGELOG.md", "benchmarks", "dagster_home", "docs", "mixpanel_etl", "sql", "tests")
#: Mixpanel's own files; the words that Mixpanel's messages may have; the words that are looked for here.
EXCEPT = (ROOT / "tests/openapi/schemas", ROOT / "mixpanel_etl/quoting.py", ROOT / "tests/docs")
SUFFIXES = frozenset((".py", ".md", ".sql", ".yaml", ".toml", ".js", ".lark"))

#: What is found, and what to write instead.
WORDS: dict[str, str] = {
    # Actors and pronouns
    r"(?:nobody|nobody's|nobodys|noone)": "no user, no person, no one; or name what is missing",
    r"somebod(?:y|y's|ies)": "a user, a person, someone",
    r"who(?:so)?ever": "anyone who, the user who",
    r"what(?:so)?ever": "any, regardless of; or name the thing",
    r"none of which": "a sentence of its own",
    # Negative definitions
    r"(?<!there )(?<!There )(?:is|are) no (?!longer|more\b)\w+": "is not a; must be ... like ...",
    r"(?<!there )(?-i:(?:is|are) none)\b(?! of)": "is not a valid ...; does not exist",
    r"that there (?:is|are) not": "missing",
    r"what is no": "what is not a; non-...",
    # The field's words
    r"(?<!connection )refus(?:e|es|ed|ing|al|als)": "reject, rejected, rejection",
    r"dead[ _]letters?": "rejected rows",
    r"at fault": "wrong; rejected",
    r"moments?(?! later)(?<!at the moment)(?<!a moment)": "timestamp, time",
    r"texts": "strings",
    r"whole numbers?": "integer",
    r"mend(?:s|ed|ing)?": "fix",
    r"(?<!you )wish(?:es)?": "request",
    r"typing errors?": "typo",
    # Numbers and time
    r"so many": "this many; number of ...",
    r"for ever": "permanently",
    r"all the same": "anyway",
    r"anew": "again",
    # Figures of speech
    r"in silence|without a word": "without an error, unnoticed",
    r"of the same make": "with the same layout",
    r"worth following|let \w+ pass by": "say what happens",
    # Names in code
    r"told_plainly": "as_failure, exit_on_error",
    r"names_nobody|nobodys?_\w+": "reserved_id, redacted_logs",
    r"(?-i:_?MOST(?:_[A-Z_]+)?)": "MAX_...",
    r"what_mixpanel_said|_does_as_well|_beside": "error_text, _covers, _queued_behind",
    r"says_what_the_files_say|jobs_are_well|deadlines_are_kept|none_refused": (
        "matches_files, jobs_healthy, deadlines_met, no_rejected_rows"
    ),
}

_WORD = re.compile("|".join(rf"(?P<w{n}>(?<![\w$])(?:{word})(?!\w))" for n, word in enumerate(WORDS)), re.IGNORECASE)
_BETTER = list(WORDS.values())
_CODE = re.compile(r"`[^`]*`")
#: Fences of Markdown whose content is what a program prints.
_OUTPUT = ("```", "```text", "```console")


class Found(NamedTuple):
    """A word, where it is, and what is better."""

    place: str
    word: str
    better: str

    def __str__(self) -> str:
        return f"{self.place}: {self.word} -> {self.better}"


def found(path: Path) -> Iterator[Found]:
    """The words of a file. Of Markdown, neither what programs print nor what stands in backticks."""
    in_fence = is_output = False
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        said = line
        if path.suffix == ".md":
            if line.startswith("```"):
                is_output = not in_fence and line.strip() in _OUTPUT
                in_fence = not in_fence
                continue
            if in_fence and is_output:
                continue
            said = line if in_fence else _CODE.sub("``", line)
        for match in _WORD.finditer(said):
            which = int(str(match.lastgroup)[1:])
            yield Found(f"{_shown(path)}:{number}", match[0], _BETTER[which])


def files(names: tuple[str, ...]) -> Iterator[Path]:
    """The files below some files and folders, given relative to the repository, without `EXCEPT`."""
    for name in names:
        path = ROOT / name
        every = [path] if path.is_file() else sorted(path.rglob("*"))
        yield from (one for one in every if one.suffix in SUFFIXES and not any(map(one.is_relative_to, EXCEPT)))


def _shown(path: Path) -> Path:
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


def main(names: tuple[str, ...]) -> int:
    """Print the words of some files and folders; 1 when there are any."""
    words = [word for path in files(names) for word in found(path)]
    sys.stdout.writelines(f"{word}\n" for word in words)
    return bool(words)


if __name__ == "__main__":
    sys.exit(main(tuple(sys.argv[1:]) or CHECKED))
