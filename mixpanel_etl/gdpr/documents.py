"""Small files that are no tables: replies of Mixpanel, staged pages, snapshots, rejected rows; gzip or not."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

from mixpanel_etl.gdpr.matching import Ids
from mixpanel_etl.gdpr.tokens import ERASED, hits, is_ordinary, looks_like_json
from mixpanel_etl.lake.identity import names_a_person

_GZIP = b"\x1f\x8b"
_GONE = object()


class Unerasable(Exception):
    """A file of which nobody can say that the ids are not in it, as it cannot be read."""


def without(content: bytes, ids: Ids) -> tuple[bytes | None, int]:
    """A file without what is about one of the ids.

    Of JSON go the entries of lists and objects that hold one, of JSON lines the lines, of other text the lines in which
    one stands as a word. An id that an object merely mentions becomes `[erased]`.

    Returns:
        The file as it is to be (None: nothing is left), and how many entries went; the very bytes when none did.

    Raises:
        Unerasable: the file is no text, or a damaged one: what it holds may be hidden, as in an archive.
    """
    packed = content.startswith(_GZIP)
    try:
        text = (gzip.decompress(content) if packed else content).decode()
    except (UnicodeDecodeError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise Unerasable(str(error)) from error
    if not ids.perhaps_in(text):
        return content, 0
    kept, removed = _without(text, ids)
    if not removed:
        return content, 0
    if kept is None:
        return None, removed
    return gzip.compress(kept.encode(), mtime=0) if packed else kept.encode(), removed


def _without(text: str, ids: Ids) -> tuple[str | None, int]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return _without_lines(text, ids)
    if not any(hits(text, ids.all)):
        return text, 0
    pruned = _Pruned(ids)
    kept = pruned.value(document, "", in_list=False)
    removed = max(pruned.removed, 1)  # none was counted when all of it goes, or a repeated key hid the id
    return None if kept is _GONE else _dumped(kept, text), removed


def _without_lines(text: str, ids: Ids) -> tuple[str | None, int]:
    lines = text.splitlines(keepends=True)
    kept = [line for line in lines if not _line_holds(line, ids)]
    return ("".join(kept) or None), len(lines) - len(kept)


def _line_holds(line: str, ids: Ids) -> bool:
    if any(hits(line, ids.all)):
        return True
    return ids.as_word_in(line) and not _is_json(line)


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _dumped(document: Any, like: str) -> str:
    ascii_only = like.isascii()
    end = "\n" if like.endswith("\n") else ""
    if "\n" in like.strip():
        return json.dumps(document, ensure_ascii=ascii_only, indent=2) + end
    separators = (", ", ": ") if '": ' in like else (",", ":")
    return json.dumps(document, ensure_ascii=ascii_only, separators=separators) + end


class _Pruned:
    """A JSON value without the entries that hold one of the ids."""

    def __init__(self, ids: Ids) -> None:
        self._ids = ids
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
            elif in_list or isinstance(value, dict) or names_a_person(name):
                return _GONE
            else:
                self.removed += 1
                kept[name] = ERASED
        return kept

    def _is_id(self, value: Any, name: str) -> bool:
        if isinstance(value, str):
            if value in self._ids.all:
                return names_a_person(name) or not is_ordinary(value)
            return looks_like_json(value) and any(hits(value, self._ids.all))
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number and names_a_person(name) and json.dumps(value) in self._ids.all
