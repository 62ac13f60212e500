"""What versions before this one left of persons in Dagster's storage: found, and removed.

They recorded the first rows of reports and listings, pictures with the names of segments, why rows were rejected, and
errors that quote replies. This version does not: the previews that it records name the columns that they withhold.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import dagster as dg
import sqlalchemy as sa

from mixpanel_etl.dagster.internals import (
    AssetCheckExecutionsTable,
    AssetKeyTable,
    InstigatorsTable,
    JobTable,
    JobTickTable,
    SqlEventLogStorage,
    SqlEventLogStorageTable,
    SqlScheduleStorage,
)
from mixpanel_etl.dagster.metadata import WITHHELD_COLUMNS
from mixpanel_etl.lake import ConfigurationError
from mixpanel_etl.quoting import redacted

#: Metadata that held rows, unless the columns that are withheld stand beside it.
_ROWS = ("mixpanel_etl/preview", "mixpanel_etl/picture")
#: Metadata whose strings quoted values: of rejected rows, of a dictionary's contacts, names of events.
_TEXTS = ("mixpanel_etl/reasons", "mixpanel_etl/plan", "event_names_not_compared")
#: A check whose description named accounts.
_EXPIRY = "none_expires_soon"
_ACCOUNTS = re.compile(r"([^;:']+): (?=\d{4}-\d\d-\d\d \d\d:\d\d UTC)")
_NUMBERED = re.compile(r" ?account(?: \d+)?")
#: How errors quoted what Mixpanel, a script or a warehouse said.
_QUOTES = (
    re.compile(r"((?:GET|POST|PUT|PATCH|DELETE) /[\w./{}-]*: (?:\d{3} [A-Z][A-Za-z ]*: )?)([^\n]+)"),
    re.compile(r"(the script returned )(.+?)(?= for column)"),
    re.compile(r"(the reply has )('.+?'|\".+?\")(?= where a date)"),
    re.compile(r"(WarehouseError: \w+: )([^\n]+)"),
)
_LIKE: tuple[str, ...] = (
    *_ROWS,
    *_TEXTS,
    _EXPIRY,
    "GET /",
    "POST /",
    "PUT /",
    "PATCH /",
    "DELETE /",
    "the script returned ",
    "where a date should be",
    "WarehouseError",
)
_ROWS_AT_ONCE = 500


class _Source(NamedTuple):
    """A column of Dagster's database with JSON that can hold metadata or errors."""

    connect: Callable[[], AbstractContextManager[Any]]
    table: sa.Table
    column: str


@dataclass
class Scrubbed:
    """What was found (and removed).

    Attributes:
        runs: by run, how many records of it hold such metadata or errors; records of no run are under an empty id.
        logs: runs whose captured logs (stdout and stderr) may repeat such errors.
    """

    runs: Counter[str] = field(default_factory=Counter)
    logs: set[str] = field(default_factory=set)

    @property
    def records(self) -> int:
        return self.runs.total()


def scrub_dagster(instance: dg.DagsterInstance, *, dry_run: bool = False) -> Scrubbed:
    """Remove what older versions recorded of persons from Dagster's storage (SQLite or PostgreSQL).

    Running it again finds nothing. Captured logs of runs whose errors quoted something are removed as a whole.

    Args:
        instance: Dagster's instance.
        dry_run: whether to remove nothing.

    Raises:
        ConfigurationError: the storage is neither SQLite nor PostgreSQL.
    """
    found = Scrubbed()
    for source in _sources(instance):
        _scrub(source, found, dry_run=dry_run)
    for run_id in () if dry_run else sorted(found.logs):
        instance.compute_log_manager.delete_logs(prefix=[run_id])
    return found


def _sources(instance: dg.DagsterInstance) -> Iterator[_Source]:
    events, schedules = instance.event_log_storage, instance.schedule_storage
    if not isinstance(events, SqlEventLogStorage):
        raise ConfigurationError(
            f"Dagster's events are in a {type(events).__name__}; only SQLite and PostgreSQL can be scrubbed"
        )
    for table, column in (
        (SqlEventLogStorageTable, "event"),
        (AssetKeyTable, "last_materialization"),
        (AssetCheckExecutionsTable, "evaluation_event"),
    ):
        yield _Source(events.index_connection, table, column)
    # With SQLite each run has a database of its own.
    for run_id in getattr(events, "get_all_run_ids", list)():
        yield _Source(partial(events.run_connection, run_id), SqlEventLogStorageTable, "event")
    if isinstance(schedules, SqlScheduleStorage):
        for table, column in (
            (JobTickTable, "tick_body"),
            (InstigatorsTable, "instigator_body"),
            (JobTable, "job_body"),
        ):
            yield _Source(schedules.connect, table, column)


def _scrub(source: _Source, found: Scrubbed, *, dry_run: bool) -> None:
    table, column = source.table, source.table.c[source.column]
    run = table.c["run_id"] if "run_id" in table.c else sa.literal("")
    with source.connect() as connection:
        if not sa.inspect(connection).has_table(table.name):
            return
        if connection.dialect.name == "sqlite":
            connection.execute(sa.text("PRAGMA secure_delete = ON"))  # or what is replaced stays in free pages
        last = -1
        while True:
            wanted = sa.or_(*(column.contains(text, autoescape=True) for text in _LIKE))
            query = sa.select(table.c.id, run, column).where(table.c.id > last, wanted).order_by(table.c.id)
            rows = connection.execute(query.limit(_ROWS_AT_ONCE)).fetchall()
            for last, run_id, text in rows:
                clean, quoted = _without_persons(text)
                if clean == text:
                    continue
                found.runs[run_id or ""] += 1
                if quoted and run_id:
                    found.logs.add(run_id)
                if not dry_run:
                    connection.execute(sa.update(table).where(table.c.id == last).values({column: clean}))
            if len(rows) < _ROWS_AT_ONCE:
                return


def _without_persons(text: str) -> tuple[str, bool]:
    """A record without what holds persons, the same text if it holds none; and whether an error quoted something."""
    try:
        record = json.loads(text)
    except ValueError:
        return text, False
    quotes = _mapped(record, _without_quotes)
    clean = _mapped(_without_metadata(quotes), _without_accounts if _EXPIRY in text else str)
    return (text if clean == record else json.dumps(clean)), quotes != record


def _without_metadata(part: Any) -> Any:
    if isinstance(part, dict):
        return {name: _without_metadata(value) for name, value in part.items()}
    if not isinstance(part, list):
        return part
    gone = () if WITHHELD_COLUMNS in {_label(one) for one in part} else _ROWS
    return [_without_metadata(one) for one in part if _label(one) not in gone and not _is_text(one)]


def _is_text(part: Any) -> bool:
    """Whether it is one of the strings that quoted values; numbers of the same name quote none."""
    if _label(part) not in _TEXTS:
        return False
    kind = str(part["entry_data"].get("__class__"))
    value = part["entry_data"].get("data")
    return kind.startswith(("Markdown", "Text")) or isinstance(value, list)


def _mapped(part: Any, change: Callable[[str], str]) -> Any:
    """A record with each of its strings changed."""
    if isinstance(part, dict):
        return {name: _mapped(value, change) for name, value in part.items()}
    if isinstance(part, list):
        return [_mapped(one, change) for one in part]
    return change(part) if isinstance(part, str) else part


def _label(part: Any) -> str:
    """The name of a metadata entry, in the form in which Dagster stores it."""
    return str(part.get("label") or "") if isinstance(part, dict) and "entry_data" in part else ""


def _without_accounts(text: str) -> str:
    return _ACCOUNTS.sub(lambda match: match[0] if _NUMBERED.fullmatch(match[1]) else " account: ", text)


def _without_quotes(text: str) -> str:
    for quote in _QUOTES:
        text = quote.sub(lambda match: match[1] + redacted(match[2]), text)
    return text
