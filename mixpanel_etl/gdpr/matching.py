"""Which rows of a table hold one of a person's ids."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from mixpanel_etl.gdpr.tokens import ERASED, blanked, hits, is_ordinary, is_theirs, looks_like_json
from mixpanel_etl.lake.identity import names_a_person

if TYPE_CHECKING:
    import polars as pl

#: An id is looked for by its longest part of characters that no library escapes in JSON, if it has so many of them.
_NEEDLE = 4
_PLAIN = re.compile(r"[A-Za-z0-9 !#$%()*,\-.:;?@\[\]^_{|}~]+")
#: Such characters, or backslashes, as escapes all the same: in JSON within JSON they may hide further ones, so that
#: such a text is always read closely.
_NEEDLESS = r"\\u00(?i:2[013-589ac-e]|3[0-9abf]|4[0-9a-f]|5[0-9a-f]|6[1-9a-f]|7[0-9a-e])"
_NAMES = r"(?i:distinct|device|user|identity|identified|anon)\w*\\*\x22\s*:\s*"
#: A value under a name that may be a person's; of a list all that follows, as its end is not worth finding.
_NAMED = _NAMES + r"(?s:\[.*|[^,{}]*)"
_BEFORE = r"(?s:\[.*?)?\\*\x22?"
_WORD = r"[\pL\pN]+"
#: Ids in one regular expression: those of several hundred would not fit.
_AT_ONCE = 20
_BYTES = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary, pa.types.is_binary_view)
_HARMLESS = (pa.types.is_boolean, pa.types.is_temporal, pa.types.is_null)


class Rows(NamedTuple):
    """Of the rows of a table, by number: those that are the person's, and those of others that mention an id."""

    theirs: set[int]
    mentions: set[int]


class Ids:
    """The ids of one person, or of several, and how they look in columns and JSON.

    A value counts when it is one of the ids as a whole; parts of longer strings do not.

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
        self._telling = frozenset(text for text in self.all if not is_ordinary(text))

    def in_table(self, table: pa.Table) -> Rows:
        """The rows that hold one of the ids.

        In a table with columns that name persons, a row is theirs when one of these, or a property that Mixpanel
        resolves identities by, is one of the ids. In any other table each row that holds one is theirs.
        """
        theirs: set[int] = set()
        mentions: set[int] = set()
        has_persons = any(names_a_person(name) for name in table.column_names)
        for name, column in zip(table.column_names, table.columns, strict=True):
            if (text := as_text(name, column)) is None:
                continue
            equal = self._equal(text, self.all if names_a_person(name) or not has_persons else self._telling)
            # Nothing can be blanked in a column that is no text: such a row goes.
            found = theirs if names_a_person(name) or not _is_text(column.type) else mentions
            found.update(equal)
            for row, value in self._candidates(text):
                if row in theirs or not looks_like_json(value):
                    continue
                if is_theirs(value, self.all):
                    theirs.add(row)
                elif any(hits(value, self.all)):
                    found.add(row)
        if not has_persons:
            return Rows(theirs | mentions, set())
        return Rows(theirs, mentions - theirs)

    def in_columns(self, table: pa.Table) -> bool:
        """Whether one of the ids is a value of the table's columns."""
        return any(bool(pc.any(pc.is_in(column, self._array)).as_py()) for column in table.columns)

    def blanked(self, table: pa.Table, rows: Collection[int]) -> pa.Table:
        """The table with `[erased]` instead of the ids in some of its rows."""
        for number, (field, column) in enumerate(zip(table.schema, table.columns, strict=True)):
            if (text := as_text(field.name, column)) is None or not _is_text(field.type):
                continue
            values = text.to_list()
            for row in rows:
                if values[row] is not None:
                    values[row] = ERASED if values[row] in self._telling else self.blank(values[row])
            storage = field.type.storage_type if isinstance(field.type, pa.BaseExtensionType) else pa.string()
            array = pa.array(values, storage)
            if isinstance(field.type, pa.BaseExtensionType):
                array = pa.ExtensionArray.from_storage(field.type, array)
            table = table.set_column(number, field, array.cast(field.type))
        return table

    def blank(self, text: str) -> str:
        """A JSON text with `[erased]` instead of the ids."""
        return blanked(text, self.all) if self.perhaps_in(text) else text

    def scrub(self, text: str) -> str:
        """A file's metadata with `[erased]` instead of the ids, also where an expression or address quotes one."""
        text = self.blank(text)
        for one in self._telling:
            if one in text:
                text = re.sub(_as_word(one), ERASED, text)
        return text

    def perhaps_in(self, text: str) -> bool:
        """Whether a text is worth a closer look; False is certain."""
        return (
            any(needle in text for needle in self._needles)
            or any(re.search(one, text) for one in self._spelled)
            or bool(self._words and not self._words.isdisjoint(re.findall(r"[^\W_]+", text)))
            or ("\\u00" in text and bool(re.search(_NEEDLESS, text)))
        )

    def as_word_in(self, text: str) -> bool:
        """Whether one of the ids stands in a text between characters that are no part of an id."""
        return any(one in text and re.search(_as_word(one), text) for one in self._telling)

    def _equal(self, text: pl.Series, ids: Collection[str]) -> list[int]:
        return text.is_in(list(ids)).fill_null(False).arg_true().to_list() if ids else []

    def _candidates(self, text: pl.Series) -> list[tuple[int, str]]:
        """Rows that may hold an id within a JSON text: few, so that they can be read closely."""
        import polars as pl

        found = _matching(text, self._spelled)
        if len(self._needles) > _AT_ONCE:
            found |= text.str.contains_any(self._needles).fill_null(False)
        elif self._needles:  # alternatives in one regular expression are found several times faster
            found |= _matching(text, ["|".join("".join(map(_plainly, needle)) for needle in self._needles)])
        escaped = (text.str.contains("\\u00", literal=True).fill_null(False) & ~found).arg_true()
        if len(escaped):
            found = found.scatter(escaped.filter(_matching(text.gather(escaped), [_NEEDLESS])), True)
        if self._words:
            rows = pl.DataFrame({"row": pl.arange(len(text), eager=True), "text": text}).filter(~found)
            named = rows.with_columns(pl.col("text").str.extract_all(_NAMED)).explode("text").drop_nulls()
            words = named.with_columns(pl.col("text").str.extract_all(_WORD)).explode("text")
            found = found.scatter(words.filter(pl.col("text").is_in(list(self._words)))["row"].unique(), True)
        numbers = found.arg_true()
        return list(zip(numbers.to_list(), text.gather(numbers).to_list(), strict=True))

    @cached_property
    def _needles(self) -> list[str]:
        found = {needle for text in self._telling if len(needle := _needle(text)) >= _NEEDLE}
        if len(found) > _AT_ONCE:
            return sorted(found)
        return sorted(one for one in found if not any(other in one for other in found - {one}))

    @cached_property
    def _words(self) -> frozenset[str]:
        """Ids that look like other values: they are looked for behind names of persons only."""
        return frozenset(text for text in self.all - self._telling if text.isascii())

    @cached_property
    def _spelled(self) -> list[str]:
        """Regular expressions for the ids that are found in no other way, however they are escaped."""
        rest = sorted(
            text for text in self.all - self._words if text not in self._telling or len(_needle(text)) < _NEEDLE
        )
        found = [_spellings(text) if text in self._telling else _NAMES + _BEFORE + _spellings(text) for text in rest]
        return ["|".join(found[n : n + _AT_ONCE]) for n in range(0, len(found), _AT_ONCE)]


def _matching(text: pl.Series, patterns: list[str]) -> pl.Series:
    import polars as pl

    found = pl.repeat(False, len(text), dtype=pl.Boolean, eager=True)
    for pattern in patterns:
        found |= text.str.contains(pattern).fill_null(False)
    return found


def _as_word(text: str) -> str:
    return rf"(?<![\w-]){re.escape(text)}(?![\w-])"


def _is_number(kind: pa.DataType) -> bool:
    return any(is_kind(kind) for is_kind in (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal))


def _is_text(kind: pa.DataType) -> bool:
    storage = kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind
    return any(is_kind(storage) for is_kind in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view))


def _needle(text: str) -> str:
    return max(_PLAIN.findall(text), key=len, default="")


def _spellings(text: str) -> str:
    return "".join(map(_spelling, text))


def _plainly(character: str) -> str:
    """A character in a regular expression, of Python's kind as well as of Rust's."""
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


def as_text(name: str, column: pa.ChunkedArray) -> pl.Series | None:
    """A column as texts, nested values as JSON objects with its name; None when it cannot hold an id.

    Raises:
        TypeError: a column of a type of which that is not known.
    """
    import polars as pl

    if isinstance(column.type, pa.UuidType):
        return pl.Series([value and str(value) for value in column.to_pylist()], dtype=pl.String)
    if isinstance(column.type, pa.BaseExtensionType):
        column = pa.chunked_array([chunk.storage for chunk in column.chunks], column.type.storage_type)
    kind = column.type
    if pa.types.is_nested(kind):
        try:
            frame = pl.DataFrame({name: pl.from_arrow(column)})
            return frame.select(pl.struct(name).struct.json_encode()).to_series()
        except pl.exceptions.PolarsError as error:
            raise TypeError(_unknown(name, kind)) from error
    if pa.types.is_dictionary(kind) or (_is_number(kind) and names_a_person(name)):
        column = column.cast(pa.string())
    elif any(is_kind(kind) for is_kind in _BYTES):
        texts = [value.decode(errors="replace") if value is not None else None for value in column.to_pylist()]
        return pl.Series(texts, dtype=pl.String)
    elif _is_number(kind) or any(is_kind(kind) for is_kind in _HARMLESS):
        return None
    elif not _is_text(kind):
        raise TypeError(_unknown(name, kind))
    return pl.Series(pl.from_arrow(column), dtype=pl.String)


def _unknown(name: str, kind: pa.DataType) -> str:
    return f"column {name!r} is of type {kind}, in which ids cannot be looked for"
