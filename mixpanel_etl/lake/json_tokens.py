r"""Where a JSON text holds one of some ids, however they are spelled: `é`, `\u00e9`, inside a string that is JSON.

The text is read as tokens, not parsed: repeated keys, nesting without end and text that stops half-way hide nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterator
from typing import NamedTuple

from mixpanel_etl.lake.event_columns import replace_half_surrogates
from mixpanel_etl.lake.person_columns import (
    ANYWHERE,
    ID_PROPERTY_NAMES,
    Places,
    as_id,
    looks_like_an_id,
    number_looks_like_an_id,
)

#: What stands for an id that was taken out of a row of another person. It is never taken for an id itself.
ERASED = "[erased]"
#: Characters that no library escapes in JSON, or backslashes, as escapes anyway: keys and ids may hide in them.
ESCAPED_PLAIN = r"\\u00(?i:2[013-589ac-e]|3[0-9abf]|4[0-9a-f]|5[0-9a-f]|6[1-9a-f]|7[0-9a-e])"
#: A string that does not end goes on to the end of the text, so that each character is looked at once.
_TOKEN = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[{}\[\]]|[^\s"{}\[\]:,]+', re.DOTALL)
_COLON = re.compile(r"\s*:")


class Token(NamedTuple):
    """A string or number of a JSON text.

    Attributes:
        start: where it begins in the text.
        end: where it ends.
        value: the string, or the number as an id is written (`4711` for `4711.0`).
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
            yield Token(match.start(), match.end(), as_id(found), names[-1], depth, False)
        elif _COLON.match(text, match.end()):
            names[-1] = unquoted(found)
            yield Token(match.start(), match.end(), names[-1], "", depth, True)
        else:
            yield Token(match.start(), match.end(), unquoted(found), names[-1], depth, True)


def unquoted(string: str) -> str:
    """What a JSON string says; what cannot be read stays as it is written."""
    body = string[1:-1] if len(string) > 1 and string.endswith('"') else string[1:]
    if "\\" not in body:
        return body
    try:
        return replace_half_surrogates(json.loads(f'"{body}"', strict=False))
    except ValueError:
        return body


def looks_like_json(text: str) -> bool:
    """Whether a text can be JSON in which an id would be a string of its own."""
    return text.lstrip()[:1] in ("{", "[", '"')


def is_id(token: Token, ids: Container[str], places: Places = ANYWHERE) -> bool:
    """Whether a string or number is one of the ids, and stands where ids are or cannot be anything else."""
    tells = looks_like_an_id if token.quoted else number_looks_like_an_id
    return (
        (places.holds(token.name, token.value) or tells(token.value)) and token.value != ERASED and token.value in ids
    )


def hits(text: str, ids: Container[str], places: Places = ANYWHERE) -> Iterator[Token]:
    """Where a JSON text holds one of the ids: a whole string or number where ids belong, or what is clearly an id."""
    for token in tokens(text):
        if is_id(token, ids, places) or (
            token.quoted and looks_like_json(token.value) and any(hits(token.value, ids, places))
        ):
            yield token


def is_theirs(text: str, ids: Container[str], places: Places = ANYWHERE) -> bool:
    """Whether a JSON object names one of the ids as the person whom it is about."""
    return any(
        token.depth == 1 and (token.name in ID_PROPERTY_NAMES or token.name in places.keys)
        for token in hits(text, ids, places)
    )


def blanked(text: str, ids: Container[str], places: Places = ANYWHERE) -> str:
    """The text with `[erased]` in the place of the ids; everything else stays byte for byte."""
    parts, end = [], 0
    for token in hits(text, ids, places):
        inner = ERASED if is_id(token, ids, places) else blanked(token.value, ids, places)
        parts += [text[end : token.start], json.dumps(inner, ensure_ascii=False)]
        end = token.end
    return "".join([*parts, text[end:]])
