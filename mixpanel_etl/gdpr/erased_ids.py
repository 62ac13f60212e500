"""The ids of an erasure, in plain: found in strings without parsing each of them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc

from mixpanel_etl.lake.json_tokens import ESCAPED_PLAIN
from mixpanel_etl.lake.person_columns import ANYWHERE, Places, looks_like_an_id, number_looks_like_an_id
from mixpanel_etl.lake.person_rows import Persons

if TYPE_CHECKING:
    import polars as pl

#: An id is looked for by its longest part of characters that no library escapes in JSON, if that is long enough.
_NEEDLE = 4
_PLAIN = re.compile(r"[A-Za-z0-9 !#$%()*,\-.:;?@\[\]^_{|}~]+")
_NAMES = r"(?i:distinct|device|user|identity|identified|anon|alias)[\w $-]*\\*\x22\s*:\s*"
#: A value under a name that may be a person's; of a list all that follows, as its end is not worth finding.
_NAMED = _NAMES + r"(?s:\[.*|[^,{}]*)"
_BEFORE = r"(?s:\[.*?)?\\*\x22?"
_WORD = r"[\pL\pN]+"
#: A number that is written otherwise than an id is.
_EXPONENT = r"[:,\[]\s*[0-9]+(?:\.[0-9]+)?[eE]\+?[0-9]"
#: Ids in one regular expression: those of several hundred would not fit.
_AT_ONCE = 20


class Ids(Persons):
    """The ids of one person, or of several, and how they look in columns and JSON.

    Args:
        ids: at least one, none empty.

    Raises:
        ValueError: an empty id, or none.
    """

    def __init__(self, ids: Iterable[str]) -> None:
        self.all = frozenset(ids)
        if not self.all or "" in self.all:
            raise ValueError("give at least one id, and no empty one: an empty id is everybody's")
        self._array = pa.array(sorted(self.all), pa.string())
        self._telling = frozenset(filter(looks_like_an_id, self.all))

    def __contains__(self, text: object) -> bool:
        return text in self.all

    def among(self, text: pl.Series, *, anyhow: bool, quoted: bool) -> Collection[str]:  # noqa: ARG002
        if not quoted:
            numbers = self.all | self._rounded
            return numbers if anyhow else list(filter(number_looks_like_an_id, numbers))
        return self.all if anyhow else self._telling

    def in_columns(self, table: pa.Table) -> bool:
        """Whether one of the ids is a value of the table's columns."""
        return any(bool(pc.any(pc.is_in(column, self._array)).as_py()) for column in table.columns)

    def blank(self, text: str, places: Places = ANYWHERE) -> str:
        """A JSON text with `[erased]` instead of the ids."""
        return super().blank(text, places) if self.perhaps_in(text, places) else text

    def perhaps_in(self, text: str, places: Places = ANYWHERE) -> bool:
        """Whether a text is worth a closer look; False is certain."""
        import polars as pl

        return bool(self.candidates(pl.Series([text], dtype=pl.String), places)) or self.as_word_in(text)

    def as_word_in(self, text: str) -> bool:
        """Whether one of the ids stands in a text between characters that are not part of an id, also URL-encoded."""
        strings = [text, *([unquote(text)] if "%" in text else [])]
        return any(one in each and re.search(_as_word(one), each) for each in strings for one in self._telling)

    def candidates(self, text: pl.Series, places: Places = ANYWHERE) -> list[tuple[int, str]]:
        import polars as pl

        if self.all != self._telling and (places.keys or places.segments):  # what the expressions below know nothing of
            present = text.is_not_null().arg_true()
            return list(zip(present.to_list(), text.gather(present).to_list(), strict=True))
        found = _matching(text, self._spelled)
        if len(self._needles) > _AT_ONCE:
            found |= text.str.contains_any(self._needles).fill_null(False)
        elif self._needles:  # alternatives in one regular expression are found several times faster
            found |= _matching(text, ["|".join("".join(map(_plainly, needle)) for needle in self._needles)])
        escaped = (text.str.contains("\\u00", literal=True).fill_null(False) & ~found).arg_true()
        if len(escaped):
            found = found.scatter(escaped.filter(_matching(text.gather(escaped), [ESCAPED_PLAIN])), True)
        if self._words:
            rows = pl.DataFrame({"row": pl.arange(len(text), eager=True), "text": text}).filter(~found)
            named = rows.with_columns(pl.col("text").str.extract_all(_NAMED)).explode("text").drop_nulls()
            words = named.with_columns(pl.col("text").str.extract_all(_WORD)).explode("text")
            found = found.scatter(words.filter(pl.col("text").is_in(list(self._words)))["row"].unique(), True)
        numbers = found.arg_true()
        return list(zip(numbers.to_list(), text.gather(numbers).to_list(), strict=True))

    @cached_property
    def _rounded(self) -> frozenset[str]:
        """Long numbers as a column of doubles has them."""
        numbers = (text for text in self.all if text.isascii() and text.isdigit() and len(text) < 300)
        return frozenset(str(int(float(text))) for text in numbers)

    @cached_property
    def _needles(self) -> list[str]:
        found = {needle for text in self._telling if len(needle := _needle(text)) >= _NEEDLE}
        if len(found) > _AT_ONCE:
            return sorted(found)
        return sorted(one for one in found if not any(other in one for other in found - {one}))

    @cached_property
    def _words(self) -> frozenset[str]:
        """Ids that look like other values: they are looked for behind names of persons only."""
        return frozenset(text for text in self.all - self._telling if text.isascii() and text.isalnum())

    @cached_property
    def _spelled(self) -> list[str]:
        """Regular expressions for the ids that are found in no other way, however they are escaped."""
        rest = sorted(
            text for text in self.all - self._words if text not in self._telling or len(_needle(text)) < _NEEDLE
        )
        found = [_spellings(text) if text in self._telling else _NAMES + _BEFORE + _spellings(text) for text in rest]
        found += [_EXPONENT] if any(map(str.isdigit, self.all)) else []
        return ["|".join(found[n : n + _AT_ONCE]) for n in range(0, len(found), _AT_ONCE)]


def _matching(text: pl.Series, patterns: list[str]) -> pl.Series:
    import polars as pl

    found = pl.repeat(False, len(text), dtype=pl.Boolean, eager=True)
    for pattern in patterns:
        found |= text.str.contains(pattern).fill_null(False)
    return found


def _as_word(text: str) -> str:
    return rf"(?<![\w-])(?<!\w[.@+|]){re.escape(text)}(?![\w-]|[.@+|]\w)"


def _needle(text: str) -> str:
    return max(_PLAIN.findall(text), key=len, default="")


def _spellings(text: str) -> str:
    return "".join(map(_spelling, text))


def _plainly(character: str) -> str:
    """A character in a regular expression."""
    return character if character.isalnum() or ord(character) > 127 else rf"\x{ord(character):02x}"


def _spelling(character: str) -> str:
    """A character as itself or as JSON may escape it, in a string within any number of strings."""
    if character == "\ufffd":  # stands for half of a surrogate pair, too
        return rf"(?:{character}|\\+u[0-9a-fA-F]{{4}})"
    units = character.encode("utf-16-be", "surrogatepass").hex()
    escaped = "".join(rf"\\+u(?i:{units[n : n + 4]})" for n in range(0, len(units), 4))
    short = {"\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t"}.get(character)
    forms = [rf"\\*{_plainly(character)}", escaped, *([rf"\\+{short}"] if short else [])]
    return f"(?:{'|'.join(forms)})"
