r"""Where a JSON text holds one of some ids, however they are spelled: `é`, `\u00e9`, inside a string that is JSON.

The text is read as tokens, not parsed: repeated keys, nesting without end and text that stops half-way hide nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from typing import NamedTuple

from mixpanel_etl.lake.columns import whole_characters
from mixpanel_etl.lake.identity import ID_PROPERTY_NAMES, names_a_person

#: What stands for an id that was taken out of a row of somebody else.
ERASED = "[erased]"
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]]|[^\s"{}\[\]:,]+', re.DOTALL)
_COLON = re.compile(r"\s*:")


class Token(NamedTuple):
    """A string or number of a JSON text.

    Attributes:
        start: where it begins in the text.
        end: where it ends.
        value: the string, or the number as it is written.
        name: the key whose value it is (or is in, for arrays); a key's own is the empty string.
        depth: 1 for the members of the outermost object.
        quoted: whether it is a string.
    """

    start: int
    end: int
    value: str
    name: str
    depth: int
    quoted: bool


def tokens(text: str) -> Iterator[Token]:
    """The strings and numbers of a JSON text, keys included."""
    names = [""]
    depth = 0
    for match in _TOKEN.finditer(text):
        found = match.group()
        if found in "{[":
            names.append(names[-1])
            depth += found == "{"
        elif found in "}]":
            depth -= found == "}"
            if len(names) > 1:
                names.pop()
        elif found[0] != '"':
            yield Token(match.start(), match.end(), found, names[-1], depth, False)
        elif _COLON.match(text, match.end()):
            names[-1] = unquoted(found)
            yield Token(match.start(), match.end(), names[-1], "", depth, True)
        else:
            yield Token(match.start(), match.end(), unquoted(found), names[-1], depth, True)


def unquoted(string: str) -> str:
    """What a JSON string says; what cannot be read stays as it is written."""
    if "\\" not in string:
        return string[1:-1]
    try:
        return whole_characters(json.loads(string, strict=False))
    except ValueError:
        return string[1:-1]


def looks_like_json(text: str) -> bool:
    """Whether a text can be JSON in which an id would be a string of its own."""
    return text.lstrip()[:1] in ("{", "[", '"')


def is_ordinary(distinct_id: str) -> bool:
    """Whether an id looks like any other value, as `12` or `anna`: it is then looked for where ids belong only."""
    short_number = distinct_id.isdigit() and len(distinct_id) < 10
    return short_number or (distinct_id.isalpha() and len(distinct_id) < 16)


def hits(text: str, ids: Collection[str]) -> Iterator[Token]:
    r"""Where a JSON text holds one of the ids: a whole string or key, or a number where ids belong."""
    for token in tokens(text):
        if token.value in ids:
            if names_a_person(token.name) or (token.quoted and not is_ordinary(token.value)):
                yield token
        elif token.quoted and looks_like_json(token.value) and any(hits(token.value, ids)):
            yield token


def is_theirs(text: str, ids: Collection[str]) -> bool:
    """Whether a JSON object names one of the ids as the person whom it is about."""
    return any(token.depth == 1 and token.name in ID_PROPERTY_NAMES for token in hits(text, ids))


def blanked(text: str, ids: Collection[str]) -> str:
    """The text with `[erased]` in the place of the ids; everything else stays byte for byte."""
    parts, end = [], 0
    for token in hits(text, ids):
        inner = blanked(token.value, ids) if token.value not in ids else ERASED
        parts += [text[end : token.start], json.dumps(inner, ensure_ascii=False)]
        end = token.end
    return "".join([*parts, text[end:]])
