"""Persons out of the lake: every file that holds one of their ids is written again without them.

Ids count where ids of persons are, and elsewhere only if their form tells that they are ids (`lake.person_columns`). A
row goes when it is theirs: one of the columns that say whose it is, or a property by which Mixpanel resolves
identities, is one of the ids. In tables without such columns (reports, rejected rows) each row goes that holds one. In
rows of another person (`"invited_by": "<id>"`) the id is replaced by `[erased]`.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from logging import getLogger
from typing import Any

from mixpanel_etl.gdpr.erased_ids import Ids
from mixpanel_etl.gdpr.lake_files import Change, Found, LakeFile, lake_files
from mixpanel_etl.lake.errors import Unerasable
from mixpanel_etl.lake.storage import storage
from mixpanel_etl.lake.suppression import hasher

LOG = getLogger("mixpanel_etl")
#: Files read or written at the same time; each holds a row group in memory.
_WORKERS = min(2, os.cpu_count() or 1)
#: Of the disk and this process, not of a file: the erasure ends.
_FATAL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM}


@dataclass(frozen=True)
class TableErasure:
    """What an erasure did to one table (a folder of the lake).

    Attributes:
        files_scanned: files that it has.
        files_rewritten: files written again, or removed because nothing was left or because they were of a partition
            by person (`user_id=<id>`).
        rows_removed: rows, or entries of files that are not tables.
        values_blanked: rows of others in which an id became `[erased]`.
        files_rewritten_before: files that an earlier erasure of the same ids, as one that was killed, had rewritten.
        rows_removed_before: the rows that it had removed from these.
        files: names of the files rewritten now, relative to the lake; not those that were removed or are called after
            an id.
    """

    files_scanned: int = 0
    files_rewritten: int = 0
    rows_removed: int = 0
    values_blanked: int = 0
    files_rewritten_before: int = 0
    rows_removed_before: int = 0
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Erasure:
    """What an erasure did, and what its final scan found. It holds no personal data.

    Attributes:
        tables: by name.
        started_at: UTC.
        ended_at: UTC.
        remaining: rows and entries in which the final scan of all files still found one of the ids; 0 when clean.
        unread: files and folders that could not be read or not be written again (the log says why); each counts as
            remaining, for every person: any id may be in them.
        misnamed: tables with files whose name, or that of a folder, is one of the ids; each file counts as remaining.
            Files are not removed for their names: rename them.
        remaining_hashes: of the ids that the final scan still found, see `hashing.hashed`.
    """

    tables: dict[str, TableErasure]
    started_at: datetime
    ended_at: datetime
    remaining: int = 0
    unread: tuple[str, ...] = ()
    misnamed: tuple[str, ...] = ()
    remaining_hashes: frozenset[str] = frozenset()

    @property
    def rows_removed(self) -> int:
        return sum(table.rows_removed for table in self.tables.values())

    @property
    def files_rewritten(self) -> int:
        return sum(table.files_rewritten for table in self.tables.values())


def erase(lake: str, ids: Collection[str], *, on_progress: Callable[[int, int], None] | None = None) -> Erasure:
    """Erase persons from all files of a lake.

    The files to which statistics and Bloom filters point are rewritten first. Then everything is read, what else holds
    an id is rewritten, too, and what was rewritten in this way is read once more: that is the final scan. Each file is
    replaced in one step; a rerun after a crash goes on where it ended, and a rerun after the end changes nothing. A
    file is replaced only as it was read: one that was published in the meantime is read again. Publications that are
    under way look at the list of suppressed persons once more when they have ended.

    Put the ids on the list of suppressed ones first (`Suppression.add`): an export that was asked for before the
    erasure would bring the rows back.

    Args:
        lake: path, `file://` or `s3://` URI.
        ids: all ids of the persons, see `expand`.
        on_progress: called with how many files were read, and how many there are.

    Returns:
        What was done, and what remains.

    Raises:
        ValueError: no id, or an empty one.
        OSError: the disk is full or fails; what was rewritten stays so.
    """
    started = datetime.now(UTC)
    wanted = Ids(ids)
    store = storage(lake)
    hash_of = hasher(store)
    with store.draft("erasure"), store.scratch_folder("erasure"):
        pass  # on a disk this removes what killed processes left
    work = _Work(lake_files(store), wanted, by=hash_of("\n".join(sorted(wanted.all))))
    pointed_to = work.each(LakeFile.is_pointed_to, work.files, wanted)
    work.rewrite([file for file, holds in pointed_to if holds])
    found = work.read(work.files, on_progress)
    work.rewrite(found)
    left = work.read(found)
    return work.report(started, left, frozenset(map(hash_of, work.ids_in(left))))


@dataclass
class _Work:
    files: list[LakeFile]
    ids: Ids
    by: str
    changes: dict[str, Change] = field(default_factory=dict)
    found: dict[str, Found] = field(default_factory=dict)
    unread: set[str] = field(default_factory=set)

    def each(self, do: Callable[..., Any], files: list[LakeFile], *arguments: Any) -> Iterator[tuple[LakeFile, Any]]:
        """Do something with each file, several at a time; those that vanish meanwhile are left out."""

        def one(file: LakeFile) -> Any:
            try:
                return do(file, *arguments)
            except FileNotFoundError:
                return None
            except Exception as error:  # the other files are erased
                if getattr(error, "errno", None) in _FATAL:
                    raise
                reason = error if isinstance(error, Unerasable) else type(error).__name__  # others may quote a person
                LOG.warning("%s can be neither read nor erased: %s", file.store.uri(file.name), reason)
                self.unread.add(file.name)
                return None

        with ThreadPoolExecutor(_WORKERS, thread_name_prefix="erase") as pool:
            for file, result in zip(files, pool.map(one, files), strict=True):
                if result is not None:
                    yield file, result

    def rewrite(self, files: list[LakeFile]) -> None:
        for file, change in self.each(LakeFile.erase, files, self.ids, self.by):
            if any(change):
                before = self.changes.get(file.name, Change())
                self.changes[file.name] = Change(before.removed + change.removed, before.blanked + change.blanked)

    def read(self, files: list[LakeFile], on_progress: Callable[[int, int], None] | None = None) -> list[LakeFile]:
        """Read files to the end; those that hold an id."""
        held = []
        for done, (file, found) in enumerate(self.each(LakeFile.look, files, self.ids, self.by), 1):
            self.found[file.name] = found
            if found.held:
                held.append(file)
            else:
                self.unread.discard(file.name)
            if on_progress:
                on_progress(done, len(files))
        return held

    def ids_in(self, left: list[LakeFile]) -> set[str]:
        """Those of the ids that files still hold, or are called after."""
        found = set()
        for one in sorted(self.ids.all) if left or self.misnamed else ():
            ids = Ids([one])
            if any(file.is_named_after(ids) for file in self.misnamed) or any(
                looked.held for _, looked in self.each(LakeFile.look, left, ids, self.by)
            ):
                found.add(one)
        return found

    @cached_property
    def misnamed(self) -> list[LakeFile]:
        """Files that are there, and called after one of the ids: what else would go with them is not known."""
        return [file for file in self.files if file.name in self.found and file.is_named_after(self.ids)]

    def _tells(self, name: str) -> bool:
        """Whether a file's name must not be told, as it has an id."""
        file = LakeFile(self.files[0].store, name)
        return file.is_in_partition_of(self.ids) or file.is_named_after(self.ids)

    def report(self, started: datetime, left: list[LakeFile], hashes: frozenset[str]) -> Erasure:
        tables: dict[str, list[LakeFile]] = {}
        for file in self.files:
            tables.setdefault(self.ids.scrub(file.table), []).append(file)
        remaining = sum(self.found[file.name].held for file in left) + len(self.unread) + len(self.misnamed)
        return Erasure(
            {table: self._table(files) for table, files in sorted(tables.items())},
            started,
            datetime.now(UTC),
            remaining,
            tuple(sorted(self.unread)),
            tuple(sorted({self.ids.scrub(file.table) for file in self.misnamed})),
            hashes,
        )

    def _table(self, files: list[LakeFile]) -> TableErasure:
        changed = {file.name: self.changes[file.name] for file in files if file.name in self.changes}
        before = [
            found.removed_before - changed.get(file.name, Change()).removed
            for file in files
            if (found := self.found.get(file.name)) and found.erased_before
        ]
        return TableErasure(
            files_scanned=len(files),
            files_rewritten=len(changed),
            rows_removed=sum(change.removed for change in changed.values()),
            values_blanked=sum(change.blanked for change in changed.values()),
            files_rewritten_before=sum(rows > 0 for rows in before),
            rows_removed_before=sum(before),
            files=tuple(sorted(name for name in changed if name in self.found and not self._tells(name))),
        )
