"""What of a query's rows is new since the last push, and which rows are gone.

Rows are told apart by their id, and compared by a hash. They go through DuckDB on a disk, so that memory does not grow
with the table. What was pushed before is a snapshot in the lake: one line an id, with the hash of its row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mixpanel_etl.client.ingestion.events import MAX_STRING_BYTES
from mixpanel_etl.lake.storage import Storage
from mixpanel_etl.push.event_values import CUT, NOT_FINITE, TRIMMED, WHITESPACE
from mixpanel_etl.push.rejected_rows import RejectedRow
from mixpanel_etl.push.unsendable_times import BEYOND, screened
from mixpanel_etl.warehouse import NumberType

if TYPE_CHECKING:
    import duckdb

#: The schema of a snapshot.
SNAPSHOT = pa.schema([pa.field("id", pa.string(), nullable=False), pa.field("hash", pa.string(), nullable=False)])

_MEMORY = "192MB"
_ROWS = 10_000


@dataclass(frozen=True)
class Previous:
    """What was pushed before, as batches of the schema `SNAPSHOT`.

    Attributes:
        snapshot: after the last push.
        since: what was sent after the snapshot was written; each id once.
        forgotten: ids whose state in Mixpanel is unknown; they count as never pushed.
    """

    snapshot: Iterable[pa.RecordBatch] = ()
    since: Iterable[pa.RecordBatch] = ()
    forgotten: Iterable[pa.RecordBatch] = ()


class Changes:
    """The rows of a query, compared with a snapshot.

    Attributes:
        rows: of the query.
        usable: those that can be told apart.
        changed: rows that are new, or other than they were.
        vanished: ids of the snapshot that no row has any more.
        before: ids of the snapshot.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, numbers: Sequence[str] = ()) -> None:
        self._connection, self._numbers = connection, numbers
        self.rows = self._number("rows")
        self.usable = self._number("usable")
        self.changed = self._number("changed")
        self.vanished = self._number("vanished")
        self.before = self._number("previous")

    def unusable_rows(self) -> Iterator[RejectedRow]:
        """Rows that can't be told apart, with the reason; they are not among the changed ones."""
        for reason, where in _UNUSABLE.items():
            for batch in self._batches(f"SELECT * FROM rows WHERE {where}"):  # noqa: S608
                for row in self.plain_rows(batch):
                    yield RejectedRow(row["$id"], row, reason)
        for batch in self._batches('SELECT * FROM rows WHERE "$beyond" IS NOT NULL'):
            for row in self.plain_rows(batch):
                yield RejectedRow(row["$id"], row, row[BEYOND])

    def altered(self, id_column: str, columns: Sequence[str]) -> dict[str, int]:
        """What we or Mixpanel change of the changed rows, as `column: how`, and in how many."""
        kinds = {name: kind for name, kind, *_ in self._connection.execute("DESCRIBE rows").fetchall()}
        tests = {f"{id_column}: {TRIMMED}": f'{_quoted(id_column)}::VARCHAR <> "$id"'}
        for name in columns:
            quoted = _quoted(name)
            if name in self._numbers:
                tests[f"{name}: {NOT_FINITE}"] = f"regexp_matches({quoted}, '[a-zA-Z]')"
            elif kinds[name] == "VARCHAR" and name != id_column:
                tests[f"{name}: {CUT}"] = f"strlen({quoted}) > {MAX_STRING_BYTES}"
            elif kinds[name] in ("FLOAT", "DOUBLE"):
                tests[f"{name}: {NOT_FINITE}"] = f"NOT isfinite({quoted})"
        counts = ", ".join(f"count(*) FILTER ({test})" for test in tests.values())
        sql = f'SELECT {counts} FROM usable WHERE "$id" IN (SELECT id FROM changed)'  # noqa: S608
        found = self._connection.execute(sql).fetchall()[0]
        return {how: count for how, count in zip(tests, found, strict=True) if count}

    def plain_rows(self, batch: pa.RecordBatch) -> list[dict[str, Any]]:
        """Rows of a batch as Python has them; numbers that DuckDB holds as strings are decimals."""
        rows: list[dict[str, Any]] = batch.to_pylist()
        for row in rows if self._numbers else ():
            for name in self._numbers:
                row[name] = None if row[name] is None else Decimal(row[name])
        return rows

    def usable_rows(self) -> Iterator[pa.RecordBatch]:
        """All other rows, changed or not, by `$id`."""
        return self._batches('SELECT * FROM usable ORDER BY "$id"')

    def changed_rows(self) -> Iterator[pa.RecordBatch]:
        """New and changed rows with all their columns and `$id` and `$hash`."""
        return self._batches('SELECT r.* FROM rows r JOIN changed c ON r."$id" = c.id')

    def vanished_ids(self) -> Iterator[list[str]]:
        """The ids that no row has any more."""
        for batch in self._batches("SELECT id FROM vanished"):
            yield batch.column(0).to_pylist()

    def pushed(self, ids: Iterable[str]) -> None:
        """Note that what changed or vanished of these ids arrived."""
        arrived = pa.table({"id": pa.array(ids, pa.string())})
        with self._connection.cursor() as cursor:
            cursor.register("arrived", arrived)
            cursor.execute("INSERT INTO pushed SELECT id FROM arrived").fetchall()

    def snapshot(self) -> Iterator[pa.RecordBatch]:
        """What Mixpanel has by now, in the schema `SNAPSHOT`: the new hash of what arrived, the old one of the rest."""
        for batch in self._batches(
            """
            SELECT id, hash FROM changed WHERE id IN (SELECT id FROM pushed)
            UNION ALL
            SELECT id, hash FROM previous WHERE id NOT IN (SELECT id FROM pushed)
            """
        ):
            yield batch.cast(SNAPSHOT)

    def _number(self, table: str) -> int:
        (number,) = self._connection.execute(f"SELECT count(*) FROM {table}").fetchall()[0]  # noqa: S608
        return int(number)

    def _batches(self, sql: str) -> Iterator[pa.RecordBatch]:
        with self._connection.cursor() as cursor:
            yield from cursor.sql(sql).to_arrow_reader(_ROWS)


@contextmanager
def compared(
    rows: pa.RecordBatchReader,
    id_column: str,
    columns: Sequence[str],
    previous: Previous,
    *,
    sent_as: str,
    place: Storage,
) -> Iterator[Changes]:
    """Compare rows with what was pushed before.

    Args:
        rows: of the query; read once.
        id_column: what tells them apart.
        columns: columns that are sent; a change in another column does not count.
        previous: what was pushed before.
        place: whose scratch holds the rows meanwhile.
        sent_as: how they are sent, as a text; when it changes, all rows count as changed.
    """
    import duckdb

    with place.scratch_folder("push") as folder:
        settings: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": _MEMORY,
            "threads": 2,
            "temp_directory": str(folder),
            "preserve_insertion_order": False,
        }
        with duckdb.connect(str(folder / "rows.duckdb"), config=settings) as connection:
            _load(connection, rows, id_column, columns, sent_as)
            for name in ("snapshot", "since", "forgotten"):
                batches = pa.RecordBatchReader.from_batches(SNAPSHOT, getattr(previous, name))
                connection.register("source", batches)
                connection.execute(f"CREATE TABLE {name} AS SELECT id, hash FROM source").fetchall()  # noqa: S608
            for statement in _COMPARISON:
                connection.execute(statement).fetchall()
            numbers = [field.name for field in rows.schema if isinstance(field.type, NumberType)]
            yield Changes(connection, numbers)


def _load(
    connection: duckdb.DuckDBPyConnection,
    rows: pa.RecordBatchReader,
    id_column: str,
    columns: Sequence[str],
    sent_as: str,
) -> None:
    sent = ", ".join(f"{_quoted(name)} := {_quoted(name)}" for name in columns)
    source = screened(rows)
    connection.register("source", source)
    beyond = "" if BEYOND in source.schema.names else f'NULL::VARCHAR AS "{BEYOND}",'
    connection.execute(
        f"""
        CREATE TABLE rows AS
        SELECT *, {beyond} nullif(trim({_quoted(id_column)}::VARCHAR, $whitespace), '') AS "$id",
            md5(concat($sent_as, to_json(struct_pack({sent}))::VARCHAR)) AS "$hash"
        FROM source
        """,  # noqa: S608
        {"sent_as": sent_as, "whitespace": WHITESPACE},
    ).fetchall()


_COMPARISON = (
    """
    CREATE TABLE previous AS
    WITH known AS (SELECT * FROM snapshot WHERE id NOT IN (SELECT id FROM since) UNION ALL SELECT * FROM since)
    SELECT * FROM known WHERE id NOT IN (SELECT id FROM forgotten)
    """,
    'CREATE TABLE twice AS SELECT "$id" AS id FROM rows WHERE "$id" IS NOT NULL GROUP BY 1 HAVING count(*) > 1',
    """
    CREATE VIEW usable AS
    SELECT * FROM rows WHERE "$id" IS NOT NULL AND "$beyond" IS NULL AND "$id" NOT IN (SELECT id FROM twice)
    """,
    """
    CREATE TABLE changed AS
    SELECT u."$id" AS id, u."$hash" AS hash FROM usable u LEFT JOIN previous p ON u."$id" = p.id
    WHERE p.hash IS DISTINCT FROM u."$hash"
    """,
    """
    CREATE TABLE vanished AS
    SELECT id FROM previous WHERE id NOT IN (SELECT "$id" FROM rows WHERE "$id" IS NOT NULL)
    """,
    "CREATE TABLE pushed (id VARCHAR)",
)
_UNUSABLE = {
    "has no id": '"$id" IS NULL AND "$beyond" IS NULL',
    "has an id that another row has, too: make the query return one row for each": (
        '"$id" IN (SELECT id FROM twice) AND "$beyond" IS NULL'
    ),
}


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
