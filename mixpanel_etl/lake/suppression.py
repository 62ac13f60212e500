"""Persons whose rows no publication may bring back: Mixpanel's export still has them for a while (api-facts 1.3).

The list is in the lake itself, as hashes with a date of expiry: `_suppression/<expiry>-<digest>.json`. The salt of the
hashes is the lake's own, so that nobody without the lake can try out ids, and no two lakes can be compared.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mixpanel_etl.lake.errors import DamagedSalt, WriteConflict
from mixpanel_etl.lake.identity import names_a_person
from mixpanel_etl.lake.rewrite import rewrite
from mixpanel_etl.lake.storage import ABSENT, Draft, Storage

Rows = TypeVar("Rows", pa.Table, pa.RecordBatch)

FOLDER = "_suppression"
_SALT = f"{FOLDER}/salt"
_SALT_BYTES = 32
_EXPIRY = "%Y%m%dT%H%M%SZ"
_ENTRY = re.compile(rf"{FOLDER}/(\d{{8}}T\d{{6}}Z)-[0-9a-f]+\.json")


def hasher(store: Storage) -> Callable[[str], str]:
    """The hash of an id in this lake, 32 hexadecimal digits; the same for all times."""
    salt = _salt(store)
    return lambda text: hashlib.blake2b(text.encode("utf-8", "surrogatepass"), key=salt, digest_size=16).hexdigest()


def _salt(store: Storage) -> bytes:
    """The secret of this lake, created by its first process and never again."""
    try:
        salt, _ = store.read(_SALT)
    except FileNotFoundError:
        salt = _first_salt(store)
    if len(salt) != _SALT_BYTES:
        raise DamagedSalt(store.uri(_SALT), f"has {len(salt)} bytes instead of {_SALT_BYTES}")
    return salt


def _first_salt(store: Storage) -> bytes:
    listed = entries(store)
    if not listed:
        with suppress(WriteConflict):
            store.write(_SALT, secrets.token_bytes(_SALT_BYTES), ABSENT)
    try:
        return store.read(_SALT)[0]  # it is older than any entry: if there ever was one, it is there by now
    except FileNotFoundError as error:
        raise DamagedSalt(store.uri(_SALT), f"is missing, though {len(listed)} entries were made with it") from error


def entries(store: Storage) -> dict[str, datetime]:
    """The files of the list, and when each expires (UTC)."""
    found = ((name, _ENTRY.fullmatch(name)) for name in store.names(FOLDER, ".json"))
    return {name: datetime.strptime(match[1], _EXPIRY).replace(tzinfo=UTC) for name, match in found if match}


def entry_name(hashes: list[str], until: datetime) -> str:
    """Where an entry of the list belongs: the same ids until the same second are the same entry."""
    digest = hashlib.sha256("".join(sorted(hashes)).encode()).hexdigest()[:16]
    return f"{FOLDER}/{until.astimezone(UTC):{_EXPIRY}}-{digest}.json"


class Suppressed:
    """Whose rows are to be left out now.

    Attributes:
        hashes: of their ids.
    """

    def __init__(self, store: Storage, now: datetime | None = None) -> None:
        moment = now or datetime.now(UTC)
        self.hashes: set[str] = set()
        for name, until in entries(store).items():
            if until > moment:
                with store.open(name) as file:
                    self.hashes.update(json.load(file))
        self._hash = hasher(store) if self.hashes else None

    def __bool__(self) -> bool:
        return bool(self.hashes)

    def __contains__(self, distinct_id: object) -> bool:
        return self._hash is not None and isinstance(distinct_id, str) and self._hash(distinct_id) in self.hashes

    def kept(self, rows: Rows, columns: Sequence[str] | None = None) -> Rows | None:
        """The rows without those of suppressed persons; None when there are none of those.

        Args:
            rows: of a table or a query.
            columns: those that say whose a row is; by default what their names tell.
        """
        named = _person_columns(rows.schema) if columns is None else columns
        theirs = [mask for name in named if (mask := self._mask(rows.column(name))) is not None]
        if not theirs:
            return None
        mask = theirs[0]
        for other in theirs[1:]:
            mask = pc.or_(mask, other)
        return rows.filter(pc.invert(mask))

    def count(self, file: pq.ParquetFile) -> int:
        """How many rows of a file are theirs."""
        columns = _person_columns(file.schema_arrow)
        if not self or not columns:
            return 0
        found = 0
        for number in range(file.num_row_groups):
            rows = file.read_row_group(number, columns=columns, use_threads=False)
            kept = self.kept(rows)
            found += 0 if kept is None else rows.num_rows - kept.num_rows
        return found

    def _mask(self, column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray | None:
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        theirs = [value for value in pc.unique(column).to_pylist() if value is not None and str(value) in self]
        return pc.is_in(column, pa.array(theirs, column.type)) if theirs else None


def _person_columns(schema: pa.Schema) -> list[str]:
    """The columns that name persons; of a table without such columns, as of a report by user, all texts."""
    named = [field for field in schema if names_a_person(field.name)]
    kinds = [pa.types.is_string, pa.types.is_large_string, *([pa.types.is_integer] if named else [])]
    return [field.name for field in named or schema if any(is_kind(field.type) for is_kind in kinds)]


@contextmanager
def without_suppressed(store: Storage, draft: Draft) -> Iterator[Draft]:
    """A finished Parquet draft without the rows of suppressed persons, whose number goes into its metadata.

    Call it in the lock under which the draft is published: what is erased after that comes after the publication.
    """
    suppressed = Suppressed(store)
    if not suppressed:
        yield draft
        return
    with Path(draft.path).open("rb") as file:
        theirs = suppressed.count(pq.ParquetFile(file))
    if not theirs:
        yield draft
        return

    def amend(record: dict[str, Any], removed: int) -> dict[str, Any]:
        return {**record, "suppressed": removed}

    with store.draft("suppressed") as clean, Path(draft.path).open("rb") as file:
        rewrite(file, clean.path, suppressed.kept, amend)
        yield clean
