"""Which rows of a table hold the id of one of some persons, and the same table without them.

How the ids are known differs: an erasure has them as they are (`gdpr.erased_ids`), the list of suppressed persons has
their hashes (`lake.suppression`). Where they are looked for does not.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from mixpanel_etl.lake.errors import Unerasable
from mixpanel_etl.lake.json_tokens import ERASED, blanked, hits, is_theirs, looks_like_json
from mixpanel_etl.lake.person_columns import (
    ANYWHERE,
    Places,
    as_id,
    holds_persons,
    identifies_owner,
    looks_like_an_id,
    number_looks_like_an_id,
    person_keys,
)
from mixpanel_etl.lake.provenance import OWN_KEYS
from mixpanel_etl.lake.string_values import Replace, as_text, is_number, replaced

if TYPE_CHECKING:
    import polars as pl

#: What an id can be, in an expression or address that quotes it.
_WORD = re.compile(r"""[^\s"'()\[\]{}<>=,;&?/\\]+""")


class Rows(NamedTuple):
    """Of the rows of a table, by number: those that are the person's, and those of others that mention an id."""

    theirs: set[int]
    mentions: set[int]


class Cleaned(NamedTuple):
    """A table without the rows of the persons; `removed` rows went, in `blanked` rows of others an id was blanked."""

    rows: pa.Table
    removed: int
    blanked: int


class Persons(ABC):
    """Some persons, known by their ids.

    A value counts when it is one of the ids as a whole, and stands where ids of persons are or has the form of an id
    (`lake.person_columns`); parts of longer strings do not.
    """

    @abstractmethod
    def __contains__(self, text: object) -> bool:
        """Whether a string is one of the ids."""

    @abstractmethod
    def among(self, text: pl.Series, *, anyhow: bool, quoted: bool) -> Collection[str]:
        """Those of the strings of a column that are ids.

        Args:
            text: the column.
            anyhow: whether the column holds ids; else only what has the form of one counts.
            quoted: whether the values are strings; else they are numbers.
        """

    @abstractmethod
    def candidates(self, text: pl.Series, places: Places = ANYWHERE) -> list[tuple[int, str]]:
        """Rows that may hold an id within a JSON text: few, so that they can be read closely."""

    def perhaps_in(self, text: str, places: Places = ANYWHERE) -> bool:  # noqa: ARG002
        """Whether a text is worth a closer look; False is certain."""
        return True

    def as_word_in(self, text: str) -> bool:
        """Whether one of the ids stands in a text between characters that cannot be part of an id."""
        return self.scrub(text) != text

    def in_table(self, table: pa.Table) -> Rows:
        """The rows that hold one of the ids.

        In a table with columns that say whose a row is, a row is theirs when one of these, or a property that Mixpanel
        resolves identities by, is one of the ids. In any other table each row that holds one is theirs.
        """
        theirs: set[int] = set()
        mentions: set[int] = set()
        holding = {field.name for field in table.schema if holds_persons(field)}
        telling = {field.name for field in table.schema if identifies_owner(field)} or holding
        for field, column in zip(table.schema, table.columns, strict=True):
            if (text := as_text(_name(field), column)) is None:
                continue
            found = theirs if field.name in telling else mentions
            found.update(self._equal(text, anyhow=field.name in holding, quoted=not is_number(column.type)))
            places = Places(person_keys(field))
            for row, value in self.candidates(text, places):
                if row in theirs or not looks_like_json(value):
                    continue
                if is_theirs(value, self, places):
                    theirs.add(row)
                elif any(hits(value, self, places)):
                    found.add(row)
        if not telling:
            return Rows(theirs | mentions, set())
        return Rows(theirs, mentions - theirs)

    def cleaned(self, table: pa.Table) -> Cleaned | None:
        """The table without the rows of the persons, and with `[erased]` in rows of others; None when it has none."""
        found = self.in_table(table)
        if not any(found):
            return None
        rows = self.blanked(table, found.mentions) if found.mentions else table
        kept = rows.take(pa.array([n for n in range(rows.num_rows) if n not in found.theirs], pa.int64()))
        return Cleaned(kept, len(found.theirs), len(found.mentions))

    def blanked(self, table: pa.Table, rows: Collection[int]) -> pa.Table:
        """The table with `[erased]` instead of the ids in some of its rows; null in columns that hold no text."""
        for number, (field, column) in enumerate(zip(table.schema, table.columns, strict=True)):
            if as_text(_name(field), column) is None:
                continue
            try:
                made = replaced(column, rows, self._blank_value(field))
            except (pa.ArrowException, TypeError, ValueError) as error:
                raise Unerasable(f"column {number} of type {field.type} cannot be written again") from error
            if made.null_count > column.null_count and not field.nullable:
                raise Unerasable(f"column {number} of type {field.type} holds an id and cannot be null")
            table = table.set_column(number, field, made)
        return table

    def _blank_value(self, field: pa.Field) -> Replace:
        places, anyhow = Places(person_keys(field)), holds_persons(field)

        def change(text: str, name: str, *, quoted: bool) -> str:
            tells = looks_like_an_id if quoted else number_looks_like_an_id
            if (anyhow or places.holds(name, text) or tells(text)) and text != ERASED and text in self:
                return ERASED
            return blanked(text, self, places) if quoted and looks_like_json(text) else text

        return change

    def blank(self, text: str, places: Places = ANYWHERE) -> str:
        """A JSON text with `[erased]` instead of the ids."""
        return blanked(text, self, places)

    def scrub(self, text: str) -> str:
        """A text of a file's metadata with `[erased]` instead of the ids, also where an expression quotes one."""
        text = self.blank(text)
        return _WORD.sub(lambda match: self._scrubbed(match.group()), text)

    def scrub_record(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """The record of a file without the ids. What the package itself writes there is not compared with them."""
        return {
            key: self.scrub_record(value)
            if key == "request" and isinstance(value, dict)
            else value
            if key in OWN_KEYS
            else self._scrub_value(value, key)
            for key, value in record.items()
        }

    def _scrub_value(self, value: Any, name: str) -> Any:
        if isinstance(value, dict):
            return {self._scrubbed(key): self._scrub_value(inner, key) for key, inner in value.items()}
        if isinstance(value, list):
            return [self._scrub_value(inner, name) for inner in value]
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            return value
        text = value if isinstance(value, str) else as_id(str(value))
        if ANYWHERE.holds(name, text) and text in self:
            return ERASED
        return self.scrub(value) if isinstance(value, str) else value

    def _scrubbed(self, word: str) -> str:
        kept = word.rstrip(".:!")
        return ERASED + word[len(kept) :] if looks_like_an_id(kept) and kept in self else word

    def _equal(self, text: pl.Series, *, anyhow: bool, quoted: bool) -> list[int]:
        wanted = self.among(text, anyhow=anyhow, quoted=quoted)
        return text.is_in(list(wanted)).fill_null(False).arg_true().to_list() if wanted else []


def _name(field: pa.Field) -> str:
    """The name of a field, or another one that says what it holds."""
    return "user_ids" if holds_persons(field) else field.name
