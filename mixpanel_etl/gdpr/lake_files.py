"""The files of a lake, one by one: whether one holds some ids, and the same file without them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from mixpanel_etl.gdpr.erased_ids import Ids
from mixpanel_etl.lake.bloom import may_hold
from mixpanel_etl.lake.documents import without
from mixpanel_etl.lake.errors import Unerasable, WriteConflict
from mixpanel_etl.lake.format_version import FILE as FORMAT
from mixpanel_etl.lake.json_tokens import ERASED
from mixpanel_etl.lake.leases import FOLDER as LEASES
from mixpanel_etl.lake.person_columns import ID_COLUMNS, looks_like_an_id, names_a_person
from mixpanel_etl.lake.provenance import METADATA_KEY, read_record
from mixpanel_etl.lake.rewrite import rewrite
from mixpanel_etl.lake.storage import Storage
from mixpanel_etl.lake.storage_protocol import SCRATCH
from mixpanel_etl.lake.suppression import FOLDER

#: Where requests are kept until they are over; the ledger itself puts hashes in the place of their ids then.
LEDGER = "gdpr/ledger"
#: What is not searched: the package's own records, in which only hashes stand for persons, the open requests of the
#: ledger, and drafts, which are filtered when they are published.
NOT_SEARCHED = (f"{FOLDER}/", f"{LEDGER}/", "gdpr/certificates/", f"{LEASES}/", ".drafts/", FORMAT)
#: Tries for a file that another process replaces while it is rewritten.
_TRIES = 5
_MAGIC = b"PAR1"
#: Metadata that Arrow makes of the schema, which is searched itself.
_ARROW = b"ARROW:schema"


class Change(NamedTuple):
    """What was done to a file: rows or entries that went, and rows of others in which an id was blanked."""

    removed: int = 0
    blanked: int = 0


class Found(NamedTuple):
    """What a file says: in how many rows or entries an id is, and what earlier erasures of the same ids removed."""

    held: int
    removed_before: int = 0
    erased_before: bool = False


@dataclass(frozen=True)
class LakeFile:
    """A file of the lake, by its name."""

    store: Storage
    name: str

    @property
    def table(self) -> str:
        """The folder of the lake that it belongs to: all above partitions and what begins with an underscore."""
        folders = self.name.split("/")[:-1]
        ends = [n for n, folder in enumerate(folders) if "=" in folder or folder.startswith("_")]
        return "/".join(folders[: ends[0]] if ends else folders)

    def is_pointed_to(self, ids: Ids) -> bool:
        """Whether a column that names persons has one of the ids.

        Statistics and Bloom filters tell of most files that it has not; of the others only these columns are read.
        """
        if not self.name.endswith(".parquet"):
            return False
        return self.store.read_with(self.name, partial(self._points_to, ids))

    @staticmethod
    def _points_to(ids: Ids, handle: IO[bytes]) -> bool:
        try:
            footer = pq.read_metadata(handle)
        except pa.ArrowInvalid:
            return False
        groups = {
            number: names
            for number in range(footer.num_row_groups)
            if (names := _pointed_to(handle, footer.row_group(number), ids))
        }
        with pq.ParquetFile(handle, metadata=footer, pre_buffer=False) as file:
            return any(
                ids.in_columns(file.read_row_group(number, columns=names, use_threads=False))
                for number, names in groups.items()
            )

    def look(self, ids: Ids, by: str) -> Found:
        """Read all of it.

        Args:
            ids: looked for.
            by: what earlier erasures of the same ids signed with.

        Raises:
            Unerasable: it cannot be read, or not without the ids.
        """
        if self.name.startswith(f"{SCRATCH}/"):
            raise Unerasable("a push that is under way holds rows in it; run this again when it has ended")
        with self.store.snapshot(self.name) as handle:
            if self.is_in_partition_of(ids):
                return Found(1)
            if not self._is_parquet(handle):
                _, held = without(handle.read(), ids)
                return Found(held)
            with _parquet(handle) as file:
                held = sum(
                    len(rows.theirs) + len(rows.mentions)
                    for number in range(file.num_row_groups)
                    for rows in [ids.in_table(file.read_row_group(number, use_threads=False))]
                )
                held += self._holds_in_footer(file, ids)
                notes = [note for note in read_record(file.metadata).get("erased", []) if note["by"] == by]
        return Found(held, sum(note["rows"] for note in notes), bool(notes))

    def erase(self, ids: Ids, by: str) -> Change:
        """Replace it, in one step, by the same file without the ids; leave it alone when it holds none.

        Raises:
            Unerasable: it cannot be read, or not without the ids.
            OSError: the disk is full, the upload failed, or it is being replaced by others again and again.
        """
        for _ in range(_TRIES):
            version = self.store.version(self.name)
            with self.store.draft("erasure") as draft:
                kept, change = self._without(ids, by, draft.path)
                if not any(change):
                    return change
                with suppress(WriteConflict):
                    if kept:
                        draft.publish(self.name, version)
                    else:
                        self.store.remove(self.name, version)
                    return change
        raise OSError(f"{self.store.uri(self.name)} is being replaced again and again; stop the exports and run again")

    def _without(self, ids: Ids, by: str, path: str) -> tuple[bool, Change]:
        """Write what is to be kept to a path; whether that is anything, and what changed."""
        with self.store.snapshot(self.name) as handle:
            if not self._is_parquet(handle):
                if self.is_in_partition_of(ids):
                    return False, Change(1)
                content, removed = without(handle.read(), ids)
                Path(path).write_bytes(content or b"")
                return content is not None, Change(removed)
            with _parquet(handle) as file:
                schema, rows = file.schema_arrow, file.metadata.num_rows
                in_footer = self._holds_in_footer(file, ids)
        if self.is_in_partition_of(ids) or (len(schema) and all(_is_named(field.name, ids) for field in schema)):
            return False, Change(max(rows, 1))
        blanked = 0

        def change(rows: pa.Table) -> pa.Table | None:
            nonlocal blanked
            cleaned = ids.cleaned(rows)
            blanked += cleaned.blanked if cleaned else 0
            return cleaned.rows if cleaned else None

        def amend(record: dict[str, Any], removed: int) -> Mapping[str, Any]:
            note = {"at": datetime.now(UTC).isoformat(), "rows": removed, "blanked": blanked, "by": by}
            cleaned = ids.scrub_record(record)
            return {**cleaned, "erased": [*cleaned.get("erased", []), note]}

        with self.store.snapshot(self.name) as handle:
            removed = rewrite(handle, path, change, amend, lambda schema: _scrubbed(schema, ids))
        return True, Change(removed, blanked + in_footer)

    def _holds_in_footer(self, file: pq.ParquetFile, ids: Ids) -> bool:
        """Whether one of the ids is in the names of columns or in metadata of theirs or of the file."""
        schema, record = file.schema_arrow, read_record(file.metadata)
        others = {
            key: value
            for key, value in (file.metadata.metadata or {}).items()
            if key not in (_ARROW, METADATA_KEY.encode())
        }
        return (
            ids.scrub_record(record) != record
            or _scrubbed_metadata(others, ids) != others
            or any(_is_named(field.name, ids) for field in schema)
            or any(_scrubbed_metadata(field.metadata or {}, ids) != (field.metadata or {}) for field in schema)
            or any(_is_named(field.name, ids) for outer in schema for field in _within(outer.type))
        )

    def is_in_partition_of(self, ids: Ids) -> bool:
        """Whether it is in a partition by person of one of the ids, as `user_id=<id>/data.parquet`.

        Columns of partitions count by their meaning, as other columns do. None of the package's own tables has one.
        """
        parts = (folder.partition("=") for folder in self.name.split("/")[:-1])
        return any(names_a_person(column) and unquote(key) in ids for column, _, key in parts)

    def is_named_after(self, ids: Ids) -> bool:
        """Whether a name that no partition by person explains is clearly an id: nothing of it is destroyed for that."""
        parts = [unquote(part.rpartition("=")[2]) for part in self.name.split("/")]
        names = {text for part in parts for text in (part, _stem(part), _stem(_stem(part)))}
        return any(_is_named(text, ids) for text in names) and not self.is_in_partition_of(ids)

    def _is_parquet(self, handle: IO[bytes]) -> bool:
        begin = handle.read(len(_MAGIC))
        handle.seek(0)
        return begin == _MAGIC or self.name.endswith(".parquet")


def lake_files(store: Storage) -> list[LakeFile]:
    """All files of a lake but those that are not searched (`NOT_SEARCHED`), also what links lead to."""
    return [LakeFile(store, name) for name in store.everything() if not name.startswith(NOT_SEARCHED)]


def _pointed_to(handle: IO[bytes], group: pq.RowGroupMetaData, ids: Ids) -> list[str]:
    columns = (group.column(number) for number in range(group.num_columns))
    return [
        column.path_in_schema
        for column in columns
        if column.path_in_schema in ID_COLUMNS
        and column.physical_type == "BYTE_ARRAY"
        and may_hold(handle, column, ids.all)
    ]


def _parquet(handle: IO[bytes]) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(handle, pre_buffer=False)
    except pa.ArrowInvalid as error:
        raise Unerasable("damaged Parquet") from error


def _is_named(name: str, ids: Ids) -> bool:
    return looks_like_an_id(name) and name in ids


def _scrubbed(schema: pa.Schema, ids: Ids) -> pa.Schema:
    """A schema without columns that are named after one of the ids, and without ids in metadata.

    Raises:
        Unerasable: a member of a nested column is named after one.
    """
    kept = []
    for field in schema:
        if any(_is_named(inner.name, ids) for inner in _within(field.type)):
            raise Unerasable("a member of a nested column has an id for its name")
        if not _is_named(field.name, ids):
            kept.append(field.with_metadata(_scrubbed_metadata(field.metadata or {}, ids) or None))
    return pa.schema(kept, _scrubbed_metadata(schema.metadata or {}, ids) or None)


def _scrubbed_metadata(metadata: Mapping[bytes, bytes], ids: Ids) -> dict[bytes, bytes]:
    return {_scrubbed_bytes(key, ids): _scrubbed_bytes(value, ids) for key, value in metadata.items()}


def _scrubbed_bytes(value: bytes, ids: Ids) -> bytes:
    try:
        text, encoding = value.decode(), "utf-8"
    except UnicodeDecodeError:
        text, encoding = value.decode("latin-1"), "latin-1"
    made = ERASED if _is_named(text, ids) else ids.scrub(text)
    return made.encode(encoding, "replace")


def _stem(name: str) -> str:
    return re.sub(r"\.\w{1,8}$", "", name)


def _within(kind: pa.DataType) -> Iterator[pa.Field]:
    """The fields of a nested type, at any depth."""
    for number in range(kind.num_fields):
        yield kind.field(number)
        yield from _within(kind.field(number).type)
