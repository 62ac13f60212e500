"""Small files other than tables: replies of Mixpanel, staged pages, snapshots, rejected rows; gzip or not."""

from __future__ import annotations

import codecs
import gzip
import json
import re
import zlib
from typing import Any

from mixpanel_etl.lake.errors import Unerasable
from mixpanel_etl.lake.json_tokens import ERASED, Token, hits, is_id, looks_like_json
from mixpanel_etl.lake.person_columns import ANYWHERE, Places, as_id, names_a_person
from mixpanel_etl.lake.person_rows import Persons

_GZIP = b"\x1f\x8b"
#: The name in the head of a gzip file that tells a reply to a report by person.
_BY_PERSON = b"by-person.json"
_GONE = object()
_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_MARKED = ("utf-8-sig", "utf-32", "utf-32", "utf-16", "utf-16")


def packed(content: bytes, places: Places = ANYWHERE) -> bytes:
    """A reply of Mixpanel as it is kept: gzip, whose head says whether the report is by person."""
    name = _BY_PERSON + b"\0" if places.segments else b""
    body = gzip.compress(content, mtime=0)
    return body[:3] + bytes([8 if name else 0]) + body[4:10] + name + body[10:]


def without(content: bytes, ids: Persons, places: Places = ANYWHERE) -> tuple[bytes | None, int]:
    """A file without what is about one of the ids.

    Of JSON go the entries of lists and objects that hold one, of JSON lines the lines, of other text the lines in which
    one stands as a word. In an entry that names another person the id becomes `[erased]`. Text is UTF-8, UTF-16 or
    UTF-32, gzip or not.

    Returns:
        The file as it is to be (None: nothing is left), and how many entries went; the very bytes when none did.

    Raises:
        Unerasable: the file is neither text nor intact: its content may be hidden, as in an archive.
    """
    is_packed = content.startswith(_GZIP)
    try:
        plain = gzip.decompress(content) if is_packed else content
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise Unerasable("damaged gzip") from error
    if is_packed and content[3] & 8 and content[10:].startswith(_BY_PERSON + b"\0"):
        places = Places(places.keys, segments=True)
    encoding = _encoding(plain)
    try:
        text = plain.decode(encoding)
    except UnicodeDecodeError as error:
        raise Unerasable("neither text nor Parquet") from error
    if not ids.perhaps_in(text, places):
        return content, 0
    kept, removed = _without(text, ids, places)
    if not removed:
        return content, 0
    if kept is None:
        return None, removed
    made = kept.encode(encoding, "surrogatepass")
    return packed(made, places) if is_packed else made, removed


def _encoding(content: bytes) -> str:
    """How a text is encoded: as its first bytes say, else UTF-16 when every other byte of its head is zero, or UTF-8.

    Raises:
        Unerasable: it has zeros elsewhere, which no text has.
    """
    for mark, encoding in zip(_MARKS, _MARKED, strict=True):
        if content.startswith(mark):
            return encoding
    if b"\0" not in content:
        return "utf-8"
    head = content[:4096]
    if len(content) % 2 == 0 and 0 not in head[::2] and head[1::2].count(0) * 4 > len(head):
        return "utf-16-le"
    if len(content) % 2 == 0 and 0 not in head[1::2] and head[::2].count(0) * 4 > len(head):
        return "utf-16-be"
    raise Unerasable("neither text nor Parquet")


def _without(text: str, ids: Persons, places: Places) -> tuple[str | None, int]:
    if not any(hits(text, ids, places)):
        return _without_lines(text, ids, places)
    try:
        return _pruned(text, ids, places)
    except (ValueError, RecursionError):
        return _without_lines(text, ids, places)


def _pruned(text: str, ids: Persons, places: Places, *, in_list: bool = False) -> tuple[str | None, int]:
    """A JSON text that holds an id, without what is about it; a line of several is as an item of a list.

    Raises:
        ValueError, RecursionError: it cannot be parsed.
    """
    pruned = _Pruned(ids, places)
    kept = pruned.value(json.loads(text), "", in_list=in_list)
    removed = max(pruned.removed, 1)  # none was counted when all of it goes, or a repeated key hid the id
    return None if kept is _GONE else _dumped(kept, text), removed


def _without_lines(text: str, ids: Persons, places: Places) -> tuple[str | None, int]:
    kept, removed = [], 0
    for line in _LINE.findall(text):
        if not any(hits(line, ids, places)):
            goes = ids.as_word_in(line) and not _is_json(line)
            left, gone = (None, 1) if goes else (line, 0)
        else:
            try:
                left, gone = _pruned(line, ids, places, in_list=True)
            except (ValueError, RecursionError):
                left, gone = None, 1
        removed += gone
        kept += [] if left is None else [left]
    return ("".join(kept) or None), removed


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _dumped(document: Any, like: str) -> str:
    end = like[len(like.rstrip("\r\n")) :]
    indent = 2 if "\n" in like.strip() else None
    separators = (", ", ": ") if '": ' in like else (",", ":")
    made = json.dumps(document, ensure_ascii=False, indent=indent, separators=None if indent else separators)
    if like.isascii() or any("\ud800" <= character <= "\udfff" for character in made):
        # Halves of surrogate pairs, which no encoding holds, are escaped as they were.
        made = json.dumps(document, indent=indent, separators=None if indent else separators)
    return made + end


class _Pruned:
    """A JSON value without the entries that hold one of the ids."""

    def __init__(self, ids: Persons, places: Places) -> None:
        self._ids = ids
        self._places = places
        self.removed = 0

    def value(self, value: Any, name: str, *, in_list: bool) -> Any:
        """What is left of a value that stands under a name; `_GONE` when it is about the person."""
        if isinstance(value, dict):
            return self._object(value, in_list=in_list)
        if isinstance(value, list):
            kept = [self.value(item, name, in_list=True) for item in value]
            if in_list and any(self._is_id(item, name) for item in value):
                return _GONE  # a row of a report, as ["an id", 3]
            self.removed += sum(item is _GONE for item in kept)
            return [item for item in kept if item is not _GONE]
        return _GONE if self._is_id(value, name) else value

    def _object(self, document: dict[str, Any], *, in_list: bool) -> Any:
        others = self._is_of_others(document)
        kept: dict[str, Any] = {}
        for name, value in document.items():
            if self._is_id(name, ""):
                self.removed += 1
                continue
            left = self.value(value, name, in_list=False)
            if left is not _GONE:
                kept[name] = left
            elif isinstance(value, dict) and name.lstrip("$") != "properties":
                self.removed += 1
            elif not others and (in_list or isinstance(value, dict) or self._names_a_person(name)):
                return _GONE
            else:
                self.removed += 1
                kept[name] = ERASED
        return kept

    def _is_of_others(self, document: dict[str, Any]) -> bool:
        """Whether an object names persons, and none of them is one of the ids."""
        named = [value for name, value in document.items() if self._names_a_person(name)]
        values = [item for value in named for item in (value if isinstance(value, list) else [value])]
        return any(isinstance(value, str | int) for value in values) and not any(
            self._is_id(value, "distinct_id") for value in values
        )

    def _names_a_person(self, name: str) -> bool:
        return names_a_person(name) or name in self._places.keys

    def _is_id(self, value: Any, name: str) -> bool:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            return False
        if isinstance(value, str):
            return is_id(Token(0, 0, value, name, 0, quoted=True), self._ids, self._places) or (
                looks_like_json(value) and any(hits(value, self._ids, self._places))
            )
        number = as_id(json.dumps(value))
        return is_id(Token(0, 0, number, name, 0, quoted=False), self._ids, self._places)
