"""What can still be read of a damaged budget file, so that no request that was counted is forgotten."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from pyrate_limiter.buckets.sqlite_bucket import Queries

#: Placeholders for entries that were lost, per bucket: more than any budget has.
_MAX_LOST = 100_000


def salvage(damaged: Path, target: Path, now: int) -> int:
    """Make a new budget file of a damaged one.

    A table and its index have the time of each entry, in pages of their own. Both are read from both ends up to the
    damage. Entries of which neither has the time were counted for certain (their numbers are missing): they count as of
    now, which is too careful rather than too late.

    Args:
        damaged: the old file.
        target: the new one, which must not exist.
        now: milliseconds since 1970.

    Returns:
        How many entries were saved.
    """
    saved = {table: times for table in _tables(damaged) if (times := _times(damaged, table, now))}
    with closing(sqlite3.connect(target)) as connection:
        for table, times in saved.items():
            connection.execute(Queries.CREATE_BUCKET_TABLE.format(table=table))
            connection.executemany(Queries.PUT_ITEM.format(table=table), [("saved", time) for time in times])
        connection.commit()
    return sum(map(len, saved.values()))


def _tables(path: Path) -> list[str]:
    with suppress(sqlite3.DatabaseError), closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        return [name for (name,) in found if "'" not in name]
    return []


def _times(path: Path, table: str, now: int) -> list[int]:
    found: dict[int, int] = {}
    for source, column in (
        ("NOT INDEXED", "rowid"),
        (f"INDEXED BY 'idx_{table}_rate_item_timestamp'", "item_timestamp"),
    ):
        for direction in ("ASC", "DESC"):
            query = f"SELECT rowid, item_timestamp FROM '{table}' {source} ORDER BY {column} {direction}"  # noqa: S608
            with suppress(sqlite3.DatabaseError), closing(sqlite3.connect(path)) as connection:
                for number, time in connection.execute(query):
                    if isinstance(time, int):
                        found[number] = min(time, now)
    if not found:
        return []
    lost = max(found) - min(found) + 1 - len(found)
    return sorted([*found.values(), *[now] * min(lost, _MAX_LOST)])
