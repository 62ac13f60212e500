"""One spelling of parameters for all warehouses: `$name`, rewritten to what the driver binds by position."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from mixpanel_etl.warehouse.driver_errors import WarehouseError

_NAME = re.compile(r"\$[A-Za-z_][A-Za-z0-9_]*")


class Bound(NamedTuple):
    """A statement as its driver takes it, and the values in the order of its placeholders."""

    sql: str
    values: tuple[Any, ...]


class _Found(NamedTuple):
    name: str
    start: int
    end: int


def parameters_of(sql: str, dialect: str = "duckdb") -> set[str]:
    """The names of a statement's parameters. Literals, quoted names, comments and `$$...$$` strings hold none.

    Raises:
        WarehouseError: the text can't be read as SQL, or is not one statement.
    """
    return {found.name for found in _read(sql, dialect)[1]}


def columns_of(sql: str, dialect: str = "duckdb") -> list[str] | None:
    """The names of the columns that a query has; None when its text does not tell, as with `SELECT *`.

    Raises:
        WarehouseError: the text can't be read as SQL, or is not one statement.
    """
    import sqlglot
    from sqlglot import exp
    from sqlglot.errors import SqlglotError

    sql, _ = _read(sql, dialect)
    try:
        query = sqlglot.parse_one(sql, dialect=dialect)
    except SqlglotError:
        return None  # another dialect, as like as not: its own warehouse will tell
    if not isinstance(query, exp.Query) or query.is_star:
        return None
    names = query.named_selects
    # What is not in lower case, each warehouse calls otherwise.
    return names if all(name and name == name.lower() for name in names) else None


def one_statement(sql: str, dialect: str) -> str:
    """The statement without a semicolon at its end, so that it fits into brackets.

    Raises:
        WarehouseError: the text can't be read as SQL, or is not one statement.
    """
    return _read(sql, dialect)[0]


def bind(sql: str, parameters: Mapping[str, Any], dialect: str, *, numbered: bool) -> Bound:
    """A statement whose parameters are placeholders.

    Args:
        sql: one statement; a semicolon at its end is taken off.
        parameters: values by name. A statement need not use all of them.
        dialect: of the warehouse, as sqlglot calls it.
        numbered: placeholders are `$1`, `$2`, where the same may come twice; else they are `?`.

    Raises:
        WarehouseError: the text can't be read, is not one statement, or has a parameter without a value.
    """
    sql, found = _read(sql, dialect)
    unknown = sorted({f"${parameter.name}" for parameter in found if parameter.name not in parameters})
    if unknown:
        known = ", ".join(f"${name}" for name in parameters) or "none"
        raise WarehouseError(f"the query has the parameter {', '.join(unknown)}; those that have a value are: {known}")
    if numbered:
        names = list(dict.fromkeys(parameter.name for parameter in found))
        placed = _placed(sql, found, lambda parameter: f"${names.index(parameter.name) + 1}")
        return Bound(placed, tuple(parameters[name] for name in names))
    return Bound(_placed(sql, found, lambda _: "?"), tuple(parameters[parameter.name] for parameter in found))


def _placed(sql: str, found: list[_Found], placeholder: Callable[[_Found], str]) -> str:
    parts, position = [], 0
    for parameter in found:
        parts += [sql[position : parameter.start], placeholder(parameter)]
        position = parameter.end
    return "".join([*parts, sql[position:]])


def _read(sql: str, dialect: str) -> tuple[str, list[_Found]]:
    """The one statement without its semicolon, and where its parameters are."""
    import sqlglot
    from sqlglot.errors import SqlglotError

    try:
        tokens = sqlglot.tokenize(sql, read=dialect)
    except SqlglotError as error:
        raise WarehouseError(f"the query can't be read: {error}") from None
    ends = [token.start for token in tokens if token.token_type.name == "SEMICOLON"]
    while ends and tokens and tokens[-1].start == ends[-1]:
        sql, ends = sql[: ends[-1]], ends[:-1]
        tokens.pop()
    if not tokens:
        raise WarehouseError("the query is empty")
    if ends:
        raise WarehouseError("the query has more than one statement: give one that returns the rows")
    return sql, list(_parameters(sql, tokens))


def _parameters(sql: str, tokens: list[Any]) -> Iterator[_Found]:
    """BigQuery's tokens are `$name`, those of the others `$` and what follows; a name with `$` inside is neither."""
    for token in tokens:
        if token.token_type.name not in ("PARAMETER", "VAR") or sql[token.start] != "$":
            continue
        match = _NAME.match(sql, token.start)
        if match:
            yield _Found(match[0][1:], match.start(), match.end())
