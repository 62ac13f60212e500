"""What a cell of a request says: the ids in it as they are, or why a value can't be one.

Spreadsheets, data frames and typed columns change ids unnoticed: Mixpanel would report success for an id that no
person has. Every form that they make is rejected with the remedy. A JSON list of strings is how several ids are
written, and how an id is written that looks like several.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from uuid import UUID

#: Characters of an id. Mixpanel cuts strings at 255, so that no longer one is in its data as it was sent.
MAX_LENGTH = 1000

_AS_STRING = "store it as a string (CAST(... AS text), or the spreadsheet's text format) and export it again"
_AS_LIST = 'write a JSON list of strings: ["anna-4711", "ben-4712"]'
_AS_LIST_ALSO = f"{_AS_LIST}, also for a single id that has such a character"

_REWRITTEN = re.compile(
    r"[+-]?\d+\.0+"  # 1234567890123.0, of pandas
    r"|[+-]?\d+[.,]\d*e[+-]?\d+"  # 1.23457E+18, of Excel; 1.23457E18, of Java. 12e45 may be hexadecimal
    r"|[+-]?\d+e[+-]\d+",
    re.IGNORECASE,
)
_MISSING = frozenset(
    (
        *("nan", "+nan", "-nan", "inf", "+inf", "-inf", "infinity", "+infinity", "-infinity", "nat", "<na>"),
        *("#n/a", "#na", "#ref!", "#value!", "#name?", "#num!", "#null!", "#div/0!", "#getting_data", "#spill!"),
    )
)
_ROUNDED = re.compile(r"[1-9]\d{14}0{3,}")  # a spreadsheet keeps 15 digits of a number
_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_DATE = re.compile(
    rf"\d{{1,2}}-{_MONTH}(?:-\d{{2,4}})?|{_MONTH}-\d{{2}}|\d{{1,2}}([/.])\d{{1,2}}\1\d{{4}}"
    r"|\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}.*)?",
    re.IGNORECASE,
)
_SEPARATOR = re.compile(r"[;,|；，、؛،｜\n\r\t\v\f\x1c-\x1f\x85\u2028\u2029]")
_QUOTES = "\"'`´‘’‚‛“”„‟«»‹›"


class BadCell(Exception):
    """Why a value can't be taken. The text goes after the name of the column, and repeats nothing of the value."""


def listed(cell: Any, *, spaces: bool = False) -> Iterator[str]:
    """The ids of a cell.

    Args:
        cell: one id, a list of ids, or a JSON list of these as text. Empty cells have none.
        spaces: whether one id may have spaces in it, as a name has.

    Raises:
        BadCell: part of it is not an id.
    """
    if isinstance(cell, str) and cell.strip().startswith("["):
        cell = _json_list(cell)
    if not isinstance(cell, list | tuple):
        if text := plain(cell):
            _check_alone(text, spaces)
            yield text
        return
    for value in cell:
        if isinstance(value, dict | list | tuple):
            raise BadCell("must be a list of strings")
        if text := plain(value):
            if not (_is_visible(text[0]) and _is_visible(text[-1])):
                raise BadCell("has an id with an invisible character around it: write it again")
            yield text


def plain(value: Any) -> str:
    """One value as text, without the white space around it; "" for none.

    Raises:
        BadCell: its type or form shows that it is not as it was.
    """
    text = _text(value).strip()
    if len(text) > MAX_LENGTH:
        raise BadCell(f"has a value of {len(text):,} characters; an id has at most {MAX_LENGTH:,}")
    if text.lower() in _MISSING:
        raise BadCell("stands for a missing value or a failed formula (NaN, inf, #N/A): leave the cell empty")
    if _REWRITTEN.fullmatch(text):
        raise BadCell(f"has a number as spreadsheets and data frames rewrite it (1.23457E+18, 4711.0): {_AS_STRING}")
    if any(unicodedata.category(character) == "Cs" for character in text):
        raise BadCell("has half a character, or bytes that are not UTF-8: save it as UTF-8 and write it again")
    if "\0" in text:
        raise BadCell("has a NUL character: write it again")
    return text


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        raise BadCell("is true or false: give the id as a string")
    if isinstance(value, int) and abs(value) >= 10**100:
        raise BadCell("is a number of more than a hundred digits: give the id as a string")
    if isinstance(value, str | int | UUID) or (isinstance(value, Decimal) and _is_whole(value)):
        return str(value)
    if isinstance(value, float | Decimal):
        raise BadCell(f"is a number with a fraction or a floating point, in which long ids lose digits: {_AS_STRING}")
    raise BadCell(f"is of the type {type(value).__name__}: {_AS_STRING}")


def _is_whole(number: Decimal) -> bool:
    """Whether it is written as digits alone, as a warehouse's integers without a fraction (NUMBER(38,0)) are."""
    return number.is_finite() and number.as_tuple().exponent == 0


def _json_list(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise BadCell("begins like a JSON list, but is not valid JSON") from None


def _check_alone(text: str, spaces: bool) -> None:
    """Reject what reads as several ids, or as what a program put into the place of one."""
    if _SEPARATOR.search(text) or text.count("@") > 1:
        raise BadCell(f"reads as several ids in one cell: {_AS_LIST_ALSO}")
    if any(map(str.isspace, text)) and ("@" in text or not spaces):
        raise BadCell(f"has white space inside, as if it held several ids: {_AS_LIST_ALSO}")
    if not all(map(_is_visible, text)):
        raise BadCell(
            "has an invisible character (a byte order mark, a zero-width or control character): write it again"
        )
    if text[0] in _QUOTES or text[-1] in _QUOTES:
        raise BadCell(f"has a quotation mark or an apostrophe around it: leave it out, or {_AS_LIST_ALSO}")
    if text[0] in "{=":
        raise BadCell(f"begins like an array, an object or a formula: {_AS_LIST_ALSO}")
    if _ROUNDED.fullmatch(text):
        raise BadCell(
            f"ends in zeros as a spreadsheet rounds long numbers (15 digits are kept): {_AS_STRING}. If the zeros are "
            f"real, {_AS_LIST}"
        )
    if _DATE.fullmatch(text):
        raise BadCell(
            f"is a date, which spreadsheets make of ids such as 3-4: {_AS_STRING}. If it is an id, {_AS_LIST}"
        )


def _is_visible(character: str) -> bool:
    return unicodedata.category(character) not in ("Cc", "Cf", "Zl", "Zp")
