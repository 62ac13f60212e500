"""`mixpanel-etl sql`: a DuckDB shell over the lake."""

from __future__ import annotations

import csv
import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mixpanel_etl.cli.shared import errors, exit_on_error
from mixpanel_etl.lake import connect
from mixpanel_etl.settings import Settings

if TYPE_CHECKING:
    import duckdb

_PROMPT, _MORE = "lake> ", "  ... "
_HELP = "SQL ends with a semicolon. .tables: what there is; .quit or Ctrl-D: leave. Reports: FROM segmentation(...), \
funnel(...), retention(...), described in docs/sql.md"
_SHOWN_ROWS = 40


class Format(StrEnum):
    """How rows are printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


def sql(
    statement: Annotated[str | None, typer.Argument(help="SQL to run; without it, a shell opens.")] = None,
    output: Annotated[
        Format,
        typer.Option("--format", help="Output format; a table shows the first and last rows, the others show all."),
    ] = Format.TABLE,
    lake: Annotated[str | None, typer.Option(help="Path or s3:// URI; MIXPANEL_LAKE by default.")] = None,
) -> None:
    """Query the lake with DuckDB: a view for every table, and Mixpanel's reports rebuilt from the events."""
    with exit_on_error():
        settings = Settings.load()
        connection = connect(
            lake or settings.lake, timezone=settings.timezone, created_before_2023=settings.created_before_2023
        )
        # A missing table is an error, also where a variable of this program has its name.
        connection.execute("SET python_enable_replacements = false")
        if not connection.execute("FROM lake.folders LIMIT 1").fetchall():
            errors.print(f"{lake or settings.lake} has no tables yet: `mixpanel-etl export` makes the first one")
        if not (_shell(connection, output) if statement is None else _run(connection, statement, output)):
            raise typer.Exit(1)


def _shell(connection: duckdb.DuckDBPyConnection, output: Format) -> bool:
    """Run what is typed until the end; whether, of a script, all could be run."""
    with suppress(ImportError):
        import readline  # noqa: F401 - editing and history for input()
    interactive, good = sys.stdin.isatty(), True
    if interactive:
        errors.print(_HELP, highlight=False, markup=False, soft_wrap=True)
    for statement in _statements():
        if statement in (".quit", ".exit"):
            break
        if statement.startswith(".") and statement != ".tables":
            errors.print(_HELP, highlight=False, markup=False, soft_wrap=True)
        else:
            good &= _run(connection, "FROM lake.tables" if statement == ".tables" else statement, output)
    return good or interactive


def _statements() -> Iterator[str]:
    """What is typed, up to a semicolon at the end of a line; commands are a line of their own."""
    lines: list[str] = []
    while True:
        try:
            line = input((_MORE if lines else _PROMPT) if sys.stdin.isatty() else "")
        except KeyboardInterrupt:
            print()  # noqa: T201
            lines = []
            continue
        except EOFError:
            if lines:
                yield "\n".join(lines)
            return
        if not lines and line.lstrip().startswith("."):
            yield line.strip()
        elif lines or line.strip():
            lines.append(line)
            if line.rstrip().endswith(";"):
                yield "\n".join(lines)
                lines = []


def _run(connection: duckdb.DuckDBPyConnection, statement: str, output: Format) -> bool:
    """Run SQL and print what it gives; whether it could be run. DuckDB's errors are printed, not raised."""
    import duckdb

    try:
        _PRINT[output](connection, statement)
    except BrokenPipeError:  # the reader has closed the pipe; without this Python complains when it flushes at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (duckdb.Error, OSError) as error:
        errors.print(str(error), style="red", highlight=False, markup=False, soft_wrap=True)
        return False
    except (KeyboardInterrupt, RuntimeError):  # DuckDB raises the latter when Ctrl-C stops a query
        errors.print("interrupted", style="red")
        return False
    return True


def _table(connection: duckdb.DuckDBPyConnection, statement: str) -> None:
    rows = connection.sql(statement)
    if rows is not None:
        rows.show(max_width=shutil.get_terminal_size((160, 40)).columns, max_rows=_SHOWN_ROWS)


def _csv(connection: duckdb.DuckDBPyConnection, statement: str) -> None:
    result = connection.execute(statement)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(name for name, *_ in result.description or ())
    writer.writerows(_fetched(result))


def _json(connection: duckdb.DuckDBPyConnection, statement: str) -> None:
    """An array with an object a line; columns of type JSON are JSON in it, not text."""
    result = connection.execute(statement)
    columns = [(name, str(kind) == "JSON") for name, kind, *_ in result.description or ()]
    before = "[\n"
    for row in _fetched(result):
        values = {
            name: json.loads(value) if nested and value is not None else value
            for (name, nested), value in zip(columns, row, strict=True)
        }
        sys.stdout.write(before + json.dumps(values, ensure_ascii=False, default=str))
        before = ",\n"
    sys.stdout.write("[]\n" if before == "[\n" else "\n]\n")


def _fetched(result: duckdb.DuckDBPyConnection) -> Iterator[tuple[Any, ...]]:
    while rows := result.fetchmany(1000):
        yield from rows


_PRINT = {Format.TABLE: _table, Format.CSV: _csv, Format.JSON: _json}
