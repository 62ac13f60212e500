"""Query parameters as typed values, or a 400 that names the invalid one. The wording is invented."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import date
from typing import TypeVar

import msgspec

from mixpanel_etl.expressions import Expression, ExpressionError, parse
from mixpanel_etl.sandbox.engine.responses import ApiError

Parameters = Mapping[str, str]
_T = TypeVar("_T")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def read_date(parameters: Parameters, name: str) -> date:
    text = required(parameters, name)
    try:
        if not _DATE.fullmatch(text):
            raise ValueError
        return date.fromisoformat(text)
    except ValueError:
        raise ApiError(400, f"{name} must be a date in the form yyyy-mm-dd, not {text!r}") from None


def read_dates(parameters: Parameters) -> tuple[date, date]:
    """from_date and to_date, in this order."""
    first, last = read_date(parameters, "from_date"), read_date(parameters, "to_date")
    if first > last:
        raise ApiError(400, f"from_date {first} must not be later than to_date {last}")
    return first, last


def read_integer(parameters: Parameters, name: str, *, minimum: int, maximum: int | None = None) -> int | None:
    text = parameters.get(name)
    if text is None:
        return None
    try:
        value = int(text)
    except ValueError:
        raise ApiError(400, f"{name} must be an integer, not {text!r}") from None
    if value < minimum:
        raise ApiError(400, f"{name} must be at least {minimum}, not {value}")
    if maximum is not None and value > maximum:
        raise ApiError(400, f"{name} cannot be over {maximum}, not {value}")
    return value


def read_names(parameters: Parameters, name: str) -> list[str] | None:
    """A JSON array of strings, or None when the parameter is absent."""
    return read_json(parameters, name, list[str], "a JSON array of strings") if name in parameters else None


def read_json(parameters: Parameters, name: str, kind: type[_T], expected: str) -> _T:
    """A value of JSON; `expected` describes it in the text of a 400."""
    text = parameters[name]
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.DecodeError:
        raise ApiError(400, f"{name} must be {expected}, not {text!r}") from None


def read_choice(parameters: Parameters, name: str, choices: Collection[str]) -> str:
    text = required(parameters, name)
    check_choice(name, text, choices)
    return text


def check_choice(name: str, value: str, choices: Collection[str]) -> None:
    if value not in choices:
        raise ApiError(400, f"{name} must be one of {', '.join(choices)}, not {value!r}")


def read_flag(parameters: Parameters, name: str) -> bool:
    return parameters.get(name, "").lower() in ("1", "true")


def required(parameters: Parameters, name: str) -> str:
    text = parameters.get(name)
    if not text:
        raise ApiError(400, f"{name} is a required parameter")
    return text


def read_expression(parameters: Parameters, name: str) -> Expression | None:
    """An expression like `where` or `on`, for example `properties["plan"] == "pro"`; None if it is absent."""
    text = parameters.get(name)
    if not text:
        return None
    try:
        return parse(text)
    except ExpressionError as error:
        raise ApiError(400, f"error parsing {name}: {error}") from None


def no_where(parameters: Parameters) -> None:
    """Reject `where` for operations without it: ignoring it would return unfiltered rows."""
    if parameters.get("where"):
        raise ApiError(400, "where is not a parameter of this endpoint")
