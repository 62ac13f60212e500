"""Persons whose rows no publication may bring back: Mixpanel's export still has them for a while.

Source: mixpanel-api.md#deleted-events.

The list is in the lake itself, as hashes with a date of expiry: `_suppression/<expiry>-<digest>.json`. The salt of the
hashes is the lake's own, so that ids cannot be tried out without the lake, and no two lakes can be compared.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mixpanel_etl.lake.documents import packed, without
from mixpanel_etl.lake.errors import DamagedSalt, WriteConflict
from mixpanel_etl.lake.json_tokens import ESCAPED_PLAIN, hits, looks_like_json, unquoted
from mixpanel_etl.lake.person_columns import ANYWHERE, Places, as_id, looks_like_an_id, number_looks_like_an_id
from mixpanel_etl.lake.person_rows import Persons
from mixpanel_etl.lake.provenance import read_record
from mixpanel_etl.lake.rewrite import rewrite
from mixpanel_etl.lake.storage import ABSENT, Draft, Storage

if TYPE_CHECKING:
    import polars as pl

Rows = TypeVar("Rows", pa.Table, pa.RecordBatch)

FOLDER = "_suppression"
_SALT = f"{FOLDER}/salt"
_SALT_BYTES = 32
_EXPIRY = "%Y%m%dT%H%M%SZ"
#: Keys that may be a person's, with their values; of a list all that follows, as its end is not worth finding.
_NAMES = r"(?i:distinct|device|user|identity|identified|anon|alias)[\w $-]*\x22\s*:\s*"
_NAMED = _NAMES + r"(?s:\[.*|\x22(?:[^\x22\\]|\\.)*\x22|[^,{}\[\]]*)"
#: Strings and long numbers of a JSON text, and all values of a list.
_STRING = r"\x22(?s:[^\x22\\]|\\.)*\x22"
_VALUE = _STRING + r"|[^\s,\[\]{}:\x22]+"
_LONG = r"[0-9][0-9.eE+]{8,}"
#: What is left of both to be looked at one by one: what can have the form of an id, see `lake.person_columns`.
_FORM = r"^\x22[^\s/]{8,}\x22$"
_TIME = r"^(?:1[3-9]|2[01])[0-9]{8}(?:[0-9]{3}){0,3}$"
#: Strings that may be JSON, with escapes, or ids however short.
_CLOSELY = r"^\x22\s*[\[{]|\\|^\x22\$device:"
_AT_ONCE = 8_192
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


class Suppressed(Persons):
    """Whose rows are to be left out now.

    Attributes:
        hashes: of their ids.
    """

    def __init__(self, store: Storage, now: datetime | None = None) -> None:
        current = now or datetime.now(UTC)
        self.hashes: set[str] = set()
        for name, until in entries(store).items():
            if until > current:
                with store.open(name) as file:
                    self.hashes.update(json.load(file))
        self._hash = hasher(store) if self.hashes else None

    def __bool__(self) -> bool:
        return bool(self.hashes)

    def __contains__(self, distinct_id: object) -> bool:
        return self._hash is not None and isinstance(distinct_id, str) and self._hash(distinct_id) in self.hashes

    def among(self, text: pl.Series, *, anyhow: bool, quoted: bool) -> Collection[str]:
        tells = looks_like_an_id if quoted else number_looks_like_an_id
        return [value for value in text.unique() if value and (anyhow or tells(value)) and value in self]

    def candidates(self, text: pl.Series, places: Places = ANYWHERE) -> list[tuple[int, str]]:
        import polars as pl

        rows = text.is_not_null().arg_true()
        if places == ANYWHERE:  # only few rows have one of the ids: hashed are values that differ
            frame = pl.DataFrame({"row": pl.arange(len(text), eager=True, dtype=pl.UInt32), "text": text})
            found = [self._perhaps(part) for part in frame.iter_slices(_AT_ONCE)]
            rows = pl.concat(found).unique().sort() if found else rows
        return list(zip(rows.to_list(), text.gather(rows).to_list(), strict=True))

    def kept(self, rows: Rows, columns: Sequence[str]) -> Rows | None:
        """The rows without those of suppressed persons; None when there are none of those.

        Args:
            rows: of a table or a query.
            columns: those that say whose a row is.
        """
        theirs = [mask for name in columns if (mask := self._mask(rows.column(name))) is not None]
        if not theirs:
            return None
        mask = theirs[0]
        for other in theirs[1:]:
            mask = pc.or_(mask, other)
        return rows.filter(pc.invert(mask))

    def count(self, file: pq.ParquetFile) -> int:
        """How many rows of a file are theirs."""
        return sum(len(self.in_table(rows).theirs) for rows in _groups(file)) if self else 0

    def are_in(self, file: pq.ParquetFile) -> bool:
        """Whether a file has rows that are theirs, or mention them."""
        return any(any(self.in_table(rows)) for rows in _groups(file))

    def _perhaps(self, frame: pl.DataFrame) -> pl.Series:
        """The rows of JSON strings of which a value is one of the ids, wherever it stands."""
        import polars as pl

        def found(pattern: str, of: pl.DataFrame = frame) -> pl.DataFrame:
            return of.select("row", text=pl.col("text").str.extract_all(pattern)).explode("text").drop_nulls()

        def holding(part: pl.DataFrame, holds: Callable[[str], bool]) -> pl.Series:
            return part.filter(pl.col("text").is_in([value for value in part["text"].unique() if holds(value)]))["row"]

        named = found(_NAMED).with_columns(pl.col("text").str.replace(f"^{_NAMES}", ""))
        tells = pl.col("text").str.contains(_FORM) & pl.col("text").str.contains(r"[0-9@]|[A-Za-z]{20}")
        numbers = found(_LONG).filter(~pl.col("text").str.contains(_TIME))
        strings = found(_STRING).filter(tells | pl.col("text").str.contains(_CLOSELY))
        return pl.concat(
            [
                holding(strings, self._is_in),
                holding(numbers, lambda value: number_looks_like_an_id(as_id(value)) and as_id(value) in self),
                holding(found(_VALUE, named), lambda value: _value_of(value) in self),
                frame.filter(pl.col("text").str.contains(ESCAPED_PLAIN))["row"],
            ]
        )

    def _is_in(self, string: str) -> bool:
        value = unquoted(string)
        if looks_like_json(value) and any(hits(value, self)):
            return True
        return looks_like_an_id(value) and value in self

    def _mask(self, column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray | None:
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        theirs = [value for value in pc.unique(column).to_pylist() if value is not None and str(value) in self]
        return pc.is_in(column, pa.array(theirs, column.type)) if theirs else None


def _value_of(value: str) -> str:
    return unquoted(value) if value.startswith('"') else as_id(value)


def _groups(file: pq.ParquetFile) -> Iterator[pa.Table]:
    return (file.read_row_group(number, use_threads=False) for number in range(file.num_row_groups))


def reply_without_suppressed(store: Storage, content: bytes, places: Places) -> bytes | None:
    """A reply of Mixpanel, packed as it is kept, without suppressed persons; None when nothing is left of it."""
    suppressed = Suppressed(store)
    kept = packed(content, places)
    return without(kept, suppressed)[0] if suppressed else kept


@contextmanager
def without_suppressed(store: Storage, draft: Draft) -> Iterator[Draft]:
    """A finished Parquet draft without the rows of suppressed persons, whose number goes into its metadata.

    In rows of others `[erased]` stands for their ids, as after an erasure.

    Call it in the lock under which the draft is published: what is erased after that comes after the publication.
    """
    suppressed = Suppressed(store)
    if not suppressed:
        yield draft
        return
    with Path(draft.path).open("rb") as file:
        record = read_record(pq.read_metadata(file))
        file.seek(0)
        if suppressed.scrub_record(record) == record and not suppressed.are_in(pq.ParquetFile(file)):
            yield draft
            return

    def change(rows: pa.Table) -> pa.Table | None:
        cleaned = suppressed.cleaned(rows)
        return cleaned.rows if cleaned else None

    def amend(record: dict[str, Any], removed: int) -> dict[str, Any]:
        return {**suppressed.scrub_record(record), "suppressed": removed}

    with store.draft("suppressed") as clean, Path(draft.path).open("rb") as file:
        rewrite(file, clean.path, change, amend)
        yield clean
