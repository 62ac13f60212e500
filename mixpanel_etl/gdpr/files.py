"""The files of a lake, one by one: whether one holds some ids, and the same file without them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, NamedTuple
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from mixpanel_etl.gdpr.documents import Unerasable, without
from mixpanel_etl.gdpr.matching import Ids
from mixpanel_etl.gdpr.tokens import is_ordinary
from mixpanel_etl.lake.bloom import may_hold
from mixpanel_etl.lake.identity import ID_COLUMNS, names_a_person
from mixpanel_etl.lake.provenance import read_record
from mixpanel_etl.lake.rewrite import rewrite
from mixpanel_etl.lake.storage import Storage
from mixpanel_etl.lake.suppression import FOLDER

#: Where requests are kept until they are over; the ledger itself puts hashes in the place of their ids then.
LEDGER = "gdpr/ledger"
#: How often a file is taken anew that somebody else replaced while it was rewritten (S3 only: a disk has locks).
_TRIES = 5


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
        if not self._is_parquet:
            return False
        with self.store.open(self.name) as handle:
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
        if self._is_named_after(ids):
            self.store.version(self.name)  # which fails when it is gone
            return Found(1)
        if not self._is_parquet:
            _, held = without(self._content(), ids)
            return Found(held)
        with self.store.open(self.name) as handle, _parquet(handle) as file:
            held = sum(
                len(rows.theirs) + len(rows.mentions)
                for number in range(file.num_row_groups)
                for rows in [ids.in_table(file.read_row_group(number, use_threads=False))]
            )
            held += sum(
                ids.scrub(text) != text
                for text in (value.decode(errors="replace") for value in (file.metadata.metadata or {}).values())
            )
            notes = [note for note in read_record(file.metadata).get("erased", []) if note["by"] == by]
        return Found(held, sum(note["rows"] for note in notes), bool(notes))

    def erase(self, ids: Ids, by: str) -> Change:
        """Replace it, in one step, by the same file without the ids; leave it alone when it holds none.

        Raises:
            Unerasable: it cannot be read, or not without the ids.
            OSError: the disk is full, the upload failed, or it is being replaced by others again and again.
        """
        for _ in range(_TRIES):
            with self.store.exclusive(self.name), self.store.draft("erasure") as draft:
                version = self.store.version(self.name)
                kept, change = self._without(ids, by, draft.path)
                if not any(change):
                    return change
                if self.store.version(self.name) != version:
                    continue
                if kept:
                    draft.publish(self.name)
                else:
                    self.store.remove(self.name)
                return change
        raise OSError(f"{self.store.uri(self.name)} is being replaced again and again; stop the exports and run again")

    def _without(self, ids: Ids, by: str, path: str) -> tuple[bool, Change]:
        """Write what is to be kept to a path; whether that is anything, and what changed."""
        if self._is_named_after(ids):
            return False, Change(self._rows())
        if not self._is_parquet:
            content, removed = without(self._content(), ids)
            Path(path).write_bytes(content or b"")
            return content is not None, Change(removed)
        blanked = 0

        def change(rows: pa.Table) -> pa.Table | None:
            nonlocal blanked
            found = ids.in_table(rows)
            if not any(found):
                return None
            blanked += len(found.mentions)
            rows = ids.blanked(rows, found.mentions) if found.mentions else rows
            return rows.take(pa.array([n for n in range(rows.num_rows) if n not in found.theirs], pa.int64()))

        def amend(record: dict[str, Any], removed: int) -> Mapping[str, Any]:
            note = {"at": datetime.now(UTC).isoformat(), "rows": removed, "blanked": blanked, "by": by}
            cleaned: dict[str, Any] = json.loads(ids.scrub(json.dumps(record, ensure_ascii=False, default=str)))
            return {**cleaned, "erased": [*cleaned.get("erased", []), note]}

        with self.store.open(self.name) as handle, _parquet(handle) as file:
            in_metadata = any(
                ids.scrub(text) != text
                for text in (value.decode(errors="replace") for value in (file.metadata.metadata or {}).values())
            )
            handle.seek(0)
            removed = rewrite(handle, path, change, amend, ids.scrub)
        return True, Change(removed, blanked + in_metadata)

    def _is_named_after(self, ids: Ids) -> bool:
        """Whether a part of its name is one of the ids, as in `user_id=<id>/data.parquet`."""
        for part in self.name.split("/"):
            key, _, value = part.rpartition("=")
            text = unquote(value)
            if {text, re.sub(r"(\.\w{1,8}){1,2}$", "", text)} & (
                ids.all if names_a_person(key) else {one for one in ids.all if not is_ordinary(one)}
            ):
                return True
        return False

    @property
    def _is_parquet(self) -> bool:
        return self.name.endswith(".parquet")

    def _content(self) -> bytes:
        with self.store.open(self.name) as handle:
            return handle.read()

    def _rows(self) -> int:
        if not self._is_parquet:
            return 1
        with self.store.open(self.name) as handle, _parquet(handle) as file:
            rows: int = file.metadata.num_rows
        return max(rows, 1)


def lake_files(store: Storage) -> list[LakeFile]:
    """All files of a lake but the ledger of requests and the list of suppressed persons, which has hashes only."""
    names = [name for name in store.names("", "") if not name.startswith((f"{FOLDER}/", f"{LEDGER}/", "."))]
    return [LakeFile(store, name) for name in names]


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
        raise Unerasable(str(error)) from error
